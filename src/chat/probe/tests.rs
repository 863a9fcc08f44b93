use std::path::Path;

use serde_json::json;

use crate::fixtures::{DEEPSEEK, TOOL_AWARE, dialect, folder};
use crate::{ChatError, Dialect, Part};

fn drops(family: &str, template: &str) -> Vec<&'static str> {
    let dialect = dialect(family, template);
    let parts = [
        Part::System,
        Part::Tools,
        Part::Calls,
        Part::ParallelCalls,
        Part::TextBesideCalls,
        Part::ToolRole,
        Part::Reasoning,
    ];
    parts.into_iter().filter(|part| dialect.drops(*part)).map(Part::as_str).collect()
}

#[test]
fn what_templates_drop_is_found_out() {
    let reasoning = ["reasoning"];
    assert_eq!(drops("qwen", "templates/qwen2_5.jinja"), reasoning);
    assert_eq!(drops("qwen", "templates/qwen3.jinja"), [""; 0]);
    assert_eq!(drops("glm", "templates/glm4moe.jinja"), [""; 0]);
    assert_eq!(drops("smollm", TOOL_AWARE), [""; 0]);
    assert_eq!(drops("deepseek", DEEPSEEK), [""; 0]);
    assert_eq!(
        drops("llama", "templates/llama3_1.jinja"),
        ["the second of two tool calls", "text beside a tool call", "reasoning"]
    );
    let smollm = drops("smollm", "templates/smollm2.jinja");
    assert!(smollm.contains(&"tool calls") && smollm.contains(&"the tools on offer"), "{smollm:?}");
}

#[test]
fn a_conversation_is_refused_only_for_what_is_in_it() {
    let dialect = dialect("smollm", "templates/smollm2.jinja");
    let user = json!({"role": "user", "content": "Hi."});
    assert!(dialect.conversation(std::slice::from_ref(&user), &[], 0).is_ok());
    let tool = json!({"type": "function", "function": {"name": "read"}});
    let error = dialect.conversation(&[user], &[tool], 0).unwrap_err();
    assert!(matches!(&error, ChatError::Drops(what) if what == "the tools on offer"), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("--template") && text.contains("chatml-tools"), "{text}");
}

#[test]
fn arguments_are_given_as_the_template_reads_them() {
    let dialect = dialect("deepseek", "templates/deepseekv3.jinja");
    assert!(!dialect.drops(Part::Calls));
    let call = json!({"role": "assistant", "content": null, "tool_calls": [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}]});
    assert_eq!(dialect.shaped(&call)["tool_calls"][0]["function"]["arguments"], "{\"a\":1}");
}

#[test]
fn what_is_no_model_is_refused_with_its_name() {
    let without = folder("qwen", None);
    let error = Dialect::open(without.path(), None).unwrap_err();
    assert!(matches!(error, ChatError::NoTemplate(_)), "{error}");
    let own = Path::new("chatml-tools");
    assert!(Dialect::open(without.path(), Some(own)).is_ok());
    assert!(Dialect::open(without.path(), Some(Path::new("deepseek-tools"))).is_ok());
    std::fs::write(without.path().join("tokenizer_config.json"), "[").unwrap();
    let error = Dialect::open(without.path(), Some(own)).unwrap_err().to_string();
    assert!(error.contains("tokenizer_config.json"), "{error}");
    let empty = tempfile::tempdir().unwrap();
    let error = Dialect::open(empty.path(), None).unwrap_err().to_string();
    assert!(error.contains("tokenizer.json"), "{error}");
}
