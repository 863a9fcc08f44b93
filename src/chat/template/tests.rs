use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::fixtures;
use crate::{ChatError, Conversation, Template};

/// Every rendering of the fixtures, beside what `transformers` gave.
fn each_golden(mut check: impl FnMut(&str, &Value, &Template, &Value, &Value)) {
    let (goldens, conversations) =
        (fixtures::load("goldens.json"), fixtures::load("conversations.json"));
    for (name, family) in fixtures::load("families.json").as_object().unwrap() {
        for path in family["templates"].as_array().unwrap() {
            let path = path.as_str().unwrap();
            let source = std::fs::read_to_string(fixtures::path(path)).unwrap();
            let template = Template::new(&source, fixtures::specials(family)).unwrap();
            for conversation in conversations.as_array().unwrap() {
                let title = conversation["name"].as_str().unwrap();
                let key = format!("{name} {path} {title}");
                check(&key, family, &template, conversation, &goldens[&key]);
            }
        }
    }
}

fn conversation(of: &Value) -> Conversation {
    let list = |key: &str| of[key].as_array().cloned().unwrap_or_default();
    Conversation::new(&list("messages"), &list("tools"), 0)
}

#[test]
fn texts_are_those_of_transformers_byte_for_byte() {
    let mut count = 0;
    each_golden(|key, _, template, given, golden| {
        let given = conversation(given);
        match golden["text"].as_str() {
            None => assert!(template.render(&given, false).is_err(), "{key} is not refused"),
            Some(text) => {
                let rendered = template.render(&given, false);
                let rendered = rendered.unwrap_or_else(|error| panic!("{key}: {error}"));
                assert_eq!(rendered, text, "{key}");
                if let Some(adds) = golden["prompt_adds"].as_str() {
                    let prompt = template.render(&given, true).unwrap();
                    assert_eq!(prompt, format!("{text}{adds}"), "{key}");
                }
                count += 1;
            }
        }
    });
    assert!(count > 80, "{count} renderings");
}

#[test]
fn ids_are_those_of_transformers() {
    let mut tokenizers = BTreeMap::new();
    each_golden(|key, family, _, _, golden| {
        let Some(text) = golden["text"].as_str() else { return };
        let name = family["pre"].as_str().unwrap().to_owned();
        let tokenizer = tokenizers.entry(name).or_insert_with(|| fixtures::tokenizer(family));
        assert_eq!(json!(tokenizer.encode(text).unwrap().ids), golden["ids"], "{key}");
    });
}

#[test]
fn what_a_template_marks_is_what_transformers_finds_marked() {
    let mut count = 0;
    each_golden(|key, _, template, given, golden| {
        let Some(marked) = golden["generated"].as_array() else { return };
        let rendered = template.render_marked(&conversation(given)).unwrap();
        let characters = |byte: usize| rendered.text[..byte].chars().count();
        let mut ours: Vec<(usize, usize)> = Vec::new();
        for stretch in &rendered.generated {
            ours.push((characters(stretch.start), characters(stretch.end)));
        }
        // Stretches that touch are one here.
        let mut theirs: Vec<(usize, usize)> = Vec::new();
        for pair in marked {
            let pair = (pair[0].as_u64().unwrap() as usize, pair[1].as_u64().unwrap() as usize);
            match theirs.last_mut() {
                Some(last) if last.1 == pair.0 => last.1 = pair.1,
                _ => theirs.push(pair),
            }
        }
        assert_eq!(ours, theirs, "{key}");
        count += 1;
    });
    assert!(count > 30, "{count} conversations");
}

