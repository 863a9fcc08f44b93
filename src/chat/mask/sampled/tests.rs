use proptest::prelude::*;
use serde_json::{Value, json};

use crate::fixtures::{self, TOOL_AWARE, dialect};
use crate::mask::tests::{all, conversation, made, trained};
use crate::{Dialect, Masked, Origin, Wanted};

/// The tokens of a text that is cut into pieces before it is cut into tokens: what no tokenizer
/// would choose.
fn cut(dialect: &Dialect, text: &str, every: usize) -> Vec<u32> {
    let chars: Vec<char> = text.chars().collect();
    let pieces = chars.chunks(every).map(|piece| piece.iter().collect::<String>());
    pieces.flat_map(|piece| dialect.tokenizer().encode(&piece).unwrap().ids).collect()
}

/// Masks a conversation in which these messages were sampled so.
fn mask(dialect: &Dialect, messages: &[Value], sampled: &[(usize, &[u32])]) -> Masked {
    let mut by_message = vec![None; messages.len()];
    sampled.iter().for_each(|(message, ids)| by_message[*message] = Some(*ids));
    let tools = conversation("one tool").1;
    dialect.mask_sampled((messages, &tools), &all(messages), &by_message, 0).unwrap()
}

fn reply(masked: &Masked, number: usize) -> &[u32] {
    &masked.ids[masked.replies[number].tokens.clone()]
}

#[test]
fn a_reply_is_trained_in_the_tokens_in_which_it_was_sampled() {
    for (family, template) in [
        ("qwen", "templates/qwen2_5.jinja"),
        ("smollm", TOOL_AWARE),
        ("llama", "templates/llama3_1.jinja"),
        ("glm", "templates/glm4moe_training.jinja"),
    ] {
        let dialect = dialect(family, template);
        let messages = [
            json!({"role": "user", "content": "Hi."}),
            json!({"role": "assistant", "content": "Hello! What can I do?"}),
            json!({"role": "user", "content": "Go on."}),
            json!({"role": "assistant", "content": "Of course, if you say so."}),
        ];
        let plain = dialect.mask(&messages, &[], &all(&messages), 0).unwrap();
        let first = &plain.replies[0];
        let stop = plain.ids[first.tokens.end - 1];
        let spelled = dialect.tokenizer().decode(&plain.ids[first.tokens.clone()]).unwrap();
        let stop_spelled = dialect.tokenizer().decode(&[stop]).unwrap();
        let mut sampled = cut(&dialect, spelled.strip_suffix(&stop_spelled).unwrap(), 1);
        let canonical = plain.ids[first.tokens.clone()].to_vec();
        sampled.push(stop);
        assert_ne!(sampled, canonical, "{family}: no tokenizer cuts it so");
        let mask_with = |ids: &[u32]| {
            let mut by_message = vec![None; messages.len()];
            by_message[first.message] = Some(ids);
            dialect.mask_sampled((&messages, &[]), &all(&messages), &by_message, 0).unwrap()
        };
        let masked = mask_with(&sampled);
        assert_eq!(reply(&masked, 0), sampled, "{family}");
        assert_eq!(masked.replies[0].origin, Origin::Sampled);
        assert_eq!(masked.replies[1].origin, Origin::Text);
        assert_eq!(reply(&masked, 1), &plain.ids[plain.replies[1].tokens.clone()]);
        assert_eq!(masked.text, plain.text);
        assert_eq!(trained(&dialect, &masked), trained(&dialect, &plain));
        assert_eq!(masked.ids.len(), plain.ids.len() + sampled.len() - canonical.len());
        assert_eq!(masked.trained.len(), masked.ids.len());
        // A server that leaves out the token at which the model stopped says the same.
        assert_eq!(mask_with(&sampled[..sampled.len() - 1]), masked);
        // What was cut as the tokenizer would cut it changes nothing but where it comes from.
        assert_eq!(mask_with(&canonical).ids, plain.ids);
    }
}

#[test]
fn tokens_of_another_text_are_not_taken() {
    let dialect = dialect("smollm", TOOL_AWARE);
    let messages = conversation("plain").0;
    let plain = mask(&dialect, &messages, &[]);
    let message = plain.replies[0].message;
    let said = cut(&dialect, "Hello! What can I do", 2);
    let unknown = [cut(&dialect, "Hello! What can I do?", 3), vec![u32::MAX - 1]].concat();
    for ids in [said, unknown, Vec::new()] {
        let masked = mask(&dialect, &messages, &[(message, &ids)]);
        assert_eq!(masked.replies[0].origin, Origin::OtherText);
        assert_eq!((&masked.ids, &masked.trained), (&plain.ids, &plain.trained));
    }
}

