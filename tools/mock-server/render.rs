//! A reply as bytes: which events, in which writes, and what becomes of the connection. One file
//! for each API form.

mod chat;
mod responses;

use std::time::Duration;

use crate::reply::{Body, End, Reply};

/// The API form in which a reply is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Chat,
    Responses,
}

/// What becomes of the connection after the last write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    KeepAlive,
    Cut,
    Hang,
    /// Comments, at this pace.
    Comments(Duration),
    Reset,
}

/// A reply, ready to be written.
#[derive(Debug)]
pub(crate) struct Rendered {
    pub(crate) head: String,
    pub(crate) chunked: bool,
    pub(crate) writes: Vec<Vec<u8>>,
    pub(crate) then: Then,
    pub(crate) pause: Duration,
    pub(crate) first_pause: Duration,
}

impl Reply {
    /// The stream's bytes as one buffer, as a client would have received them from the reply with
    /// this number: for tests that need no server.
    #[must_use]
    pub fn to_bytes(&self, number: usize) -> Vec<u8> {
        self.events(Form::Chat, &number.to_string()).concat()
    }

    /// The same in the Responses form.
    #[must_use]
    pub fn to_responses_bytes(&self, number: usize) -> Vec<u8> {
        self.events(Form::Responses, &number.to_string()).concat()
    }

    pub(crate) fn render(&self, form: Form, number: &str) -> Rendered {
        let (head, writes, then) = match &self.body {
            Body::Reset => (String::new(), Vec::new(), Then::Reset),
            Body::Wire(bytes) => (String::new(), vec![bytes.clone()], Then::Cut),
            Body::Plain { status, headers, body } => {
                let mut headers = headers.clone();
                headers.push(("content-length".to_owned(), body.len().to_string()));
                (crate::http::head(*status, &headers), vec![body.clone()], Then::KeepAlive)
            }
            Body::Stream => {
                let headers = [
                    ("content-type", "text/event-stream; charset=utf-8"),
                    ("cache-control", "no-cache"),
                    ("transfer-encoding", "chunked"),
                ];
                let headers = headers.map(|(key, value)| (key.to_owned(), value.to_owned()));
                let (writes, then) = self.writes(form, number);
                (crate::http::head(200, &headers), writes, then)
            }
        };
        Rendered {
            chunked: matches!(self.body, Body::Stream),
            head,
            writes,
            then,
            pause: self.pause,
            first_pause: self.first_pause,
        }
    }

    fn writes(&self, form: Form, number: &str) -> (Vec<Vec<u8>>, Then) {
        let mut events = self.events(form, number);
        let then = match self.end {
            End::Finish | End::WithoutFinish | End::WithoutDone => Then::KeepAlive,
            End::Cut(keep) => {
                if let Some(half) = events.get_mut(keep) {
                    half.truncate(half.len() / 2);
                }
                events.truncate(keep.saturating_add(1));
                Then::Cut
            }
            End::CutBytes(keep) => {
                let mut bytes = events.concat();
                bytes.truncate(keep);
                events = vec![bytes];
                Then::Cut
            }
            End::Stop(keep) => {
                events.truncate(keep);
                Then::KeepAlive
            }
            End::Hang(keep, pace) => {
                events.truncate(keep);
                pace.map_or(Then::Hang, Then::Comments)
            }
        };
        let writes = match self.bytes_per_write {
            Some(bytes) => events.concat().chunks(bytes).map(<[u8]>::to_vec).collect(),
            None => events.chunks(self.events_per_write).map(<[Vec<u8>]>::concat).collect(),
        };
        (writes, then)
    }

    /// The events, each with the empty line that ends it.
    fn events(&self, form: Form, number: &str) -> Vec<Vec<u8>> {
        let mut events = match form {
            Form::Chat => chat::events(self, number),
            Form::Responses => responses::events(self, number),
        };
        if let Some(place) = self.bad_line {
            let place = place.min(events.len());
            events.insert(place, b"data: {\"choices\": [oops\n\n".to_vec());
        }
        events
    }
}

/// Cuts at character boundaries into at most `pieces` pieces of about the same length.
pub(crate) fn split(text: &str, pieces: usize) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    let size = characters.len().div_ceil(pieces.max(1)).max(1);
    characters.chunks(size).map(|piece| piece.iter().collect()).collect()
}
