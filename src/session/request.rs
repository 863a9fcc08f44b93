//! A request to the model while it is under way.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::{Input, Remedy};
use model::{Failure, FailureKind, Model, Reply, Request, RetryPolicy, TokenIds};
use record::{Ack, ReplyTokens, RequestFinished, RequestStarted, Row, Write};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use trajectory::Progress;

use crate::Session;
use crate::context::instruction;
use crate::continued::Continued;
use crate::error::SessionError;
use crate::stutter::Stutter;

/// Pieces of a reply that may wait to be recorded; a model that is faster waits.
const PIECES_WAITING_MAX: usize = 256;

/// Finish reasons that mean that the model had not finished.
const CUT_OFF: &[&str] = &["length", "max_tokens", "content_filter"];

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The next step.
    Step,
    /// A summary that takes the place of the conversation.
    Summary {
        /// What the user wants it to heed.
        words: Option<String>,
    },
}

/// A request as it was sent, to be sent again or to be continued by the next one.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    request: Arc<Request>,
    attempt: u32,
    head_seq: u64,
    messages_digest: String,
    context_digest: String,
    tools_digest: String,
}

/// A request that is under way, until it is concluded.
pub(crate) struct Asking {
    request: u32,
    attempt: u32,
    pieces: mpsc::Receiver<Progress>,
    task: JoinHandle<Result<Reply, Failure>>,
    stop: CancellationToken,
    /// That the request itself is on record: waited for beside the model.
    recorded: Ack,
    began: Instant,
    stutter: Stutter,
}

/// What came of a request.
pub(crate) struct Concluded {
    pub(crate) input: Input,
    pub(crate) row: RequestFinished,
    /// The tokens of a reply that counts, where the server gave them.
    pub(crate) tokens: Option<ReplyTokens>,
    pub(crate) unreachable: bool,
    /// What of the stream could not be read, told in a sentence.
    pub(crate) skipped: Option<String>,
    /// The server refused the context as too large: how much it takes, where it says so.
    pub(crate) overflow: Option<Option<u64>>,
}

impl Asking {
    /// Encodes the context as it stands, records the request and sends it. The recording waits
    /// for the disk while the model thinks: a request has no side effect here.
    pub(crate) fn begin(
        session: &mut Session,
        sent: &mut Option<Sent>,
        number: u32,
        purpose: Purpose,
    ) -> Self {
        let Session { transcript, continued, media, options, context, .. } = session;
        transcript.asked();
        context.sent(transcript);
        let media = |attachment: &_| media.url(attachment);
        let model = &options.model;
        let request = Arc::new(match purpose {
            Purpose::Step => model.encode_on(number, transcript, &media, &mut continued.written),
            Purpose::Summary { words } => {
                let instruction = instruction(words.as_deref());
                model.encode(number, &transcript.with_instruction(&instruction), &media)
            }
        });
        let before = sent.as_ref().map_or(&[][..], |sent| &sent.request.messages);
        let kept = Continued::kept(&request.messages, before);
        let now = Sent {
            attempt: 1,
            head_seq: transcript.head_seq().unwrap_or(0),
            messages_digest: continued.messages_digest(&request.messages, kept),
            context_digest: continued.context_digest(transcript),
            tools_digest: continued.tools_digest(transcript),
            request,
        };
        let asking = Self::send(session, &now, kept);
        *sent = Some(now);
        asking
    }

    /// Sends the last request once more, byte for byte.
    pub(crate) fn again(session: &Session, sent: &mut Sent, attempt: u32) -> Self {
        sent.attempt = attempt;
        Self::send(session, sent, sent.request.messages.len())
    }

    /// `kept` of its messages were in the request before it.
    fn send(session: &Session, sent: &Sent, kept: usize) -> Self {
        let options = &session.options;
        let row = started_row(&options.model, sent, kept);
        let write = Write { rows: vec![Row::from(row)], ..Write::default() };
        let recorded = session.recorder.commit_beside(write, options.durability(true));
        let (sink, pieces) = mpsc::channel(PIECES_WAITING_MAX);
        let stop = CancellationToken::new();
        let job = ask(Arc::clone(&options.model), Arc::clone(&sent.request), sink, stop.clone());
        Self {
            request: sent.request.request,
            attempt: sent.attempt,
            pieces,
            task: tokio::spawn(job),
            stop,
            recorded,
            began: Instant::now(),
            stutter: Stutter::default(),
        }
    }

    pub(crate) const fn request(&self) -> u32 {
        self.request
    }

    /// The next pieces of the reply; `None` when there are no more.
    pub(crate) async fn next(&mut self) -> Option<Vec<Progress>> {
        let mut pieces = Vec::new();
        let count = self.pieces.recv_many(&mut pieces, PIECES_WAITING_MAX).await;
        if pieces.iter().any(|piece| self.stutter.take(piece)) {
            self.stop.cancel();
        }
        (count > 0).then_some(pieces)
    }

