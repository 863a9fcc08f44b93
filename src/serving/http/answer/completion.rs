//! What `/v1/completions` answers.

use std::sync::Arc;

use axum::response::Response;
use chat::{Heard, Tokenizer};

use super::super::App;
use super::super::order::Replying;
use super::stream::{Broken, Events, stream};
use super::{Head, error, json, logprobs};
use crate::protocol::{Choices, Completion, CompletionChoice, Generation, Usage};
use crate::reply::Piece;
use crate::server::Server;

#[cfg(test)]
mod tests;

/// Goes on with a text, at once or piece by piece.
pub(in super::super) async fn completion(app: &App, replying: Replying) -> Response {
    let head = Head::new("cmpl-", replying.model.clone());
    let server = Arc::clone(&app.server);
    if replying.generation.stream {
        return stream(app, |events| told(events, head, server, replying));
    }
    let Replying { mut reply, generation, prompt_ids, .. } = replying;
    let whole = match reply.rest().await {
        Ok(whole) => whole,
        Err(failed) => return error(&failed),
    };
    let mut begun = 0;
    let choice = choice(server.tokenizer(), whole, &generation, &mut begun);
    let usage = Some(reply.usage);
    json(200, &Completion { prompt_token_ids: prompt_ids, ..piece(&head, Some(choice), usage) })
}

async fn told(
    events: Events,
    head: Head,
    server: Arc<Server>,
    replying: Replying,
) -> Result<(), Broken> {
    let Replying { mut reply, generation, mut prompt_ids, .. } = replying;
    let mut begun = 0;
    while let Some(heard) = events.next(&mut reply).await? {
        let choice = choice(server.tokenizer(), heard, &generation, &mut begun);
        let piece = piece(&head, Some(choice), None);
        events.say(&Completion { prompt_token_ids: prompt_ids.take(), ..piece }).await?;
    }
    if generation.include_usage {
        events.say(&piece(&head, None, Some(reply.usage))).await?;
    }
    Ok(())
}

fn piece(head: &Head, choice: Option<CompletionChoice>, usage: Option<Usage>) -> Completion {
    Completion {
        id: head.id.clone(),
        object: "text_completion",
        created: head.created,
        model: head.model.clone(),
        choices: Choices(choice),
        usage,
        prompt_token_ids: None,
    }
}

fn choice(
    tokenizer: &Tokenizer,
    piece: Piece,
    generation: &Generation,
    begun: &mut usize,
) -> CompletionChoice {
    let token_ids = generation.token_ids.then(|| piece.ids());
    let text = piece.heard.into_iter().filter_map(|heard| match heard {
        Heard::Text(text) => Some(text),
        _ => None,
    });
    CompletionChoice {
        index: 0,
        text: text.collect(),
        logprobs: logprobs::of_text(tokenizer, &piece.tokens, generation.logprobs, begun),
        finish_reason: piece.finish,
        token_ids,
    }
}
