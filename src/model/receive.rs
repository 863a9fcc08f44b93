//! Bytes → reply: the one way in which every model's answer is read.
//!
//! What the body is, is seen from its first byte rather than believed from a header: `{` opens an
//! object (a whole completion, or an error), `<` a web page, compressed bytes show themselves,
//! anything else is a stream. A stream
//! is complete when a finish reason has come; whatever follows it (usage, `[DONE]`) is taken along.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use trajectory::Progress;

use crate::accumulate::{Accumulator, CALLS_MAX, Taken};
use crate::api::Dialect;
use crate::failure::{Failure, FailureKind, Fault};
use crate::peer::Peer;
use crate::reply::Reply;
use crate::sse::{SseDecoder, SseItem};
use crate::wire;

/// The largest response that is read, and the largest single event in it.
pub(crate) const RAW_BYTES_MAX: usize = 64 << 20;
const EVENT_BYTES_MAX: usize = 16 << 20;
/// The most that is read of a body that is no stream of a completion: an error, a page.
const ERROR_BYTES_MAX: usize = 1 << 20;
/// How gzip and zstd begin.
const PACKED: [&[u8]; 2] = [b"\x1f\x8b", b"\x28\xb5\x2f\xfd"];
const SKIPPED_LINES_MAX: usize = 100;
const SKIPPED_LINE_BYTES_MAX: usize = 1000;

/// What is known of a response before its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) content_type: Option<String>,
    /// How long the server asks to wait.
    pub(crate) retry_after: Option<Duration>,
    pub(crate) location: Option<String>,
}

impl Head {
    /// Of a stream that no server sent.
    pub(crate) fn of_stream() -> Self {
        Self { status: 200, ..Self::default() }
    }

    /// Whether it says that a web page follows. What the body is, its bytes tell: a server may say
    /// this of a stream, too.
    fn is_page(&self) -> bool {
        self.content_type.as_deref().is_some_and(|kind| kind.starts_with("text/html"))
    }

    fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// How the body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// As HTTP says.
    Clean,
    /// The connection broke.
    Broken,
}

/// Whether there is anything left to read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Appetite {
    More,
    /// `[DONE]` was read, or more than enough of an error.
    Sated,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Form {
    #[default]
    Unknown,
    Events,
    Object,
    Page,
    /// Compressed, which nobody asked for.
    Packed,
}

/// A reply while it arrives.
#[derive(Debug)]
pub(crate) struct Reception {
    head: Option<Head>,
    form: Form,
    raw: Vec<u8>,
    decoder: SseDecoder,
    accumulator: Accumulator,
    asked_at: Instant,
    done: bool,
    ending: Option<Ending>,
    reply: Reply,
    /// What must not be recorded, even if the server sends it back.
    secret: Option<SecretString>,
}

impl Reception {
    pub(crate) fn new(request: u32, dialect: Dialect) -> Self {
        Self {
            head: None,
            form: Form::Unknown,
            raw: Vec::new(),
            decoder: SseDecoder::default(),
            accumulator: Accumulator::new(request, dialect),
            asked_at: Instant::now(),
            done: false,
            ending: None,
            reply: Reply::default(),
            secret: None,
        }
    }

    /// The same, with a secret that is blotted out of what comes.
    pub(crate) fn without(self, secret: Option<SecretString>) -> Self {
        Self { secret: secret.filter(|secret| !secret.expose_secret().is_empty()), ..self }
    }

    /// Blots this out of what comes from here on.
    pub(crate) fn hide(&mut self, secret: SecretString) {
        self.secret = Some(secret);
    }

    /// The response begins. `of_server` says whether a server gave the status.
    pub(crate) fn begin(&mut self, head: Head, of_server: bool) {
        self.reply.http_status = of_server.then_some(head.status);
        self.head = Some(head);
    }

    pub(crate) fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// The body as far as it has come.
    pub(crate) fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// How the body ended, once it has.
    pub(crate) fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// How often something came that was more than a sign of life.
    pub(crate) fn signs(&self) -> u64 {
        let whole = match self.form {
            Form::Object | Form::Page | Form::Packed => self.raw.len() as u64,
            Form::Unknown | Form::Events => 0,
        };
        self.accumulator.signs + self.reply.skipped_count + whole
    }

