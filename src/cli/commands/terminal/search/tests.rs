use super::*;

#[test]
fn what_narrows_a_search_down_is_told_from_words() {
    let typed =
        r#"lexer tag:easy file:src/a.rs "a tool:b c" tool:edit error: model:qwen tag:odd x"#;
    let search = wanted(typed).unwrap();
    assert_eq!(search.text, r#"lexer "a tool:b c" error: x"#);
    assert_eq!(search.tags, ["easy", "odd"]);
    assert_eq!(search.file.as_deref(), Some("src/a.rs"));
    assert_eq!(search.tool.as_deref(), Some("edit"));
    assert_eq!(search.model.as_deref(), Some("qwen"));
    assert!(search.since_ns.is_none());
    assert!(wanted("since:7d").unwrap().since_ns.is_some());
    let wrong = wanted("since:yesterdayish").unwrap_err().to_string();
    assert!(wrong.contains("since:yesterdayish is not a time such as"), "{wrong}");
    let judged = wanted("outcome:failure until:2026-11-20").unwrap();
    assert_eq!(judged.outcome, Some(Outcome::Failure));
    assert!(judged.until_ns.is_some());
    let wrong = wanted("outcome:splendid").unwrap_err().to_string();
    assert!(wrong.contains("success, failure or unknown"), "{wrong}");
    assert_eq!(wanted("file: tool: std::fs").unwrap().text, "file: tool: std::fs");
}
