//! A scripted model server over real HTTP: what the tests and the benchmark talk to instead of a
//! provider.
//!
//! ```
//! use mock_server::{MockServer, Reply, Scenario};
//!
//! # fn main() -> std::io::Result<()> {
//! let server = MockServer::start(Scenario::replies([
//!     Reply::new().reasoning("I had better look.").call("shell", r#"{"command":"ls"}"#),
//!     Reply::text("There is one file."),
//! ]))?;
//! // … point a client at server.url(), a base URL that ends in /v1 …
//! assert!(server.requests().is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! The n-th request to `/v1/chat/completions` or `/v1/responses` gets the n-th [`Reply`] of the
//! [`Scenario`], or what its closure makes of the request, in the form it was asked in. A reply may
//! come after [`Fault`]s, an attempt each. It is a stream of server-sent events as OpenAI writes
//! it, pre-rendered, so that 20,000 deltas cost the server next to nothing; how it is cut into
//! writes, paced and broken is part of the reply. Every request is kept with the instant it
//! arrived and the instant its reply ended ([`MockServer::requests`]).
//!
//! It listens on 127.0.0.1, a free port, with a thread for each connection (keep-alive, chunked,
//! `TCP_NODELAY`). Dropping the [`MockServer`] ends the threads, those that hang or pause included.
//!
//! Absent on purpose: TLS, HTTP/2, authentication, and any judgement about what a client sends.

mod fault;
mod http;
mod render;
mod reply;
mod scenario;
mod server;

pub use fault::{Fault, http_date};
pub use http::RecordedRequest;
pub use reply::{Call, Reply};
pub use scenario::Scenario;
pub use server::MockServer;

#[cfg(test)]
mod tests;