    /// Takes the next bytes; what they show goes to `out`.
    pub(crate) fn push(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<Progress>,
        peer: &Peer,
    ) -> Result<Appetite, Fault> {
        if self.raw.len().saturating_add(bytes.len()) > RAW_BYTES_MAX {
            return Err(peer.too_large("an answer", RAW_BYTES_MAX));
        }
        self.raw.extend_from_slice(bytes);
        if !self.head.as_ref().is_some_and(Head::is_success) {
            return Ok(self.enough_of_an_error());
        }
        if self.form == Form::Unknown {
            self.form = sniff(&self.raw);
        }
        match self.form {
            Form::Page | Form::Packed => Ok(self.enough_of_an_error()),
            Form::Unknown | Form::Object => Ok(Appetite::More),
            Form::Events => {
                let decoder = &mut self.decoder;
                while let Some(item) = decoder.next(&self.raw) {
                    take(&mut self.accumulator, &mut self.reply, &mut self.done, item, out);
                }
                if !out.is_empty() && self.reply.first_at.is_none() {
                    self.reply.first_at = Some(self.asked_at.elapsed());
                }
                self.check_calls(out, peer)?;
                if self.done {
                    return Ok(Appetite::Sated);
                }
                if self.decoder.waiting(&self.raw) > EVENT_BYTES_MAX {
                    return Err(peer.too_large("a single event", EVENT_BYTES_MAX));
                }
                Ok(Appetite::More)
            }
        }
    }

    /// The body is over: was it a complete reply?
    pub(crate) fn end(
        &mut self,
        ending: Ending,
        out: &mut Vec<Progress>,
        peer: &Peer,
    ) -> Result<(), Fault> {
        self.ending = Some(ending);
        // Before anything is read from it: the parts are to be what the recorded bytes say.
        self.blot_out();
        let head = self.head.clone().unwrap_or_default();
        if !head.is_success() {
            return Err(peer.status(&head, &self.raw));
        }
        match self.form {
            Form::Page => return Err(peer.page()),
            Form::Packed => return Err(peer.packed()),
            Form::Object => self.end_object(ending, out, peer)?,
            Form::Unknown | Form::Events => {
                while let Some(item) = self.decoder.finish(&self.raw) {
                    take(&mut self.accumulator, &mut self.reply, &mut self.done, item, out);
                }
            }
        }
        self.accumulator.close(out);
        if !out.is_empty() && self.reply.first_at.is_none() {
            self.reply.first_at = Some(self.asked_at.elapsed());
        }
        self.check_calls(out, peer)?;
        if let Some(told) = &self.accumulator.told {
            return Err(peer.told_in_stream(told));
        }
        if self.accumulator.finish_reason.is_some() {
            return Ok(());
        }
        if ending == Ending::Clean && !self.accumulator.begun && !self.raw.is_empty() {
            return Err(if head.is_page() { peer.page() } else { peer.no_event() });
        }
        Err(peer.cut(ending, self.accumulator.begun))
    }

    /// Nobody waits for the rest: what has come is read to its last byte, as it will be when the
    /// recording is read again. Does nothing when the reply was ended or taken before.
    pub(crate) fn stop(&mut self) {
        if self.ending.is_none() && !self.raw.is_empty() {
            // Why it is no whole reply is known.
            let _ = self.end(Ending::Broken, &mut Vec::new(), &Peer::named(""));
        }
    }

    /// A text without the secret.
    pub(crate) fn without_secret(&self, text: String) -> String {
        match &self.secret {
            Some(secret) => text.replace(secret.expose_secret(), "***"),
            None => text,
        }
    }

    /// What has come, and an empty reception in its place.
    pub(crate) fn take_reply(&mut self) -> Reply {
        self.blot_out();
        let mut accumulator = std::mem::take(&mut self.accumulator);
        accumulator.close(&mut Vec::new());
        accumulator.name_calls();
        Reply {
            parts: accumulator.parts,
            usage: accumulator.usage,
            tokens: accumulator.ids.whole(),
            finish_reason: accumulator.finish_reason,
            response_id: accumulator.response_id,
            model_served: accumulator.model_served,
            raw: std::mem::take(&mut self.raw),
            ..std::mem::take(&mut self.reply)
        }
    }

    /// Blots the secret out of a body that is no stream: some services echo what they were sent.
    fn blot_out(&mut self) {
        let Some(secret) = self.secret.as_ref().map(ExposeSecret::expose_secret) else { return };
        if self.form == Form::Events {
            return;
        }
        let found: Vec<usize> = memchr::memmem::find_iter(&self.raw, secret).collect();
        for start in found {
            if let Some(bytes) = self.raw.get_mut(start..start + secret.len()) {
                bytes.fill(b'*');
            }
        }
    }

    /// A reply of which some calls were left out would be taken for what the model said.
    fn check_calls(&mut self, out: &mut Vec<Progress>, peer: &Peer) -> Result<(), Fault> {
        if !self.accumulator.too_many_calls {
            return Ok(());
        }
        self.accumulator.close(out);
        Err(Fault::new(
            FailureKind::Protocol,
            format!(
                "{} sent more tool calls in one answer than are allowed: {CALLS_MAX}.",
                peer.name()
            ),
            "What had arrived is kept; ask again, for fewer things at once.",
        ))
    }

