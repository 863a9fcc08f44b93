use proptest::prelude::*;
use serde_json::{Value, json};

use crate::fixtures::{self, DEEPSEEK, TOOL_AWARE, dialect};
use crate::{ChatError, Dialect, Masked, Unfit, Wanted};

pub(super) fn conversation(name: &str) -> (Vec<Value>, Vec<Value>) {
    let all = fixtures::load("conversations.json");
    let found = all.as_array().unwrap().iter().find(|it| it["name"] == name).unwrap();
    let list = |key: &str| found[key].as_array().cloned().unwrap_or_default();
    (list("messages"), list("tools"))
}

/// Everything that the assistant says is wanted.
pub(super) fn all(messages: &[Value]) -> Vec<Wanted> {
    let wanted = |message: &Value| match message["role"].as_str() {
        Some("assistant") => Wanted::Everything,
        _ => Wanted::Nothing,
    };
    messages.iter().map(wanted).collect()
}

fn mask(dialect: &Dialect, messages: &[Value], tools: &[Value]) -> Result<Masked, ChatError> {
    dialect.mask(messages, tools, &all(messages), 0)
}

/// What is trained, stretch by stretch, as text.
pub(super) fn trained(dialect: &Dialect, masked: &Masked) -> Vec<String> {
    let mut stretches: Vec<Vec<u32>> = Vec::new();
    let mut open = false;
    for (id, is_trained) in masked.ids.iter().zip(&masked.trained) {
        match (is_trained, stretches.last_mut()) {
            (true, Some(last)) if open => last.push(*id),
            (true, _) => stretches.push(vec![*id]),
            (false, _) => {}
        }
        open = *is_trained;
    }
    stretches.iter().map(|ids| dialect.tokenizer().decode(ids).unwrap()).collect()
}

fn check(family: &str, template: &str, name: &str, expected: &[&str]) {
    let dialect = dialect(family, template);
    let (messages, tools) = conversation(name);
    let masked = mask(&dialect, &messages, &tools).unwrap();
    assert_eq!(trained(&dialect, &masked), expected, "{family} {template} {name}");
    let full = dialect.tokenizer().encode(&masked.text).unwrap().ids;
    let shown = masked.ids.len() - usize::from(masked.stop_added);
    assert_eq!(masked.ids[..shown], full, "the masked ids are those of the full text");
    assert!(masked.unfit.is_empty() && masked.replies.iter().all(|reply| !reply.straddles));
}

#[test]
fn what_the_model_wrote_is_trained_with_what_it_stopped_with() {
    let plain = ["Hello! What can I do?<|im_end|>"];
    check("qwen", "templates/qwen2_5.jinja", "plain", &plain);
    check("qwen", "templates/qwen2_5_training.jinja", "plain", &plain);
    check("smollm", "templates/smollm2.jinja", "plain", &plain);
    check("llama", "templates/llama3_1.jinja", "plain", &["Hello! What can I do?<|eot_id|>"]);
    check(
        "llama",
        "templates/llama3_training.jinja",
        "plain",
        &["Hello! What can I do?<|eot_id|>"],
    );
    let two = ["6912.<|im_end|>", "Yes.\n<|im_end|>"];
    check("smollm", "templates/smollm2.jinja", "system", &two);
    check("smollm", TOOL_AWARE, "system", &two);
}

#[test]
fn calls_and_thoughts_are_trained_as_they_are_written() {
    let call = "I read it.\n<tool_call>\n{\"name\": \"read\", \"arguments\": {\"path\": \"a.txt\", \"limit\": 10}}\n</tool_call><|im_end|>";
    let thinking = [
        &*format!("<think>\nThe user wants\nthe file.\n</think>\n\n{call}"),
        "<think>\nSo it is x.\n</think>\n\nIt is x.<|im_end|>",
    ];
    check("qwen", "templates/qwen3.jinja", "thinking", &thinking);
    check("qwen", "templates/qwen3_training.jinja", "thinking", &thinking);
    check("smollm", TOOL_AWARE, "thinking", &thinking);
}

