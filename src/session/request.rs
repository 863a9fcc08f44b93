//! A request to the model while it is under way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::Input;
use model::{Failure, FailureKind, Model, Reply, Request};
use record::{Ack, RequestFinished, RequestStarted, Row, Write};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use trajectory::{MessageDigest, Progress, Transcript};

use crate::error::SessionError;
use crate::run::Loop;

/// Pieces of a reply that may wait to be recorded; a model that is faster waits.
const PIECES_WAITING_MAX: usize = 256;

/// Finish reasons that mean that the model had not finished.
const CUT_OFF: &[&str] = &["length", "max_tokens", "content_filter"];

/// A request that has been sent, until it is concluded.
pub(crate) struct Asking {
    request: u32,
    pieces: mpsc::Receiver<Progress>,
    task: JoinHandle<Result<Reply, Failure>>,
    stop: CancellationToken,
    /// That the request itself is on record: waited for beside the model.
    recorded: Ack,
    began: Instant,
}

/// What came of a request.
pub(crate) struct Concluded {
    pub(crate) input: Input,
    pub(crate) row: RequestFinished,
    pub(crate) unreachable: bool,
    /// What of the stream could not be read, told in a sentence.
    pub(crate) skipped: Option<String>,
}

impl Asking {
    /// Encodes the context as it stands, records the request and sends it. The recording waits
    /// for the disk while the model thinks: a request has no side effect here.
    pub(crate) fn begin(this: &mut Loop, number: u32) -> Self {
        this.session.transcript.asked();
        let session = &this.session;
        let options = &session.options;
        let request = options.model.encode(number, &session.transcript, &|_| None);
        let row = started_row(&options.model, &session.transcript, &request, &this.last_sent);
        let write = Write { events: Vec::new(), rows: vec![Row::from(row)] };
        let recorded = session.recorder.commit_beside(write, options.durability(true));
        let (sink, pieces) = mpsc::channel(PIECES_WAITING_MAX);
        let stop = CancellationToken::new();
        let job = ask(Arc::clone(&options.model), request.clone(), sink, stop.clone());
        let task = tokio::spawn(job);
        this.last_sent = request.messages;
        Self { request: number, pieces, task, stop, recorded, began: Instant::now() }
    }

    pub(crate) const fn request(&self) -> u32 {
        self.request
    }

    /// The next pieces of the reply; `None` when there are no more.
    pub(crate) async fn next(&mut self) -> Option<Vec<Progress>> {
        let mut pieces = Vec::new();
        let count = self.pieces.recv_many(&mut pieces, PIECES_WAITING_MAX).await;
        (count > 0).then_some(pieces)
    }

    /// Stops asking; what has come so far is concluded.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// What came of it, once there are no more pieces.
    pub(crate) async fn conclude(self) -> Result<Concluded, SessionError> {
        self.recorded.await?;
        let result = self.task.await.unwrap_or_else(|_| Err(died()));
        let ended = self.began.elapsed();
        Ok(match result {
            Ok(reply) => Concluded {
                row: finished_row(self.request, &reply, None, ended),
                unreachable: false,
                skipped: skipped(&reply),
                input: Input::Reply {
                    parts: reply.parts,
                    usage: reply.usage.unwrap_or_default(),
                    cut_off: reply.finish_reason.filter(|why| CUT_OFF.contains(&why.as_str())),
                },
            },
            Err(failure) => {
                let message = failure.to_string();
                let error = Some(format!("{}: {message}", failure.kind.as_str()));
                Concluded {
                    row: finished_row(self.request, &failure.partial, error, ended),
                    unreachable: is_unreachable(failure.kind) && failure.partial.parts.is_empty(),
                    skipped: skipped(&failure.partial),
                    input: Input::ReplyFailed { partial: failure.partial.parts, message },
                }
            }
        })
    }
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
    request: Request,
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

fn started_row(
    model: &Model,
    transcript: &Transcript,
    request: &Request,
    last_sent: &[String],
) -> RequestStarted {
    let description = model.description();
    let kept =
        request.messages.iter().zip(last_sent).take_while(|(now, before)| now == before).count();
    let mut digest = MessageDigest::default();
    request.messages.iter().for_each(|message| digest.push(message));
    let mut tools = MessageDigest::default();
    for tool in transcript.tools() {
        tools.push(&tool.to_chat().to_string());
    }
    let head_seq = transcript.head_seq().unwrap_or(0);
    RequestStarted {
        request: request.request,
        attempt: 1,
        retry_of: None,
        provider: description.provider,
        endpoint: description.endpoint,
        model: description.model,
        api: description.api,
        params: description.params,
        head_seq,
        kept,
        added: request.messages.get(kept..).unwrap_or_default().to_vec(),
        body_head: request.head.clone(),
        body_tail: request.tail.clone(),
        messages_digest: digest.finish(),
        tools_digest: tools.finish(),
    }
}

fn finished_row(
    request: u32,
    reply: &Reply,
    error: Option<String>,
    ended: Duration,
) -> RequestFinished {
    RequestFinished {
        request,
        attempt: 1,
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

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
