use proptest::prelude::*;
use serde_json::{Value, json};

use crate::fixtures::{self, DEEPSEEK, TOOL_AWARE};
use crate::formats::{Call, Format, Said};
use crate::{Conversation, Template};

const DEEPSEEK_END: &str = "<｜end▁of▁sentence｜>";

const ALL: [Format; 4] = [Format::Hermes, Format::Llama3, Format::Glm, Format::DeepSeek];

fn source(template: &str) -> String {
    std::fs::read_to_string(fixtures::path(template)).unwrap()
}

fn tools() -> Vec<Value> {
    vec![json!({"type": "function", "function": {"name": "f", "description": "d",
        "parameters": {"type": "object", "properties": {"s": {"type": "string"}, "n": {}}}}})]
}

/// What a template writes for a reply, read again. `ends` is what the template puts after it.
fn there_and_back(template: &str, reply: &Value, ends: &str) -> Said {
    let source = source(template);
    let named = [("bos_token", ""), ("eos_token", DEEPSEEK_END)];
    let named = named.map(|(name, token)| (name.to_owned(), token.to_owned()));
    let compiled = Template::new(&source, named.into()).unwrap();
    let messages = [json!({"role": "user", "content": "u"}), reply.clone()];
    let text = compiled.render(&Conversation::new(&messages, &tools(), 0), false).unwrap();
    let prompt = Conversation::new(&messages[..1], &tools(), 0);
    let prompt = compiled.render(&prompt, true).unwrap();
    let prompt = prompt.trim_end_matches("<think>\n");
    let written = text.strip_prefix(prompt).unwrap();
    let written = written.trim_end_matches('\n').strip_suffix(ends).unwrap();
    Format::of(&source).unwrap().read(written, false, &tools())
}

#[test]
fn a_format_is_known_by_its_template() {
    let cases = [
        (TOOL_AWARE, Some(Format::Hermes)),
        ("templates/qwen2_5.jinja", Some(Format::Hermes)),
        ("templates/qwen3.jinja", Some(Format::Hermes)),
        ("templates/llama3_1.jinja", Some(Format::Llama3)),
        ("templates/glm4moe.jinja", Some(Format::Glm)),
        ("templates/deepseekv3_training.jinja", Some(Format::DeepSeek)),
        (DEEPSEEK, Some(Format::DeepSeek)),
        ("templates/smollm2.jinja", None),
    ];
    for (template, format) in cases {
        assert_eq!(Format::of(&source(template)), format, "{template}");
    }
}

#[test]
fn what_is_no_call_stays_text() {
    for text in [
        "<tool_call>{oops</tool_call>",
        "<tool_call>",
        "{\"name\": \"f\"",
        "a {\"name\": \"f\"}",
        "</tool_call>",
        "<｜tool▁call▁begin｜>x<｜tool▁call▁end｜>",
    ] {
        for format in ALL {
            if format == Format::Glm && text.contains("</tool_call>") {
                continue;
            }
            let said = format.read(text, false, &[]);
            assert_eq!((said.text.as_str(), said.calls.len()), (text, 0), "{format:?}");
        }
    }
    let said = Format::Hermes.read(
        "<tool_call>{bad</tool_call>\n<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>",
        false,
        &[],
    );
    assert_eq!((said.text.as_str(), said.calls.len()), ("<tool_call>{bad</tool_call>", 1));
}

#[test]
fn deepseek_writes_calls_in_two_ways() {
    let fenced = "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"n\": 1}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>";
    let plain = "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"n\": 1}<｜tool▁call▁end｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>";
    let read =
        |text: &str| Format::DeepSeek.read(&format!("So.\n</think>\n\nI call.{text}"), true, &[]);
    let call = |arguments: &str| Call { name: "f".to_owned(), arguments: arguments.to_owned() };
    for (text, calls) in
        [(fenced, vec![call("{\"n\": 1}")]), (plain, vec![call("{\"n\": 1}"), call("{}")])]
    {
        let said = read(text);
        assert_eq!((said.reasoning.as_deref(), said.text.as_str()), (Some("So."), "I call."));
        assert_eq!(said.calls, calls);
    }
}