#[test]
fn a_prompt_that_stood_alone_is_split_as_it_was_and_the_first_token_is_trained() {
    // A carriage return and a line end are one token of this family.
    let dialect = made("smollm", "\\r", "{{- '\\r' }}", "");
    let messages = [
        json!({"role": "user", "content": "Hi."}),
        json!({"role": "assistant", "content": "\n Hello."}),
    ];
    let sampled = cut(&dialect, "\n Hello.", 1);
    let by_message = [None, Some(sampled.as_slice())];
    let masked = dialect.mask_sampled((&messages, &[]), &all(&messages), &by_message, 0).unwrap();
    assert_eq!(trained(&dialect, &masked), ["\n Hello.<|im_end|>"]);
    assert!(!masked.replies[0].straddles);
    let sent = dialect.conversation(&messages[..1], &[], 0).unwrap();
    let prompt = dialect.template().render(&sent, true).unwrap();
    let prompt = dialect.tokenizer().encode(&prompt).unwrap().ids;
    let count = masked.replies[0].tokens.start;
    assert_eq!(&masked.ids[count - 2..count], &prompt[prompt.len() - 2..]);
}

#[test]
fn parts_of_a_sampled_reply_are_trained_alone() {
    let dialect = dialect("smollm", TOOL_AWARE);
    let (messages, tools) = conversation("thinking");
    let mut wanted = all(&messages);
    let whole = dialect.mask(&messages, &tools, &wanted, 0).unwrap();
    let first = &whole.replies[0];
    let text = whole.text[first.bytes.clone()].strip_suffix("<|im_end|>").unwrap().to_owned();
    let calls = messages[first.message]["tool_calls"].as_array().unwrap().len();
    wanted[first.message] =
        Wanted::Parts { reasoning: true, content: false, calls: vec![false; calls] };
    let plain = dialect.mask(&messages, &tools, &wanted, 0).unwrap();
    for every in 1..7 {
        let sampled = cut(&dialect, &text, every);
        let mut by_message = vec![None; messages.len()];
        by_message[first.message] = Some(sampled.as_slice());
        let masked = dialect.mask_sampled((&messages, &tools), &wanted, &by_message, 0).unwrap();
        assert_eq!(masked.replies[0].origin, Origin::Sampled);
        let (of_text, of_ids) = (trained(&dialect, &plain), trained(&dialect, &masked));
        // A token that reaches into what is not trained is left out with it.
        assert!(of_text[0].starts_with(&of_ids[0]), "{every}: {of_ids:?} of {of_text:?}");
        assert!(of_text[0].len() - of_ids[0].len() < every, "{every}: {of_ids:?}");
        assert_eq!(of_text[1..], of_ids[1..]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However it was cut: what is trained is what was sampled, the text is the same, and what was
    /// not sampled stays as it is.
    #[test]
    fn whatever_was_sampled_is_trained(
        every in 1_usize..9,
        texts in prop::collection::vec("[a-z ä€\n.🦀]{1,30}[a-z]", 1..4),
        skip in 0_usize..4,
    ) {
        let dialect = dialect("smollm", TOOL_AWARE);
        let rounds = texts.iter().flat_map(|text| [
            json!({"role": "user", "content": "Go on."}),
            json!({"role": "assistant", "content": text}),
        ]);
        let messages: Vec<Value> = rounds.collect();
        let plain = mask(&dialect, &messages, &[]);
        let said: Vec<(usize, Vec<u32>)> = plain
            .replies
            .iter()
            .map(|reply| {
                let text = plain.text[reply.bytes.clone()].strip_suffix("<|im_end|>").unwrap();
                (reply.message, cut(&dialect, text, every))
            })
            .collect();
        let sampled: Vec<(usize, &[u32])> = said
            .iter()
            .enumerate()
            .filter(|(number, _)| *number != skip)
            .map(|(_, (message, ids))| (*message, ids.as_slice()))
            .collect();
        let masked = mask(&dialect, &messages, &sampled);
        prop_assert_eq!(dialect.tokenizer().decode(&masked.ids), Some(plain.text.clone()));
        prop_assert_eq!(trained(&dialect, &masked), trained(&dialect, &plain));
        let stop = dialect.tokenizer().id("<|im_end|>").unwrap();
        for (number, found) in masked.replies.iter().enumerate() {
            let (_, ids) = &said[number];
            let expected = if number == skip {
                plain.ids[plain.replies[number].tokens.clone()].to_vec()
            } else {
                [ids.as_slice(), &[stop]].concat()
            };
            prop_assert_eq!(&masked.ids[found.tokens.clone()], expected.as_slice());
            prop_assert!(masked.trained[found.tokens.clone()].iter().all(|is_trained| *is_trained));
        }
    }
}

#[test]
fn a_decoder_that_drops_the_first_space_hides_none() {
    // The tokenizers of SentencePiece put a mark in the place of spaces, and their decoders drop
    // the first.
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
        "pre_tokenizer": null, "post_processor": null, "added_tokens": [],
        "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"},
        "model": {"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0, "▁a": 1, "b": 2, "a": 3}},
    });
    let tokenizer = crate::Tokenizer::from_json(json.to_string().as_bytes()).unwrap();
    assert!(tokenizer.spells(&[1, 2], " ab") && tokenizer.spells(&[3, 2], "ab"));
    assert!(!tokenizer.spells(&[3, 2], " ab") && !tokenizer.spells(&[9], ""));
    assert!(tokenizer.spells(&[], "") && !tokenizer.spells(&[], "a"));
    let own = fixtures::tokenizer(&fixtures::family("qwen"));
    let euro = own.encode("€").unwrap().ids;
    assert!(own.spells(&euro, "€") && (euro.len() == 1 || !own.spells(&euro[..1], "€")));
}
