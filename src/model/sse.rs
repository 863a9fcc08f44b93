//! Server-sent events, decoded where they lie.
//!
//! The whole response is kept anyway, so the decoder holds only positions in it: lines are slices,
//! nothing is copied, and a response that arrives a byte at a time is looked at once. Any cut of
//! the same bytes into pieces gives the same events (a property test).
//!
//! Only what the API uses is read: `data`. `event`, `id`, `retry` and comments are passed over; a
//! line that is none of these is handed out as stray, so that somebody can say that it was there.

use std::borrow::Cow;
use std::ops::Range;

/// What the decoder finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SseItem<'a> {
    /// The data of one event; several data lines are joined by line feeds.
    Data(Cow<'a, [u8]>),
    /// A line that belongs to no event.
    Stray(&'a [u8]),
}

/// Positions in a response that grows.
#[derive(Clone, Debug, Default)]
pub(crate) struct SseDecoder {
    /// Where the current line begins.
    line: usize,
    /// Up to where it was searched for its end.
    scanned: usize,
    /// The data lines of the current event.
    data: Vec<Range<usize>>,
}

impl SseDecoder {
    /// The next item that is complete; `None` until more has arrived. `raw` is the response from
    /// its first byte on, as far as it has come.
    pub(crate) fn next<'a>(&mut self, raw: &'a [u8]) -> Option<SseItem<'a>> {
        loop {
            let rest = raw.get(self.scanned..)?;
            let Some(found) = memchr::memchr2(b'\n', b'\r', rest) else {
                self.scanned = raw.len();
                return None;
            };
            let end = self.scanned + found;
            let next = match (raw.get(end), raw.get(end + 1)) {
                (Some(b'\r'), Some(b'\n')) => end + 2,
                (Some(b'\r'), None) => {
                    // A line feed may follow, and belongs to this line end.
                    self.scanned = end;
                    return None;
                }
                _ => end + 1,
            };
            if let Some(item) = self.take_line(raw, end, next) {
                return Some(item);
            }
        }
    }

    /// After the last byte: the rest counts as a line, and the event it belongs to as complete.
    /// To be called until it answers `None`, like [`Self::next`].
    pub(crate) fn finish<'a>(&mut self, raw: &'a [u8]) -> Option<SseItem<'a>> {
        if self.line < raw.len() {
            let rest = raw.get(self.line..).unwrap_or_default();
            let end = raw.len() - usize::from(rest.ends_with(b"\r"));
            if let Some(item) = self.take_line(raw, end, raw.len()) {
                return Some(item);
            }
        }
        self.dispatch(raw)
    }

    /// The bytes that wait for the end of their event.
    pub(crate) fn waiting(&self, raw: &[u8]) -> usize {
        let first = self.data.first().map_or(self.line, |range| range.start);
        raw.len().saturating_sub(first)
    }

    fn take_line<'a>(&mut self, raw: &'a [u8], end: usize, next: usize) -> Option<SseItem<'a>> {
        let mut start = self.line;
        self.line = next;
        self.scanned = next;
        let mut line = raw.get(start..end)?;
        if start == 0 && line.starts_with(b"\xef\xbb\xbf") {
            start = 3;
            line = line.get(3..)?;
        }
        if line.is_empty() {
            return self.dispatch(raw);
        }
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        match line.get(..colon)? {
            b"data" => {
                let space = usize::from(line.get(colon + 1) == Some(&b' '));
                let from = (start + colon + 1 + space).min(end);
                self.data.push(from..end);
                None
            }
            b"" | b"event" | b"id" | b"retry" => None,
            _ => Some(SseItem::Stray(line)),
        }
    }

    fn dispatch<'a>(&mut self, raw: &'a [u8]) -> Option<SseItem<'a>> {
        let data = match self.data.as_slice() {
            [] => return None,
            [one] => Cow::Borrowed(raw.get(one.clone())?),
            several => {
                let lines: Vec<&[u8]> =
                    several.iter().filter_map(|range| raw.get(range.clone())).collect();
                Cow::Owned(lines.join(&b'\n'))
            }
        };
        self.data.clear();
        (!data.is_empty()).then_some(SseItem::Data(data))
    }
}

#[cfg(test)]
mod tests;
