//! What the server answers to whom.

use std::fmt;
use std::sync::OnceLock;

use crate::http::RecordedRequest;
use crate::render::{Form, Rendered};
use crate::reply::Reply;

type Generator = dyn Fn(usize, &RecordedRequest) -> Reply + Send + Sync;

/// A reply of a list, rendered: in the usual form at once, so that it costs nothing when it is
/// asked for.
struct Listed {
    number: String,
    reply: Reply,
    chat: Rendered,
    responses: OnceLock<Rendered>,
}

impl Listed {
    fn rendered(&self, form: Form) -> &Rendered {
        match form {
            Form::Chat => &self.chat,
            Form::Responses => self.responses.get_or_init(|| self.reply.render(form, &self.number)),
        }
    }
}

enum Source {
    List { replies: Vec<Listed>, repeat_last: bool },
    Generator(Box<Generator>),
}

/// The replies of a server, in order or made to measure.
pub struct Scenario {
    source: Source,
}

impl fmt::Debug for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scenario").finish_non_exhaustive()
    }
}

impl Scenario {
    /// One reply for each request, in order; a request too many gets a 500 that says so. The faults
    /// of a reply ([`Reply::after`]) have a request each before it.
    #[must_use]
    pub fn replies(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self::list(replies, false)
    }

    /// One reply for each request, in order; the last one again for every request after that.
    #[must_use]
    pub fn repeat_last(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self::list(replies, true)
    }

    /// The reply that `make` returns for the n-th request (from 0).
    #[must_use]
    pub fn generate(
        make: impl Fn(usize, &RecordedRequest) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self { source: Source::Generator(Box::new(make)) }
    }

    fn list(replies: impl IntoIterator<Item = Reply>, repeat_last: bool) -> Self {
        let replies = replies
            .into_iter()
            .flat_map(|reply| {
                let spoilt: Vec<Reply> =
                    reply.faults.iter().map(|fault| fault.spoil(&reply)).collect();
                spoilt.into_iter().chain([reply])
            })
            .enumerate()
            .map(|(number, reply)| {
                let number = number.to_string();
                let chat = reply.render(Form::Chat, &number);
                Listed { number, reply, chat, responses: OnceLock::new() }
            })
            .collect();
        Self { source: Source::List { replies, repeat_last } }
    }

    /// Hands the n-th reply to `write`.
    pub(crate) fn with_reply<T>(
        &self,
        number: usize,
        form: Form,
        request: &RecordedRequest,
        write: impl FnOnce(&Rendered) -> T,
    ) -> T {
        match &self.source {
            Source::Generator(make) => {
                write(&make(number, request).render(form, &number.to_string()))
            }
            Source::List { replies, repeat_last } => {
                let again = if *repeat_last { replies.last() } else { None };
                match replies.get(number).or(again) {
                    Some(reply) => write(reply.rendered(form)),
                    None => write(&too_many(number).render(form, "none")),
                }
            }
        }
    }
}

fn too_many(number: usize) -> Reply {
    let body = serde_json::json!({
        "error": {"message": format!("the scenario has no reply for request {}", number + 1)},
    });
    Reply::status(500, &[("content-type", "application/json")], body.to_string())
}
