//! Whom we talk to, and every sentence about what went wrong with it.

use std::error::Error;
use std::io;
use std::time::Duration;

use crate::failure::{FailureKind, Fault, tame};
use crate::receive::{Ending, Head};
use crate::wire::{self, Told};

/// The longest a server is quoted.
const QUOTE_CHARACTERS_MAX: usize = 400;
/// The longest wait that is believed: a day.
const RETRY_AFTER_S_MAX: f64 = 86_400.0;

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
            "Check the base URL (--base-url): this path of the server is not a Chat Completions API."
                .to_owned()
        } else {
            "The base URL probably lacks /v1: try it with /v1 at its end (--base-url).".to_owned()
        }
    }

    pub(crate) fn page(&self) -> Fault {
        let message = format!("{} answered with a web page instead of a completion.", self.name);
        Fault::new(FailureKind::Protocol, message, self.check_base_url())
    }

    pub(crate) fn no_event(&self) -> Fault {
        let message = format!("{} answered, but not with a completion.", self.name);
        Fault::new(FailureKind::Protocol, message, self.check_base_url())
    }

    pub(crate) fn no_completion(&self, said: &str) -> Fault {
        let said = tame(said, QUOTE_CHARACTERS_MAX);
        let message =
            format!("{} answered with an object that is no completion: {said}", self.name);
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

    pub(crate) fn told_in_stream(&self, told: &Told) -> Fault {
        let said = tame(&told.message, QUOTE_CHARACTERS_MAX);
        let message = format!("{} broke off with an error: {said}", self.name);
        match told.status {
            Some(status) => {
                let head = Head { status, ..Head::default() };
                Fault { message, ..self.status(&head, &[]) }
            }
            None => Fault::new(
                FailureKind::Server,
                message,
                "What had arrived is kept; ask again, and look at the server's log if it stays so.",
            ),
        }
    }

    /// An answer whose status is no success.
    pub(crate) fn status(&self, head: &Head, body: &[u8]) -> Fault {
        let status = head.status;
        if (300..400).contains(&status) {
            return self.redirect(head);
        }
        let (kind, hint) = self.kind_of_status(head, body);
        let said = wire::told(body).map(|told| tame(&told.message, QUOTE_CHARACTERS_MAX));
        let message = match said {
            Some(said) if !said.is_empty() => {
                format!("{} refused the request with status {status}: {said}", self.name)
            }
            _ => format!("{} refused the request with status {status}.", self.name),
        };
        Fault::new(kind, message, hint)
    }

    fn kind_of_status(&self, head: &Head, body: &[u8]) -> (FailureKind, String) {
        match head.status {
            401 => (
                FailureKind::Unauthorized,
                "Set the right API key (OPENAI_API_KEY, or the key of this provider in the \
                 settings)."
                    .to_owned(),
            ),
            402 | 403 => (
                FailureKind::Unauthorized,
                "Check what this API key may use: the model, the region, the balance.".to_owned(),
            ),
            404 => {
                // A server that knows the path says in JSON which model it lacks.
                let hint = match wire::told(body) {
                    Some(_) if self.versioned => {
                        "Check the model's name (--model) and the base URL (--base-url).".to_owned()
                    }
                    _ => self.check_base_url(),
                };
                (FailureKind::NotFound, hint)
            }
            408 | 409 | 425 => {
                (FailureKind::Server, "The server was not ready; ask again.".to_owned())
            }
            429 => {
                let retry_after = head.retry_after.as_deref().and_then(parse_retry_after);
                let hint = match retry_after {
                    Some(wait) => format!(
                        "Ask again in {} s, or use a key with a higher limit.",
                        wait.as_secs_f64().ceil()
                    ),
                    None => "Ask again later, or use a key with a higher limit.".to_owned(),
                };
                (FailureKind::RateLimited { retry_after }, hint)
            }
            500..=599 => (
                FailureKind::Server,
                "Ask again; if it stays so, look at the server's log or its status page."
                    .to_owned(),
            ),
            _ => (
                FailureKind::BadRequest,
                "Change what the server objects to: the model, its parameters, or the length of \
                 the conversation."
                    .to_owned(),
            ),
        }
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
        if !error.is_connect() && !error.is_timeout() {
            return Fault {
                message: format!("{name} closed the connection without an answer ({said})."),
                ..self.cut(Ending::Broken, false)
            };
        }
        let (message, hint) = if chain.contains("dns error") {
            (
                format!("The name in {name} cannot be resolved ({said})."),
                "Check the base URL (--base-url) and the network.",
            )
        } else if error.is_timeout() || io_kind == Some(io::ErrorKind::TimedOut) {
            (
                format!("{name} did not take the connection in time."),
                "Check that the server runs and that the network lets you reach it.",
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

/// Seconds, as a number; dates (rare) are not read.
fn parse_retry_after(text: &str) -> Option<Duration> {
    let seconds: f64 = text.trim().parse().ok()?;
    (0.0..=RETRY_AFTER_S_MAX).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
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
