//! What `/v1/chat/completions` answers.

use std::sync::Arc;

use axum::response::Response;
use chat::{Heard, Tokenizer};

use super::super::App;
use super::super::order::Replying;
use super::stream::{Broken, Events, stream};
use super::{Head, error, json, logprobs, name};
use crate::protocol::{
    CallDelta, Chat, ChatChoice, Choices, Delta, FunctionDelta, Generation, Usage,
};
use crate::reply::Piece;
use crate::server::Server;

#[cfg(test)]
mod tests;

/// Replies to a conversation, at once or piece by piece.
pub(in super::super) async fn chat(app: &App, replying: Replying) -> Response {
    let head = Head::new("chatcmpl-", replying.model.clone());
    let server = Arc::clone(&app.server);
    if replying.generation.stream {
        return stream(app, |events| told(events, head, server, replying));
    }
    let Replying { mut reply, generation, prompt_ids, .. } = replying;
    let mut whole = match reply.rest().await {
        Ok(whole) => whole,
        Err(failed) => return error(&failed),
    };
    let message = message(std::mem::take(&mut whole.heard));
    let choice =
        ChatChoice { message: Some(message), ..choice(server.tokenizer(), &whole, &generation) };
    json(
        200,
        &Chat {
            object: "chat.completion",
            prompt_token_ids: prompt_ids,
            ..piece(&head, Some(choice), Some(reply.usage))
        },
    )
}

async fn told(
    events: Events,
    head: Head,
    server: Arc<Server>,
    replying: Replying,
) -> Result<(), Broken> {
    let Replying { mut reply, generation, prompt_ids, .. } = replying;
    let role =
        Delta { role: Some("assistant"), content: Some(Some(String::new())), ..Delta::default() };
    let nothing = choice(server.tokenizer(), &Piece::default(), &generation);
    let begin = ChatChoice { delta: Some(role), logprobs: None, ..nothing };
    let begin = piece(&head, Some(begin), None);
    events.say(&Chat { prompt_token_ids: prompt_ids, ..begin }).await?;
    while let Some(mut heard) = events.next(&mut reply).await? {
        let mut deltas = deltas(std::mem::take(&mut heard.heard));
        // The tokens go with the last of what they came to.
        let last = deltas.pop().unwrap_or_default();
        for delta in deltas {
            let choice = ChatChoice {
                delta: Some(delta),
                ..choice(server.tokenizer(), &Piece::default(), &generation)
            };
            events.say(&piece(&head, Some(ChatChoice { logprobs: None, ..choice }), None)).await?;
        }
        let choice =
            ChatChoice { delta: Some(last), ..choice(server.tokenizer(), &heard, &generation) };
        events.say(&piece(&head, Some(choice), None)).await?;
    }
    if generation.include_usage {
        events.say(&piece(&head, None, Some(reply.usage))).await?;
    }
    Ok(())
}

fn piece(head: &Head, choice: Option<ChatChoice>, usage: Option<Usage>) -> Chat {
    Chat {
        id: head.id.clone(),
        object: "chat.completion.chunk",
        created: head.created,
        model: head.model.clone(),
        choices: Choices(choice),
        usage,
        prompt_token_ids: None,
    }
}

fn choice(tokenizer: &Tokenizer, piece: &Piece, generation: &Generation) -> ChatChoice {
    ChatChoice {
        index: 0,
        message: None,
        delta: None,
        logprobs: logprobs::of_chat(tokenizer, &piece.tokens, generation.logprobs),
        finish_reason: piece.finish,
        token_ids: generation.token_ids.then(|| piece.ids()),
    }
}

/// What was heard, as additions; what follows one another in a text is one.
fn deltas(heard: Vec<Heard>) -> Vec<Delta> {
    let mut deltas: Vec<Delta> = Vec::new();
    for heard in heard {
        match (heard, deltas.last_mut()) {
            (Heard::Text(text), Some(Delta { content: Some(Some(said)), .. })) => {
                said.push_str(&text);
            }
            (Heard::Text(text), _) => {
                deltas.push(Delta { content: Some(Some(text)), ..Delta::default() });
            }
            (Heard::Reasoning(text), Some(Delta { reasoning_content: Some(said), .. })) => {
                said.push_str(&text);
            }
            (Heard::Reasoning(text), _) => {
                deltas.push(Delta { reasoning_content: Some(text), ..Delta::default() });
            }
            (Heard::CallName { index, name: tool }, _) => {
                deltas.push(call(CallDelta { index: Some(index), ..named(tool) }));
            }
            (Heard::CallArguments { index, delta }, _) => {
                let function = FunctionDelta { name: None, arguments: delta };
                let more = CallDelta { index: Some(index), function, ..CallDelta::default() };
                deltas.push(call(more));
            }
        }
    }
    deltas
}

fn call(call: CallDelta) -> Delta {
    Delta { tool_calls: vec![call], ..Delta::default() }
}

/// A call that begins.
fn named(tool: String) -> CallDelta {
    CallDelta {
        index: None,
        id: Some(name("call_")),
        kind: Some("function"),
        function: FunctionDelta { name: Some(tool), arguments: String::new() },
    }
}

/// What was heard, as a whole message.
fn message(heard: Vec<Heard>) -> Delta {
    let mut message = Delta { role: Some("assistant"), ..Delta::default() };
    let mut content = String::new();
    for heard in heard {
        match heard {
            Heard::Reasoning(text) => {
                message.reasoning_content.get_or_insert_default().push_str(&text);
            }
            Heard::Text(text) => content.push_str(&text),
            Heard::CallName { name: tool, .. } => message.tool_calls.push(named(tool)),
            Heard::CallArguments { delta, .. } => {
                // Arguments are those of the call that was named last.
                if let Some(call) = message.tool_calls.last_mut() {
                    call.function.arguments.push_str(&delta);
                }
            }
        }
    }
    let is_null = content.is_empty() && !message.tool_calls.is_empty();
    message.content = Some((!is_null).then_some(content));
    message
}