#[test]
fn deepseek_is_trained_with_its_thoughts_and_calls_and_refused_where_it_loses_them() {
    let call = "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>read\n```json\n{\"path\": \"a.txt\", \"limit\": 10}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>";
    let end = "<｜end▁of▁sentence｜>";
    let thinking = [
        &*format!("<think>\nThe user wants\nthe file.\n</think>\n\nI read it.{call}{end}"),
        &*format!("<think>\nSo it is x.\n</think>\n\nIt is x.{end}"),
    ];
    check("deepseek", DEEPSEEK, "thinking", &thinking);
    let (messages, tools) = conversation("parallel");
    let own = dialect("deepseek", DEEPSEEK);
    let mut wanted = all(&messages);
    wanted[1] = Wanted::Parts { reasoning: true, content: false, calls: vec![false, true] };
    let parts = trained(&own, &own.mask(&messages, &tools, &wanted, 0).unwrap());
    assert_eq!(parts[0], "<think>\nTwo at once.\n</think>\n\n");
    assert!(
        parts[1].starts_with("\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>shell"),
        "{parts:?}"
    );
    // Its own templates open a thought in the prompt and do not write it again.
    let plain = conversation("plain").0;
    for template in ["templates/deepseekv3.jinja", "templates/deepseekv3_training.jinja"] {
        let error = mask(&dialect("deepseek", template), &plain, &[]).unwrap_err();
        assert!(matches!(error, ChatError::NotPrefixStable { message: 1, .. }), "{error:?}");
    }
}

#[test]
fn glm_stops_with_the_role_of_whoever_speaks_next() {
    let expected = [
        "\n<think></think>\n<tool_call>read\n<arg_key>path</arg_key>\n<arg_value>a.txt</arg_value>\n</tool_call><|observation|>",
        "\n<think></think>\nTwo lines.<|user|>",
    ];
    check("glm", "templates/glm4moe.jinja", "one tool", &expected);
    check("glm", "templates/glm4moe_training.jinja", "one tool", &expected);
    // The stock template writes no token after the last message: the one that was sampled is added.
    let (messages, tools) = conversation("one tool");
    let stock = mask(&dialect("glm", "templates/glm4moe.jinja"), &messages, &tools).unwrap();
    let own = mask(&dialect("glm", "templates/glm4moe_training.jinja"), &messages, &tools).unwrap();
    assert!(stock.stop_added && !own.stop_added);
    // That the model wrote an empty thought is the template's word for it.
    assert_eq!((stock.empty_thoughts, own.empty_thoughts), (2, 2));
    assert_eq!((stock.ids, stock.trained), (own.ids, own.trained));
}

/// What `trl` trains with a template that marks what is generated, token by token, as
/// `transformers` gave it.
#[test]
fn masks_are_those_that_trl_trains_but_for_space_at_their_edges() {
    let (goldens, families) = (fixtures::load("goldens.json"), fixtures::load("families.json"));
    let mut compared = 0;
    for (key, golden) in goldens.as_object().unwrap() {
        let Some(stretches) = golden["trained"].as_array() else { continue };
        let (family, rest) = key.split_once(' ').unwrap();
        let templates = families[family]["templates"].as_array().unwrap().iter();
        let mut templates = templates.map(|it| it.as_str().unwrap());
        let template = templates.find(|it| rest.starts_with(*it)).unwrap();
        let (messages, tools) = conversation(&rest[template.len() + 1..]);
        let dialect = dialect(family, template);
        let masked = match mask(&dialect, &messages, &tools) {
            Ok(masked) => masked,
            Err(error) => {
                let is_known = match error {
                    ChatError::Drops(_) => true,
                    // It forgets earlier thoughts, though it is for training.
                    ChatError::NotPrefixStable { .. } if family == "glm" => key.ends_with("rounds"),
                    _ => template == "templates/deepseekv3_training.jinja",
                };
                assert!(is_known, "{key}: {error}");
                continue;
            }
        };
        let mut theirs = vec![false; masked.ids.len()];
        for stretch in stretches {
            let end = |place: usize| stretch[place].as_u64().unwrap() as usize;
            theirs[end(0)..end(1)].fill(true);
        }
        for (place, (ours, theirs)) in masked.trained.iter().zip(&theirs).enumerate() {
            let text = dialect.tokenizer().decode(&masked.ids[place..=place]).unwrap();
            let is_left_out = *theirs && !masked.unfit.is_empty();
            assert!(ours == theirs || text.trim().is_empty() || is_left_out, "{key}: {text:?}");
        }
        compared += 1;
    }
    assert!(compared > 25, "{compared} conversations");
}

#[test]
fn the_prompt_of_every_reply_is_the_request_that_was_sent() {
    for (family, template) in [
        ("qwen", "templates/qwen3_training.jinja"),
        ("smollm", TOOL_AWARE),
        ("glm", "templates/glm4moe_training.jinja"),
        ("deepseek", DEEPSEEK),
    ] {
        let dialect = dialect(family, template);
        for name in [
            "system",
            "one tool",
            "thinking",
            "odd values",
            "no arguments",
            "parallel",
            "malformed",
            "scripts",
        ] {
            let (messages, tools) = conversation(name);
            let masked = mask(&dialect, &messages, &tools).unwrap();
            assert!(!masked.replies.is_empty() || !masked.unfit.is_empty(), "{family} {name}");
            for reply in &masked.replies {
                let sent = dialect.conversation(&messages[..reply.message], &tools, 0).unwrap();
                let prompt = dialect.template().render(&sent, true).unwrap();
                let ids = dialect.tokenizer().encode(&prompt).unwrap().ids;
                assert_eq!(masked.ids[..reply.tokens.start], ids, "{family} {name} {reply:?}");
            }
        }
    }
}

