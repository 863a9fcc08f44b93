//! What spoils an attempt.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::reply::Reply;

/// A fault of one attempt: what the client gets instead of the reply, or how the reply breaks.
/// [`Reply::after`] puts a list of them before a reply; each kind breaks both API forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This status with an error in JSON.
    Status(u16),
    /// This status with a `Retry-After` header: seconds, or a date ([`http_date`]).
    RetryAfter(u16, String),
    /// This status with this body.
    Body(u16, String),
    /// These bytes on the connection, HTTP or not, and its end.
    Wire(Vec<u8>),
    /// The connection closes with no answer.
    Reset,
    /// The connection breaks after so many bytes of the stream.
    ResetAfter(usize),
    /// The connection breaks in the middle of the event after so many.
    Cut(usize),
    /// The stream ends after so many events, in HTTP's terms properly, without a finish reason.
    Stop(usize),
    /// Silence after so many events.
    Hang(usize),
    /// Nothing but comments after so many events, at this pace.
    OnlyComments(usize, Duration),
    /// A line that is no JSON after so many events; the rest comes, so this attempt is a good one.
    BadLine(usize),
}

impl Fault {
    /// The reply, spoilt.
    #[must_use]
    pub fn spoil(&self, reply: &Reply) -> Reply {
        let reply = Reply { faults: Vec::new(), ..reply.clone() };
        let json = ("content-type", "application/json");
        let error = |status: u16| {
            let message = format!("a fault of the scenario ({status})");
            serde_json::json!({"error": {"message": message}}).to_string()
        };
        match self {
            Self::Status(status) => Reply::status(*status, &[json], error(*status)),
            Self::RetryAfter(status, wait) => {
                Reply::status(*status, &[json, ("retry-after", wait)], error(*status))
            }
            Self::Body(status, body) => Reply::status(*status, &[json], body.as_str()),
            Self::Wire(bytes) => Reply::wire(bytes.as_slice()),
            Self::Reset => Reply::reset(),
            Self::ResetAfter(bytes) => reply.reset_after(*bytes),
            Self::Cut(events) => reply.cut_after(*events),
            Self::Stop(events) => reply.stop_after(*events),
            Self::Hang(events) => reply.hang_after(*events),
            Self::OnlyComments(events, every) => reply.only_comments_after(*events, *every),
            Self::BadLine(events) => reply.bad_line_after(*events),
        }
    }
}

/// An instant as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT`.
#[must_use]
pub fn http_date(at: SystemTime) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (mut day, time) = (seconds / 86_400, seconds % 86_400);
    let weekday = DAYS.get((day % 7) as usize).unwrap_or(&"Thu");
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while day >= 365 + u64::from(is_leap(year)) {
        day -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = "Dec";
    for (name, length) in MONTHS.iter().zip(lengths) {
        if day < length {
            month = name;
            break;
        }
        day -= length;
    }
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!("{weekday}, {:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT", day + 1)
}