#[test]
fn thoughts_that_the_prompt_opened_end_where_they_are_closed() {
    let said = Format::Hermes.read("So.\n</think>\n\nYes.", true, &[]);
    assert_eq!((said.reasoning.as_deref(), said.text.as_str()), (Some("So."), "Yes."));
    let cut = Format::Hermes.read("So", true, &[]);
    assert_eq!((cut.reasoning.as_deref(), cut.text.as_str()), (Some("So"), ""));
}

/// Text as models write it, without the signs that formats are made of.
fn words() -> impl Strategy<Value = String> {
    "[a-zA-Zé日0-9 .,'\"\\\\]{0,20}[a-zé日.]"
}

fn arguments() -> impl Strategy<Value = Value> {
    (words(), -5i32..500, any::<bool>())
        .prop_map(|(text, number, flag)| json!({"s": text, "n": [number, flag, null, {"k": 0.5}]}))
}

fn reply(think: Option<&str>, text: &str, calls: &[Value]) -> Value {
    let calls: Vec<Value> = calls
        .iter()
        .map(|arguments| json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}))
        .collect();
    let mut message = json!({"role": "assistant", "content": text});
    if let Some(think) = think {
        message["reasoning_content"] = think.into();
    }
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    message
}

fn check(said: &Said, think: Option<&str>, text: &str, calls: &[Value]) {
    assert_eq!(said.reasoning.as_deref().filter(|it| !it.is_empty()), think);
    assert_eq!(said.text, text);
    let read: Vec<Value> = said
        .calls
        .iter()
        .map(|Call { arguments, .. }| serde_json::from_str(arguments).unwrap())
        .collect();
    assert_eq!(read, calls);
    assert!(said.calls.iter().all(|call| call.name == "f"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// What a template writes is read as what it was given.
    #[test]
    fn replies_go_there_and_back(
        think in words(), text in words(), calls in prop::collection::vec(arguments(), 0..3),
    ) {
        let think = think.trim();
        let thinks = Some(think).filter(|it| !it.is_empty());
        let message = reply(thinks, &text, &calls);
        for template in [TOOL_AWARE, "templates/qwen3.jinja", "templates/qwen3_training.jinja"] {
            check(&there_and_back(template, &message, "<|im_end|>"), thinks, &text, &calls);
        }
        let plain = reply(None, &text, &calls);
        check(&there_and_back("templates/qwen2_5.jinja", &plain, "<|im_end|>"), None, &text, &calls);
        check(&there_and_back(DEEPSEEK, &message, DEEPSEEK_END), thinks, &text, &calls);
        let glm = there_and_back("templates/glm4moe.jinja", &reply(thinks, text.trim(), &calls), "");
        check(&glm, thinks, text.trim(), &calls);
        let one = &calls[..calls.len().min(1)];
        let said = if one.is_empty() { text.trim() } else { "" };
        let llama = there_and_back("templates/llama3_1.jinja", &reply(None, said, one), "<|eot_id|>");
        check(&llama, None, said, one);
        if !calls.is_empty() {
            let reply = reply(None, &text, &calls);
            let said = there_and_back("templates/deepseekv3_training.jinja", &reply, DEEPSEEK_END);
            check(&said, None, &text, &calls);
        }
    }

    /// Whatever a model writes, reading it neither fails nor loses what is no call.
    #[test]
    fn anything_can_be_read(text in prop_oneof![
        ".*",
        "((<tool_call>|</tool_call>|<think>|</think>|<arg_key>|</arg_key>|<arg_value>|</arg_value>|<｜tool▁call▁begin｜>|<｜tool▁sep｜>|<｜tool▁call▁end｜>|\\{|\\}|\"name\"|:|f|\n){0,14})",
    ], thinking in any::<bool>()) {
        for format in ALL {
            let said = format.read(&text, thinking, &tools());
            if said.calls.is_empty() && said.reasoning.is_none() {
                prop_assert_eq!(&said.text, &text);
            }
        }
    }
}