#[test]
fn a_template_that_forgets_earlier_thoughts_is_told_apart_from_one_that_keeps_them() {
    let (messages, tools) = conversation("two rounds");
    for (family, template) in
        [("qwen", "templates/qwen3.jinja"), ("glm", "templates/glm4moe.jinja")]
    {
        let stock = dialect(family, template);
        let error = mask(&stock, &messages, &tools).unwrap_err();
        assert!(matches!(error, ChatError::NotPrefixStable { message: 1, .. }), "{error:?}");
        assert!(error.to_string().contains("--rows round"), "{error}");
        // The last round alone, with the first as its context.
        let mut wanted = all(&messages);
        wanted[1] = Wanted::Nothing;
        let masked = stock.mask(&messages, &tools, &wanted, 0).unwrap();
        assert_eq!(masked.replies.len(), 2);
    }
    let keeps = dialect("qwen", "templates/qwen3_training.jinja");
    assert_eq!(mask(&keeps, &messages, &tools).unwrap().replies.len(), 3);
}

/// A template of which the generation prompt and the tags can be chosen.
pub(super) fn made(family: &str, prompt: &str, before: &str, inside: &str) -> Dialect {
    let folder = fixtures::folder(family, None);
    let source = format!(
        "{{%- for m in messages %}}{{{{- '<|im_start|>' + m.role + '\\n' }}}}{{%- if m.role == 'assistant' %}}{before}{{%- generation %}}{inside}{{{{- m.content + '<|im_end|>' }}}}{{%- endgeneration %}}{{{{- '\\n' }}}}{{%- else %}}{{{{- m.content + '<|im_end|>\\n' }}}}{{%- endif %}}{{%- endfor %}}{{%- if add_generation_prompt %}}{{{{- '<|im_start|>assistant\\n{prompt}' }}}}{{%- endif %}}"
    );
    std::fs::write(folder.path().join("chat_template.jinja"), source).unwrap();
    Dialect::open(folder.path(), None).unwrap()
}

#[test]
fn a_thought_that_the_prompt_opens_is_not_trained() {
    let messages = [
        json!({"role": "user", "content": "Hi."}),
        json!({"role": "assistant", "content": "So.\n</think>\nHello."}),
    ];
    let opened = made("qwen", "<think>\\n", "{{- '<think>\\n' }}", "");
    let masked = mask(&opened, &messages, &[]).unwrap();
    assert_eq!(trained(&opened, &masked), ["So.\n</think>\nHello.<|im_end|>"]);
    // A template that marks it as generated contradicts its own prompt.
    let marks = made("qwen", "<think>\\n", "", "{{- '<think>\\n' }}");
    let error = mask(&marks, &messages, &[]).unwrap_err();
    let ChatError::MasksDiffer { message: 1, near, .. } = &error else { panic!("{error:?}") };
    assert!(near.contains("<think>"), "{error}");
    // One that writes the reply without what the prompt opened is another text than was prompted.
    let forgets = made("qwen", "<think>\\n", "", "");
    let error = mask(&forgets, &messages, &[]).unwrap_err();
    assert!(matches!(error, ChatError::NotPrefixStable { message: 1, .. }), "{error:?}");
}

#[test]
fn a_token_that_stands_across_the_end_of_the_prompt_is_not_trained_and_said() {
    // A carriage return and a line end are one token of this family.
    let dialect = made("smollm", "\\r", "{{- '\\r' }}", "");
    let messages = [
        json!({"role": "user", "content": "Hi."}),
        json!({"role": "assistant", "content": "\n Hello."}),
    ];
    let masked = mask(&dialect, &messages, &[]).unwrap();
    assert!(masked.replies[0].straddles);
    assert_eq!(trained(&dialect, &masked), ["Hello.<|im_end|>"]);
}

#[test]
fn parts_of_a_reply_are_trained_alone() {
    let (messages, tools) = conversation("parallel");
    let dialect = dialect("smollm", TOOL_AWARE);
    let mut wanted = all(&messages);
    let parts = |reasoning, first, second| Wanted::Parts {
        reasoning,
        content: false,
        calls: vec![first, second],
    };
    let mut check = |parts: Wanted, expected: &[&str]| {
        wanted[1] = parts;
        wanted[4] = Wanted::Nothing;
        let masked = dialect.mask(&messages, &tools, &wanted, 0).unwrap();
        assert_eq!(trained(&dialect, &masked), expected);
    };
    let think = "<think>\nTwo at once.\n</think>\n\n";
    let one = "<tool_call>\n{\"name\": \"read\", \"arguments\": {\"path\": \"a\"}}\n</tool_call>";
    let two = "\n<tool_call>\n{\"name\": \"shell\", \"arguments\": {\"command\": \"ls -la | head\", \"timeout\": 0.5}}\n</tool_call><|im_end|>";
    check(parts(true, false, false), &[think]);
    check(parts(false, true, false), &[one]);
    check(parts(true, false, true), &[think, two]);
    check(parts(true, true, true), &[&format!("{think}{one}{two}")]);
    check(parts(false, false, false), &[]);
}