    /// Stops asking; what has come so far is concluded.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// What came of it, once there are no more pieces.
    pub(crate) async fn conclude(self, retry: &RetryPolicy) -> Result<Concluded, SessionError> {
        self.recorded.await?;
        let mut result = self.task.await.unwrap_or_else(|_| Err(died()));
        let ended = self.began.elapsed();
        if let Err(failure) = &mut result
            && self.stutter.is_stuck()
        {
            failure.message = "The model repeated the same text over and over.".to_owned();
            failure.hint = "It was stopped; what it had said is kept. Ask it again in other \
                            words."
                .to_owned();
        }
        let row =
            |reply: &Reply, error| finished_row((self.request, self.attempt), reply, error, ended);
        Ok(match result {
            Ok(mut reply) => Concluded {
                row: row(&reply, None),
                tokens: reply.tokens.take().map(|ids| reply_tokens(self.request, ids)),
                unreachable: false,
                skipped: skipped(&reply),
                overflow: None,
                input: Input::Reply {
                    parts: reply.parts,
                    usage: reply.usage.unwrap_or_default(),
                    cut_off: reply.finish_reason.filter(|why| CUT_OFF.contains(&why.as_str())),
                    verdicts: Vec::new(),
                },
            },
            Err(failure) => {
                let (remedy, message) = remedy(&failure, self.attempt, retry);
                let error = Some(format!("{}: {failure}", failure.kind.as_str()));
                Concluded {
                    row: row(&failure.partial, error),
                    tokens: None,
                    unreachable: is_unreachable(failure.kind) && failure.partial.parts.is_empty(),
                    skipped: skipped(&failure.partial),
                    overflow: match failure.kind {
                        FailureKind::ContextOverflow { window } => Some(window),
                        _ => None,
                    },
                    input: Input::ReplyFailed { partial: failure.partial.parts, message, remedy },
                }
            }
        })
    }
}

/// What can be done about a failure, and what is said of it.
fn remedy(failure: &Failure, attempt: u32, retry: &RetryPolicy) -> (Remedy, String) {
    if matches!(failure.kind, FailureKind::ContextOverflow { .. }) {
        return (Remedy::Compact, failure.to_string());
    }
    match retry.wait(attempt, failure.kind, jitter()) {
        None => (Remedy::None, failure.to_string()),
        Some(wait) => {
            let message = format!(
                "{} Asking again in {:.1} s (attempt {} of {}).",
                failure.message,
                wait.as_secs_f64(),
                attempt + 1,
                retry.attempts_max
            );
            (Remedy::AskAgain { wait }, message)
        }
    }
}

/// A number from 0 to 1, another one each time: clients that failed together do not come back
/// together.
fn jitter() -> f64 {
    let random = RandomState::new().build_hasher().finish();
    // 32 bits are exact in a double.
    f64::from((random >> 32) as u32) / f64::from(u32::MAX)
}

/// Whether this means that no model is to be had at the endpoint.
const fn is_unreachable(kind: FailureKind) -> bool {
    matches!(
        kind,
        FailureKind::Unreachable
            | FailureKind::TimedOut
            | FailureKind::Silent
            | FailureKind::Unauthorized
            | FailureKind::QuotaExhausted
            | FailureKind::NotFound
            | FailureKind::RateLimited { .. }
            | FailureKind::Server { .. }
            | FailureKind::Protocol
    )
}

fn skipped(reply: &Reply) -> Option<String> {
    let first = reply.skipped_lines.first()?;
    let first: String = first.chars().take(200).collect();
    Some(format!(
        "Lines of the reply's stream that could not be read, or not wholly: {}. The first: \
         {first}",
        reply.skipped_count
    ))
}

async fn ask(
    model: Arc<Model>,
    request: Arc<Request>,
    sink: mpsc::Sender<Progress>,
    stop: CancellationToken,
) -> Result<Reply, Failure> {
    let exchange = model::Exchange::new();
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        result = model.ask(&request, &sink, &exchange) => return result,
    }
    Err(exchange.cancelled())
}

/// The task is gone without an answer: a defect, told as a failure so that the log stays whole.
fn died() -> Failure {
    Failure {
        kind: FailureKind::Protocol,
        message: "Asking the model failed inside limn.".to_owned(),
        hint: "Please report this with the recording.".to_owned(),
        partial: Box::default(),
    }
}

fn started_row(model: &Model, sent: &Sent, kept: usize) -> RequestStarted {
    let description = model.description();
    let request = &sent.request;
    let added = request.messages.get(kept..).unwrap_or_default();
    RequestStarted {
        request: request.request,
        attempt: sent.attempt,
        retry_of: (sent.attempt > 1).then(|| sent.attempt - 1),
        provider: description.provider,
        endpoint: description.endpoint,
        model: description.model,
        api: description.api,
        params: description.params,
        head_seq: sent.head_seq,
        kept,
        added: added.iter().map(ToString::to_string).collect(),
        body_head: request.head.clone(),
        body_tail: request.tail.clone(),
        messages_digest: sent.messages_digest.clone(),
        context_digest: Some(sent.context_digest.clone()),
        tools_digest: sent.tools_digest.clone(),
    }
}

fn finished_row(
    (request, attempt): (u32, u32),
    reply: &Reply,
    error: Option<String>,
    ended: Duration,
) -> RequestFinished {
    RequestFinished {
        request,
        attempt,
        http_status: reply.http_status,
        response: Some(reply.raw.clone()),
        response_id: reply.response_id.clone(),
        model_served: reply.model_served.clone(),
        finish_reason: reply.finish_reason.clone(),
        error,
        usage: reply.usage,
        usage_source: reply.usage.map(|_| "provider".to_owned()),
        t_first_ns: reply.first_at.map(nanos),
        t_end_ns: nanos(ended),
    }
}

/// Who knows the tokenizer says so where the session is at hand.
fn reply_tokens(request: u32, ids: TokenIds) -> ReplyTokens {
    let TokenIds { prompt, sampled } = ids;
    ReplyTokens { request, tokenizer: None, prompt, sampled }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