    fn enough_of_an_error(&self) -> Appetite {
        if self.raw.len() < ERROR_BYTES_MAX { Appetite::More } else { Appetite::Sated }
    }

    fn end_object(
        &mut self,
        ending: Ending,
        out: &mut Vec<Progress>,
        peer: &Peer,
    ) -> Result<(), Fault> {
        let taken = self.accumulator.take(&self.raw, out);
        if self.accumulator.begun || self.accumulator.told.is_some() {
            if taken == Taken::InPart {
                skip(&mut self.reply, &self.raw);
            }
            return Ok(());
        }
        // What cannot be read as a completion may still say why.
        match wire::told(&self.raw) {
            Some(told) => Err(peer.no_completion(&told.message)),
            None if ending == Ending::Broken => Err(peer.cut(ending, false)),
            None => Err(peer.no_event()),
        }
    }
}

fn sniff(raw: &[u8]) -> Form {
    if PACKED.iter().any(|magic| raw.starts_with(magic)) {
        return Form::Packed;
    }
    let raw = raw.strip_prefix(b"\xef\xbb\xbf").unwrap_or(raw);
    match raw.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => Form::Unknown,
        Some(b'{' | b'[') => Form::Object,
        Some(b'<') => Form::Page,
        Some(_) => Form::Events,
    }
}

fn take(
    accumulator: &mut Accumulator,
    reply: &mut Reply,
    done: &mut bool,
    item: SseItem<'_>,
    out: &mut Vec<Progress>,
) {
    // Whatever follows the end, or an error, is kept in the raw bytes and means nothing.
    if *done || accumulator.told.is_some() || accumulator.too_many_calls {
        return;
    }
    let data = match item {
        // llama.cpp tells of errors in a field of their own.
        SseItem::Stray(line) => match line.strip_prefix(b"error:").map(told_in_field) {
            Some(Some(told)) => return accumulator.fail(Some(told), None),
            _ => return skip(reply, line),
        },
        SseItem::Data(data) => data,
    };
    if data.trim_ascii() == b"[DONE]" {
        *done = true;
        return;
    }
    match accumulator.take(&data, out) {
        Taken::Whole => {}
        Taken::InPart => skip(reply, &data),
        // Servers that forget the empty line between events: each line is one.
        Taken::Nothing if data.contains(&b'\n') => {
            for line in data.split(|byte| *byte == b'\n') {
                let item = SseItem::Data(Cow::Borrowed(line));
                take(accumulator, reply, done, item, out);
            }
        }
        Taken::Nothing => skip(reply, &data),
    }
    *done |= accumulator.is_over();
}

fn told_in_field(json: &[u8]) -> Option<wire::Told> {
    json.trim_ascii_start().starts_with(b"{").then(|| wire::told(json)).flatten()
}

fn skip(reply: &mut Reply, line: &[u8]) {
    reply.skipped_count += 1;
    if reply.skipped_lines.len() < SKIPPED_LINES_MAX {
        let line = line.get(..SKIPPED_LINE_BYTES_MAX).unwrap_or(line);
        reply.skipped_lines.push(String::from_utf8_lossy(line).into_owned());
    }
}

/// Reads stored bytes again: the reply they are, complete or not. `request` is the number of the
/// request they answer, `dialect` how they were read when they came ([`Dialect::of`] the last
/// change of the model before them).
///
/// # Errors
/// The failure that these bytes are, with the parts they hold, when they are no complete reply
/// (the status is taken to be 200).
pub fn parse(request: u32, dialect: Dialect, raw: &[u8]) -> Result<Reply, Failure> {
    let peer = Peer::named("the recording");
    let mut reception = Reception::new(request, dialect);
    let mut out = Vec::new();
    reception.begin(Head::of_stream(), false);
    let result = reception
        .push(raw, &mut out, &peer)
        .and_then(|_| reception.end(Ending::Clean, &mut out, &peer));
    let reply = Reply { first_at: None, ..reception.take_reply() };
    match result {
        Ok(()) => Ok(reply),
        Err(Fault { kind, message, hint }) => {
            Err(Failure { kind, message, hint, partial: Box::new(reply) })
        }
    }
}

impl Failure {
    pub(crate) fn cancelled(partial: Reply) -> Self {
        Self {
            kind: FailureKind::Cancelled,
            message: "The request was cancelled.".to_owned(),
            hint: "What had arrived is kept; ask again to go on.".to_owned(),
            partial: Box::new(partial),
        }
    }
}

#[cfg(test)]
mod tests;