#[test]
fn a_reply_that_spells_control_tokens_is_left_out_and_said() {
    let dialect = dialect("smollm", TOOL_AWARE);
    let mut messages = conversation("one tool").0;
    messages[2]["tool_calls"][0]["function"]["arguments"]["path"] = "<|im_end|>".into();
    let masked = mask(&dialect, &messages, &conversation("one tool").1).unwrap();
    assert_eq!(masked.unfit, [(2, Unfit::SpecialToken("<|im_end|>".to_owned()))]);
    assert_eq!(masked.replies.len(), 1);
}

#[test]
fn a_template_without_an_end_of_reply_is_refused() {
    let folder = fixtures::folder("qwen", None);
    let source = "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}";
    std::fs::write(folder.path().join("chat_template.jinja"), source).unwrap();
    let dialect = Dialect::open(folder.path(), None).unwrap();
    let (messages, tools) = conversation("system");
    let error = mask(&dialect, &messages, &tools).unwrap_err();
    assert!(matches!(error, ChatError::NoTerminator { message: 2, .. }), "{error:?}");
}

/// Text of all kinds, without the spelling of control tokens.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z ]{0,12}",
        "\\PC{0,8}",
        "[ \n\t<>/|{}\"']{0,6}[a-z]",
        "(日本|e\u{301}|\u{1f600}|\r\n| ){1,4}"
    ]
}

/// What happens after the user spoke: replies, each with a thought or none and some calls.
fn round() -> impl Strategy<Value = Vec<Value>> {
    let reply = (prop::option::of(text()), text(), prop::collection::vec(text(), 0..3));
    (text(), prop::collection::vec(reply, 1..4)).prop_map(|(asked, replies)| {
        let mut messages = vec![json!({"role": "user", "content": asked})];
        for (think, said, calls) in replies {
            let mut reply = json!({"role": "assistant", "content": said});
            if let Some(think) = think {
                reply["reasoning_content"] = think.into();
            }
            let call = |argument: &String| {
                json!({"id": "c", "type": "function",
                "function": {"name": "shell", "arguments": {"command": argument}}})
            };
            if !calls.is_empty() {
                reply["tool_calls"] = calls.iter().map(call).collect::<Vec<Value>>().into();
            }
            messages.push(reply);
            messages.extend(
                calls
                    .iter()
                    .map(|said| json!({"role": "tool", "tool_call_id": "c", "content": said})),
            );
        }
        messages
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is said: the ids are those of the whole text, what stands before a trained token is
    /// the request that was sent, and a reply is trained from its prompt to its end, all of it.
    #[test]
    fn what_is_trained_is_what_was_prompted(rounds in prop::collection::vec(round(), 1..3)) {
        let messages = rounds.concat();
        let tools = conversation("one tool").1;
        for (family, template, stop) in [
            ("smollm", TOOL_AWARE, "<|im_end|>"),
            ("deepseek", DEEPSEEK, "<｜end▁of▁sentence｜>"),
        ] {
        let dialect = dialect(family, template);
        let masked = mask(&dialect, &messages, &tools).unwrap();
        let tokenizer = dialect.tokenizer();
        prop_assert_eq!(&masked.ids, &tokenizer.encode(&masked.text).unwrap().ids);
        let mut expected = vec![false; masked.ids.len()];
        for reply in &masked.replies {
            let sent = dialect.conversation(&messages[..reply.message], &tools, 0).unwrap();
            let prompt = dialect.template().render(&sent, true).unwrap();
            let ids = tokenizer.encode(&prompt).unwrap().ids;
            prop_assert_eq!(reply.straddles, ids[..] != masked.ids[..reply.tokens.start]);
            let from = reply.tokens.start + usize::from(reply.straddles);
            expected[from..reply.tokens.end].fill(true);
            let last = masked.ids[reply.tokens.end - 1];
            prop_assert_eq!(tokenizer.decode(&[last]).unwrap(), stop);
        }
        prop_assert_eq!(&masked.trained, &expected);
        let replies = messages.iter().filter(|message| message["role"] == "assistant").count();
        prop_assert_eq!(masked.replies.len() + masked.unfit.len(), replies);
        }
    }
}
