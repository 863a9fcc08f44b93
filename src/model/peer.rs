//! Whom we talk to, and every sentence about what went wrong with it.

use std::error::Error;
use std::io;
use std::time::Duration;

use crate::failure::{FailureKind, Fault, tame};
use crate::receive::{Ending, Head};
use crate::verdict;
use crate::wait;
use crate::wire::{self, Told};

/// The longest a server is quoted.
const QUOTE_CHARACTERS_MAX: usize = 400;

/// The other side, as it is named in messages.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Host and port, or what else answers.
    name: String,
    /// The base URL has a path that looks like an API's.
    versioned: bool,
}

impl Peer {
    pub(crate) fn named(name: &str) -> Self {
        Self { name: name.to_owned(), versioned: true }
    }

    /// A server; `path` is that of the base URL.
    pub(crate) fn server(host_and_port: &str, path: &str) -> Self {
        let version = |part: &str| {
            part.strip_prefix('v')
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        };
        Self { name: host_and_port.to_owned(), versioned: path.split('/').any(version) }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The answer to a web page, an odd 404: usually the base URL is to blame.
    fn check_base_url(&self) -> String {
        if self.versioned {
            "Check the base URL (--base-url) and the API form (--api): this path of the server is not \
             such an API."
                .to_owned()
        } else {
            "The base URL probably lacks /v1: try it with /v1 at its end (--base-url).".to_owned()
        }
    }

    pub(crate) fn page(&self) -> Fault {
        let message = format!("{} answered with a web page instead of a completion.", self.name);
        Fault::new(FailureKind::Protocol, message, self.check_base_url())
    }

    pub(crate) fn packed(&self) -> Fault {
        let message =
            format!("{} answered in a compressed form that was not asked for.", self.name);
        let hint = "Switch compression off at the server, or at the proxy before it.";
        Fault::new(FailureKind::Protocol, message, hint)
    }

    pub(crate) fn no_event(&self) -> Fault {
        let message = format!("{} answered, but not with a completion.", self.name);
        Fault::new(FailureKind::Protocol, message, self.check_base_url())
    }

    pub(crate) fn no_completion(&self, said: &str) -> Fault {
        let message = format!(
            "{} answered with an object that is no completion: {}",
            self.name,
            sentence(said)
        );
        Fault::new(FailureKind::Protocol, message, self.check_base_url())
    }

    pub(crate) fn too_large(&self, what: &str, bytes_max: usize) -> Fault {
        let megabytes = bytes_max >> 20;
        Fault::new(
            FailureKind::Protocol,
            format!("{} sent {what} of more than {megabytes} MiB.", self.name),
            "Lower the model's output limit (max_tokens), or look at what the server sends.",
        )
    }

    pub(crate) fn cut(&self, ending: Ending, begun: bool) -> Fault {
        let how = match (ending, begun) {
            (Ending::Broken, true) => "broke off the answer in the middle",
            (Ending::Broken, false) => "broke the connection before the answer began",
            (Ending::Clean, true) => "ended the answer without saying that it was complete",
            (Ending::Clean, false) => "ended the answer before it began",
        };
        Fault::new(
            FailureKind::Interrupted,
            format!("{} {how}.", self.name),
            "What had arrived is kept; ask again, and look at the server's log if it stays so.",
        )
    }

    /// Nothing came for so long; `heard` is whether there were signs of life.
    pub(crate) fn silent(&self, waited: Duration, heard: bool) -> Fault {
        // The patience was four seconds, not the five that four and a bit would be rounded up to.
        let waited = Duration::from_secs(waited.as_secs().max(1));
        let what = if heard { "nothing but signs that it is there" } else { "nothing" };
        Fault::new(
            FailureKind::Silent,
            format!("{} has sent {what} for {}.", self.name, wait::words(waited)),
            "Ask again; if the model needs that long before it speaks, wait longer for it \
             (`silence` in the settings).",
        )
    }

    pub(crate) fn told_in_stream(&self, told: &Told) -> Fault {
        let said = sentence(&told.message);
        let message = format!("{} broke off with an error: {said}", self.name);
        let status = told.status.or_else(|| verdict::status_of_words(&told.words));
        let head = Head { status: status.unwrap_or(500), ..Head::default() };
        let (kind, hint) = self.kind_of_status(&head, Some(told));
        Fault::new(kind, message, hint)
    }

    /// An answer whose status is no success.
    pub(crate) fn status(&self, head: &Head, body: &[u8]) -> Fault {
        let status = head.status;
        if (300..400).contains(&status) {
            return self.redirect(head);
        }
        let told = wire::told(body);
        let (kind, hint) = self.kind_of_status(head, told.as_ref());
        let said = told.map(|told| sentence(&told.message));
        let message = match said {
            Some(said) if !said.is_empty() => {
                format!("{} refused the request with status {status}: {said}", self.name)
            }
            _ => format!("{} refused the request with status {status}.", self.name),
        };
        Fault::new(kind, message, hint)
    }

    fn kind_of_status(&self, head: &Head, told: Option<&Told>) -> (FailureKind, String) {
        let retry_after = head.retry_after.or_else(|| told.and_then(|told| told.retry_after));
        let verdict = told.and_then(|told| verdict::of(head.status, told));
        let kind = match verdict {
            Some(kind) => kind,
            None => verdict::kind(head.status, retry_after),
        };
        let hint = match kind {
            FailureKind::Unauthorized if head.status == 401 => {
                "Set the right API key (OPENAI_API_KEY, or the key of this provider in the \
                 settings)."
                    .to_owned()
            }
            FailureKind::Unauthorized => {
                "Check what this API key may use: the model, the region.".to_owned()
            }
            FailureKind::QuotaExhausted => {
                "Waiting does not help: check the balance and the quota of this API key with the \
                 provider, or use another key."
                    .to_owned()
            }
            FailureKind::NotFound => match told {
                // A server that knows the path says in JSON which model it lacks.
                Some(_) if self.versioned => {
                    "Check the model's name (--model) and the base URL (--base-url).".to_owned()
                }
                _ => self.check_base_url(),
            },
            FailureKind::TimedOut => {
                "The server, or a gateway before it, gave up waiting; ask again.".to_owned()
            }
            FailureKind::RateLimited { retry_after } => match retry_after {
                Some(wait) => {
                    let wait = wait::words(wait);
                    format!("Ask again in {wait}, or use a key with a higher limit.")
                }
                None => "Ask again later, or use a key with a higher limit.".to_owned(),
            },
            FailureKind::ContextOverflow { window } => {
                let size = window.map(|tokens| format!(" (it holds {tokens} tokens)"));
                format!(
                    "The conversation is too long for this model{}: shorten it, or use a model \
                     with a longer context.",
                    size.unwrap_or_default()
                )
            }
            FailureKind::Server { retry_after: Some(wait) } => format!(
                "Ask again in {}; if it stays so, look at the server's log or its status page.",
                wait::words(wait)
            ),
            FailureKind::Server { .. } => {
                "Ask again; if it stays so, look at the server's log or its status page.".to_owned()
            }
            _ => "Change what the server objects to: the model, its parameters, or the \
                  conversation."
                .to_owned(),
        };
        (kind, hint)
    }

    fn redirect(&self, head: &Head) -> Fault {
        let to = head.location.as_deref().map(|to| tame(to, QUOTE_CHARACTERS_MAX));
        let message = format!(
            "{} wants the request sent elsewhere (status {}{}).",
            self.name,
            head.status,
            to.map(|to| format!(", {to}")).unwrap_or_default(),
        );
        let hint = "Give the address it names as the base URL: a key is not carried along \
                    silently.";
        Fault::new(FailureKind::Protocol, message, hint)
    }

    /// No response came.
    pub(crate) fn unreachable(&self, error: &reqwest::Error) -> Fault {
        let name = &self.name;
        let root = root_cause(error);
        let said = tame(&root.to_string(), QUOTE_CHARACTERS_MAX);
        let chain = chain(error).to_ascii_lowercase();
        let io_kind = io_kind(error);
        // The library says this of what it cannot read as HTTP, in words only.
        if said.starts_with("invalid ") {
            return Fault::new(
                FailureKind::Protocol,
                format!("{name} answered with something that is not HTTP ({said})."),
                "Check the port and the http:// or https:// of the base URL (--base-url).",
            );
        }
        if !error.is_connect() && !error.is_timeout() {
            return Fault {
                message: format!("{name} closed the connection without an answer ({said})."),
                ..self.cut(Ending::Broken, false)
            };
        }
        if error.is_timeout() || io_kind == Some(io::ErrorKind::TimedOut) {
            return Fault::new(
                FailureKind::TimedOut,
                format!("{name} did not take the connection in time."),
                "Check that the server runs and that the network lets you reach it.",
            );
        }
        let (message, hint) = if chain.contains("dns error") {
            (
                format!("The name in {name} cannot be resolved ({said})."),
                "Check the base URL (--base-url) and the network.",
            )
        } else if io_kind == Some(io::ErrorKind::ConnectionRefused) {
            (
                format!("Nothing listens on {name}: the connection was refused."),
                "Start the model server, or point limn at another one (--base-url).",
            )
        } else if ["certificate", "tls", "handshake", "corrupt message"]
            .iter()
            .any(|word| chain.contains(word))
        {
            (
                format!("No secure connection to {name} could be made ({said})."),
                "Check the certificate, or use http:// for a server that speaks no TLS.",
            )
        } else {
            (
                format!("{name} cannot be reached ({said})."),
                "Check the base URL (--base-url), the proxy settings and the network.",
            )
        };
        Fault::new(FailureKind::Unreachable, message, hint)
    }
}

/// What a server says, tamed and with a full stop: a sentence of ours follows it.
fn sentence(said: &str) -> String {
    let mut said = tame(said, QUOTE_CHARACTERS_MAX);
    let ends = |c: char| matches!(c, '.' | '!' | '?' | '…' | '。' | '！' | '？');
    if !said.is_empty() && !said.trim_end_matches(['"', '\'', ')', '`']).ends_with(ends) {
        said.push('.');
    }
    said
}

fn sources<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

fn root_cause<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    sources(error).last().unwrap_or(error)
}

fn chain(error: &(dyn Error + 'static)) -> String {
    // The outermost one tells the URL, which may hold the word that is looked for.
    let inner: Vec<String> = sources(error).skip(1).map(ToString::to_string).collect();
    inner.join(": ")
}

fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    sources(error).filter_map(|error| error.downcast_ref::<io::Error>()).last().map(io::Error::kind)
}

#[cfg(test)]
mod tests;
