use proptest::collection::vec;
use proptest::prelude::*;
use trajectory::event::Cut;

use super::{ReplyTokens, TokenLog, Unfold, pack, put_back, unpack};
use crate::tests::{Story, home, sound};
use crate::{Durability, NewEvent, RequestFinished, Write};

/// Tokens as they are, small ones as often as large ones.
fn ids(most: usize) -> impl Strategy<Value = Vec<u32>> {
    vec(prop_oneof![0..200_u32, 0..200_000_u32, any::<u32>()], 0..most)
}

/// A step of a session: how much of the conversation so far its prompt keeps, what it adds, what is
/// sampled, and whether the server says the ids of the prompt.
fn steps() -> impl Strategy<Value = Vec<(u8, Vec<u32>, Vec<u32>, bool)>> {
    vec((any::<u8>(), ids(40), ids(20), prop::bool::weighted(0.9)), 0..12)
}

proptest! {
    #[test]
    fn ids_come_back_as_they_were(ids in ids(300)) {
        prop_assert_eq!(unpack(&pack(ids.iter())).unwrap(), ids);
    }

    #[test]
    fn bytes_that_are_no_ids_are_refused_and_others_are_what_they_say(bytes in vec(any::<u8>(), 0..64)) {
        if let Ok(ids) = unpack(&bytes) {
            prop_assert_eq!(unpack(&pack(ids.iter())).unwrap(), ids);
        }
    }

    #[test]
    fn prompts_that_grow_shrink_or_are_not_told_come_back_whole(steps in steps()) {
        let (mut log, mut unfold) = (TokenLog::default(), Unfold::default());
        let mut conversation: Vec<u32> = Vec::new();
        for (request, (keep, new, sampled, is_told)) in (1..).zip(steps) {
            conversation.truncate(conversation.len() * usize::from(keep) / 255);
            conversation.extend(new);
            let prompt = is_told.then(|| conversation.clone());
            let tokens = ReplyTokens { request, tokenizer: None, prompt, sampled: sampled.clone() };
            let (event, blob) = log.take(tokens.clone(), &mut Vec::new());
            let back = unfold.next(&event, Some(blob.bytes())).unwrap();
            prop_assert_eq!(back, Some(tokens));
            conversation.extend(sampled);
        }
    }

    #[test]
    fn a_response_is_made_whole_again(prompt in ids(50), spaced: bool, before in "[a-z]{0,9}", after in "[a-z]{0,9}") {
        let comma = if spaced { ", " } else { "," };
        let list = prompt.iter().map(ToString::to_string).collect::<Vec<_>>().join(comma);
        let whole = format!(r#"data: {{"id":"{before}","prompt_token_ids": [{list}],"x":"{after}"}}"#);
        let mut stored = whole.clone().into_bytes();
        let tokens = ReplyTokens { request: 1, prompt: Some(prompt.clone()), ..ReplyTokens::default() };
        let (event, _) = TokenLog::default().take(tokens, &mut stored);
        prop_assert_eq!(event.cut.is_some(), !prompt.is_empty());
        if let Some(cut) = event.cut {
            prop_assert!(String::from_utf8_lossy(&stored).contains("[]"));
            put_back(&mut stored, cut, &prompt);
        }
        prop_assert_eq!(String::from_utf8(stored).unwrap(), whole);
    }
}

#[test]
fn a_list_that_could_not_be_put_back_stays_in_the_response() {
    for odd in [
        r#"{"prompt_token_ids":[1 ,2]}"#,
        r#"{"prompt_token_ids":[1,2,3]}"#,
        r#"{"prompt_token_ids":null}"#,
        r#"{"prompt_token_ids":"#,
        r#"{"content":"\"prompt_token_ids\":[1,2]"}"#,
        "",
    ] {
        let mut stored = odd.as_bytes().to_vec();
        let tokens = ReplyTokens { prompt: Some(vec![1, 2]), ..ReplyTokens::default() };
        let (event, _) = TokenLog::default().take(tokens, &mut stored);
        assert_eq!((event.cut, String::from_utf8(stored).unwrap().as_str()), (None, odd));
    }
    // An offset that no response has changes nothing.
    let mut stored = b"abc".to_vec();
    put_back(&mut stored, Cut { at: 4, spaced: false }, &[1]);
    assert_eq!(stored, b"abc");
}

#[test]
fn what_claims_more_tokens_than_it_has_is_damage() {
    let (event, blob) = TokenLog::default().take(
        ReplyTokens { prompt: Some(vec![1, 2, 3]), sampled: vec![4], ..ReplyTokens::default() },
        &mut Vec::new(),
    );
    let refused = |change: fn(&mut trajectory::event::Sampled)| {
        let mut event = event.clone();
        change(&mut event);
        Unfold::default().next(&event, Some(blob.bytes())).unwrap_err()
    };
    assert!(refused(|event| event.tokens = 9).contains("another number"));
    assert!(refused(|event| event.tokens = u64::MAX).contains("than any model reads"));
    assert!(refused(|event| event.kept = 4).contains("more tokens than it has"));
    assert!(
        refused(|event| (event.kept, event.prompt_tokens) = (1, Some(4))).contains("there were")
    );
}

#[test]
fn prompts_that_keep_more_and_more_of_one_another_end_somewhere() {
    let most = 2 * super::TOKENS_MAX as u64;
    let zeros = vec![0_u8; super::TOKENS_MAX / 2];
    let mut unfold = Unfold::default();
    let told = (1..=5_u64).map(|count| {
        let new = zeros.len() as u64;
        let event = trajectory::event::Sampled {
            request: 1,
            tokenizer: None,
            prompt_tokens: Some(count * new),
            kept: (count - 1) * new,
            tokens: 0,
            blake3: String::new(),
            cut: None,
        };
        let read = unfold.next(&event, Some(&zeros)).map(|tokens| tokens.is_some());
        assert!(read.is_err() == (count * new > most), "{count}: {read:?}");
        read
    });
    let told: Vec<_> = told.collect();
    assert_eq!(told[3], Ok(true), "so many is as many as there may be");
    assert_eq!(told[4], Err("it has more tokens than any model reads"));
}

#[test]
fn what_was_redacted_is_missing_and_so_is_every_prompt_that_builds_on_it() {
    let (mut log, mut unfold) = (TokenLog::default(), Unfold::default());
    let mut take = |prompt: &[u32], sampled: &[u32], is_there: bool| {
        let (prompt, sampled) = (Some(prompt.to_vec()), sampled.to_vec());
        let tokens = ReplyTokens { prompt, sampled, ..ReplyTokens::default() };
        let (event, blob) = log.take(tokens, &mut Vec::new());
        unfold.next(&event, is_there.then_some(blob.bytes())).unwrap()
    };
    assert_eq!(take(&[1, 2], &[3], false), None);
    let next = take(&[1, 2, 3, 4], &[5], true).unwrap();
    assert_eq!((next.prompt, next.sampled), (None, vec![5]), "the reply stands by itself");
    let anew = take(&[9], &[5], true).unwrap();
    assert_eq!(anew.prompt, Some(vec![9]), "a prompt that keeps nothing is whole");
}

#[tokio::test]
async fn the_tokens_of_a_session_are_read_back_and_its_responses_are_whole() {
    let (_folder, home) = home();
    let mut story = Story::begin(&home);
    let mut log = TokenLog::default();
    let mut told = Vec::new();
    story.prompt("hello").await;
    for (request, prompt) in [(1, vec![7, 8]), (2, vec![7, 8, 9, 300_000])] {
        assert_eq!(story.ask().await, request);
        let list = prompt.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let whole = format!("data: {{\"prompt_token_ids\":[{list}]}}\n\n");
        let tokens = ReplyTokens {
            request,
            tokenizer: Some("ab".repeat(32)),
            prompt: Some(prompt),
            sampled: vec![9, request],
        };
        let mut response = whole.clone().into_bytes();
        let (event, blob) = log.take(tokens.clone(), &mut response);
        let row = RequestFinished {
            request,
            attempt: 1,
            response: Some(response),
            ..RequestFinished::default()
        };
        let body = trajectory::Body::from(event);
        let events = vec![NewEvent { round: 1, source: body.source(), body }];
        let write = Write { events, rows: vec![row.into()], blobs: vec![blob] };
        story.commit(write, Durability::Relaxed).await;
        told.push((tokens, whole));
    }
    story.end_round().await;
    let id = story.end().await;
    let archive = sound(&home, id);
    let mut read = Vec::new();
    archive.reply_tokens(&mut |tokens| read.push(tokens)).unwrap();
    assert_eq!(read, told.iter().map(|(tokens, _)| tokens.clone()).collect::<Vec<_>>());
    for (tokens, whole) in told {
        let response = archive.response(tokens.request, 1).unwrap().unwrap();
        assert_eq!(String::from_utf8(response).unwrap(), whole);
    }
}
