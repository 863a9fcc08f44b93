//! What the proxy itself answers: never more than a line, and the rule in it.

use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;

use crate::policy::Refusal;

const REASON_CHARS_MAX: usize = 200;

/// The policy says no. The rule stands in the status line too: of an answer to `CONNECT`, most
/// clients show nothing else.
pub(super) async fn refuse(client: &mut OwnedWriteHalf, refusal: &Refusal, keeps: bool) -> bool {
    let body = format!("limn refused this request: {refusal}.\n");
    answer(client, 403, &refusal.rule, &body, keeps).await
}

/// The request cannot be understood safely. The connection ends: nobody knows where the next
/// request would begin.
pub(super) async fn reject(client: &mut OwnedWriteHalf, what: &str) {
    let body = format!("limn's proxy cannot take this request: {what}.\n");
    answer(client, 400, "Bad Request", &body, false).await;
}

/// The server cannot be reached, or did not answer as it should.
pub(super) async fn fail(client: &mut OwnedWriteHalf, what: &str) {
    let body = format!("limn's proxy could not do it: {what}.\n");
    answer(client, 502, "Bad Gateway", &body, false).await;
}

/// Whether the connection goes on.
async fn answer(
    client: &mut OwnedWriteHalf,
    code: u16,
    reason: &str,
    body: &str,
    keeps: bool,
) -> bool {
    let plain = |c: &char| c.is_ascii_graphic() || *c == ' ';
    let reason: String = reason.chars().filter(plain).take(REASON_CHARS_MAX).collect();
    let connection = if keeps { "keep-alive" } else { "close" };
    let text = format!(
        "HTTP/1.1 {code} {reason}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: \
         {}\r\nConnection: {connection}\r\n\r\n{body}",
        body.len()
    );
    super::body::in_time(client.write_all(text.as_bytes())).await.is_ok() && keeps
}