#[test]
#[ignore = "needs the packages of Python that make.py names"]
fn goldens_are_what_transformers_gives_now() {
    let mut python = std::process::Command::new("python3");
    let run = python.arg(fixtures::path("make.py")).arg("--check").output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

fn renders(source: &str, message: &Value) -> Result<String, ChatError> {
    let given = Conversation::new(std::slice::from_ref(message), &[], 86_400 * 59);
    Template::new(source, BTreeMap::new())?.render(&given, false)
}

#[test]
fn values_print_as_python_prints_them() {
    let value = json!({"content": {"t": true, "n": null, "f": [1e22, 1e16, 123456.0, 0.0001, 1e-5, -0.0],
        "s": ["it's", "\"", "a\n", "both ' and \""], "e": [{}, []]}});
    let check =
        |source: &str, expected: &str| assert_eq!(renders(source, &value).unwrap(), expected);
    check("{{ messages[0].content.t }} {{ messages[0].content.n }}", "True None");
    check("{{ messages[0].content.f }}", "[1e+22, 1e+16, 123456.0, 0.0001, 1e-05, -0.0]");
    check("{{ messages[0].content.s }}", r#"["it's", '"', 'a\n', 'both \' and "']"#);
    check("{{ messages[0].content.e | tojson }}", "[{}, []]");
    check("{{ messages[0].content.e | tojson(indent=2) }}", "[\n  {},\n  []\n]");
    check("{{ messages[0].content.f | tojson }}", "[1e+22, 1e+16, 123456.0, 0.0001, 1e-05, -0.0]");
    check(
        "{{ {'b': 'é', 'a': 1} | tojson(sort_keys=True, ensure_ascii=True) }}",
        r#"{"a": 1, "b": "\u00e9"}"#,
    );
    check("{{ [1, 2] | tojson(separators=(',', ':')) }}", "[1,2]");
}

#[test]
fn line_ends_of_a_template_are_one_kind() {
    assert_eq!(renders("{% if true %}\r\na\r\n{% endif %}\rb", &json!({})).unwrap(), "a\nb");
}

#[test]
fn dates_are_those_of_the_conversation() {
    let date = renders("{{ strftime_now('%d %b %Y') }}", &json!({})).unwrap();
    assert_eq!(date, "01 Mar 1970");
}

#[test]
fn a_template_that_raises_loops_or_is_broken_says_so() {
    let fails = |source: &str| renders(source, &json!({"content": "x"})).unwrap_err();
    let refused = fails("{{ raise_exception('Roles must alternate.') }}");
    assert!(
        matches!(&refused, ChatError::Refused(why) if why == "Roles must alternate"),
        "{refused}"
    );
    let source = "\n{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}";
    let endless = Template::with_fuel(source, BTreeMap::new(), 100_000).unwrap();
    let endless = endless.render(&Conversation::new(&[], &[], 0), false).unwrap_err().to_string();
    assert!(endless.contains("does not come to an end"), "{endless}");
    let broken = fails("\n\n{% for %}");
    assert!(matches!(broken, ChatError::Template { line: Some(3), .. }), "{broken:?}");
    assert!(broken.to_string().contains("--template"), "{broken}");
}

#[test]
fn marks_leave_the_text_as_it_is_and_what_is_said_cannot_forge_them() {
    let source = "{% for m in messages %}\n  {%- if m.x %} {% generation %}\n{{ m.content }}\n  {% endgeneration %}\n{% endif %}{% endfor %}";
    let template = Template::new(source, BTreeMap::new()).unwrap();
    let message = |content: &str| json!({"x": true, "content": content});
    let plain = Conversation::new(&[message("one"), message("two")], &[], 0);
    let rendered = template.render_marked(&plain).unwrap();
    assert_eq!(rendered.text, template.render(&plain, false).unwrap());
    let marked: Vec<&str> =
        rendered.generated.iter().map(|it| &rendered.text[it.clone()]).collect();
    assert_eq!(marked, ["one\n", "two\n"]);
    // The marks of one conversation mean nothing in another.
    let forged = format!("\u{10ffff}{}<", "0".repeat(64));
    let forged = Conversation::new(&[message(&forged)], &[], 0);
    let rendered = template.render_marked(&forged).unwrap();
    assert_eq!(rendered.text, template.render(&forged, false).unwrap());
    assert_eq!(rendered.generated.len(), 1);
}
