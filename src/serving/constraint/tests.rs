use std::path::Path;
use std::sync::OnceLock;

use chat::{Format, ReplyReader, Tokenizer};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde_json::{Value, json};

use crate::constraint::{Calls, Constraint, ConstraintError, Grammar, ToolChoice};

const FORMATS: [Format; 4] = [Format::Hermes, Format::Llama3, Format::Glm, Format::DeepSeek];

/// A tokenizer of Qwen's kind: a few hundred tokens, some of the tags among them, every byte.
fn tokenizer() -> &'static Tokenizer {
    static TOKENIZER: OnceLock<Tokenizer> = OnceLock::new();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../chat/fixtures/model/tokenizer.json");
    TOKENIZER.get_or_init(|| Tokenizer::open(&path).unwrap())
}

/// What all tokens spell.
fn spellings() -> &'static [Vec<u8>] {
    static SPELLINGS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let spellings = || {
        let size = u32::try_from(tokenizer().size()).unwrap();
        (0..size).map(|id| tokenizer().bytes(id).unwrap()).collect()
    };
    SPELLINGS.get_or_init(spellings)
}

fn spelled(id: u32) -> &'static [u8] {
    &spellings()[id as usize]
}

fn grammar() -> &'static Grammar {
    static GRAMMAR: OnceLock<Grammar> = OnceLock::new();
    GRAMMAR.get_or_init(|| Grammar::new(tokenizer()).unwrap())
}

/// Any JSON object.
fn object() -> Constraint {
    grammar().json_schema(&json!({"type": "object"}), false).unwrap()
}

fn function(name: &str, parameters: &Value) -> Value {
    json!({"type": "function", "function": {"name": name, "description": "d", "parameters": parameters}})
}

fn tools() -> Vec<Value> {
    let read = json!({
        "type": "object",
        "properties": {
            "path": {"type": "string"},
            "mode": {"type": "string", "enum": ["r", "rw"]},
            "count": {"type": "integer", "minimum": 0, "maximum": 20},
            "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "maxItems": 2},
        },
        "required": ["path", "count"],
        "additionalProperties": false,
        "$defs": {"tag": {"type": "object", "properties": {"on": {"type": "boolean"}},
            "required": ["on"], "additionalProperties": false}},
    });
    vec![
        function("read", &read),
        function("list.all", &json!({"type": "object", "properties": {}})),
    ]
}

/// Whether a call is one of these tools and as its schema says.
fn is_valid(name: &str, arguments: &str) -> bool {
    let Ok(Value::Object(arguments)) = serde_json::from_str::<Value>(arguments) else {
        return false;
    };
    if name == "list.all" {
        return true;
    }
    let is_tag =
        |tag: &Value| tag.as_object().is_some_and(|tag| tag.len() == 1 && tag["on"].is_boolean());
    name == "read"
        && arguments["path"].is_string()
        && arguments["count"].as_u64().is_some_and(|count| count <= 20)
        && arguments.iter().all(|(key, value)| match key.as_str() {
            "path" | "count" => true,
            "mode" => value == "r" || value == "rw",
            "tags" => {
                value.as_array().is_some_and(|tags| tags.len() <= 2 && tags.iter().all(is_tag))
            }
            _ => false,
        })
}

fn calls(format: Format, choice: ToolChoice, tools: &[Value]) -> Calls<'_> {
    Calls { format, thinking: false, tools, choice, parallel: true }
}

/// Whether a text is let through, and the reply may end there.
fn takes(mut constraint: Constraint, text: &str) -> bool {
    for id in tokenizer().encode(text).unwrap().ids {
        if !constraint.allowed().unwrap().has(id) {
            return false;
        }
        constraint.take(id).unwrap();
    }
    constraint.allowed().unwrap().may_end()
}

fn check(calls: &Calls<'_>, taken: &[&str], refused: &[&str]) {
    for (texts, expected) in [(taken, true), (refused, false)] {
        for text in texts {
            let constraint = grammar().calls(calls).unwrap();
            assert_eq!(takes(constraint, text), expected, "{text:?} of {:?}", calls.choice);
        }
    }
}

const HERMES: &str = "<tool_call>\n{\"name\": \"read\", \"arguments\": {\"path\": \"</tool_call>\", \"count\": 3}}\n</tool_call>";
const HERMES_OTHER: &str = "<tool_call>\n{\"name\": \"list.all\", \"arguments\": {}}\n</tool_call>";

#[test]
fn calls_of_hermes_are_as_its_template_writes_them() {
    let tools = tools();
    let many = [HERMES, HERMES_OTHER].join("\n");
    let thought = format!("<think>\nA <tool_call>?\n</think>\n\n{HERMES}");
    let said = format!("I look.\n{HERMES}");
    let broken = "<tool_call>\n{\"name\": \"write\", \"arguments\": {}}\n</tool_call>";
    let wrong = HERMES.replace('3', "30");
    let open = &HERMES[..40];
    let auto = calls(Format::Hermes, ToolChoice::Auto, &tools);
    check(
        &auto,
        &["", "Yes.", "1 < 2 <tool", HERMES, &many, &said, &thought],
        &[broken, &wrong, open],
    );
    let required = calls(Format::Hermes, ToolChoice::Required, &tools);
    check(&required, &[HERMES, &many, &thought], &["", "Yes.", &said, broken]);
    let one = Calls { parallel: false, ..required };
    check(&one, &[HERMES], &[&many]);
    let named = calls(Format::Hermes, ToolChoice::Named("list.all".to_owned()), &tools);
    check(&named, &[HERMES_OTHER], &["", HERMES, &many]);
    let none = calls(Format::Hermes, ToolChoice::None, &tools);
    let thought = "<think>\nA <tool_call>?\n</think>\n\nNo.";
    check(&none, &["", "Yes <tool.", thought], &[HERMES, &said, "<tool_call>"]);
}

#[test]
fn thoughts_that_the_prompt_opened_are_free_until_they_close() {
    let tools = tools();
    let required = Calls { thinking: true, ..calls(Format::Hermes, ToolChoice::Required, &tools) };
    let whole = format!("So <tool_call>.\n</think>\n\n{HERMES}");
    check(&required, &[&whole], &[HERMES, "So."]);
    let auto = Calls { choice: ToolChoice::Auto, ..required };
    check(&auto, &[&whole, "So.</think>Yes."], &["So."]);
}

#[test]
fn calls_of_other_families_are_as_their_templates_write_them() {
    let tools = tools();
    let llama = "{\"name\": \"read\", \"parameters\": {\"path\": \"a\", \"count\": 3}}";
    let auto = calls(Format::Llama3, ToolChoice::Auto, &tools);
    let (many, spaced) = (format!("{llama}; {llama}"), format!("\n\n{llama}"));
    check(
        &auto,
        &[llama, &many, &spaced, "{\"a\": 1}", "Yes {\"name\": 1}", ""],
        &["{\"name\": \"x\"}", "{ \"name\": \"read\"}", "<|python_tag|>f()"],
    );
    check(&calls(Format::Llama3, ToolChoice::None, &tools), &["Yes."], &[llama]);
    check(&calls(Format::Llama3, ToolChoice::Required, &tools), &[llama, &many], &["Yes.", ""]);

    let glm = "<tool_call>read\n<arg_key>path</arg_key>\n<arg_value>{ </tool_call></arg_value>\n<arg_key>count</arg_key>\n<arg_value>3</arg_value>\n</tool_call>";
    let partly =
        "<tool_call>read\n<arg_key>count</arg_key>\n<arg_value>3</arg_value>\n</tool_call>";
    let (said, other) = (format!("So.\n{glm}"), "<tool_call>list.all\n</tool_call>");
    let auto = calls(Format::Glm, ToolChoice::Auto, &tools);
    check(&auto, &[glm, &said, other, "Yes."], &[partly, "<tool_call>"]);

    let plain = "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>read<｜tool▁sep｜>{\"path\": \"a\", \"count\": 3}<｜tool▁call▁end｜><｜tool▁calls▁end｜>";
    let fenced = "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>read\n```json\n{\"path\": \"a\", \"count\": 3}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>list.all\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>";
    let bare = plain.trim_start_matches("<｜tool▁calls▁begin｜>");
    let auto = calls(Format::DeepSeek, ToolChoice::Auto, &tools);
    check(&auto, &[plain, fenced, "Yes."], &[bare, "<｜tool▁calls▁begin｜>"]);
}

#[test]
fn a_json_schema_is_all_that_a_reply_may_be() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}},
        "required": ["a"], "additionalProperties": false});
    for (text, expected) in [
        ("{\"a\": 1}", true),
        ("{\n  \"a\": 1\n}", true),
        ("<think>\nHm.\n</think>\n\n{\"a\":1}", true),
        ("{\"a\": \"b\"}", false),
        ("{\"a\": 1} ", false),
        ("A: {\"a\": 1}", false),
        ("", false),
    ] {
        let constraint = grammar().json_schema(&schema, false).unwrap();
        assert_eq!(takes(constraint, text), expected, "{text:?}");
    }
    assert!(takes(object(), "{\"x\": [1, {}]}"));
    assert!(!takes(object(), "[1]"));
    assert!(takes(grammar().json_schema(&schema, true).unwrap(), "Hm.</think>{\"a\": 1}"));
}

#[test]
fn control_tokens_and_unknown_ids_are_in_no_grammar() {
    let mut constraint = object();
    constraint.take(tokenizer().id("{").unwrap()).unwrap();
    constraint.take(tokenizer().id("\"").unwrap()).unwrap();
    let allowed = constraint.allowed().unwrap();
    let size = u32::try_from(tokenizer().size()).unwrap();
    assert!(allowed.has(tokenizer().id("a").unwrap()));
    assert!(!allowed.has(tokenizer().id("<|im_end|>").unwrap()));
    assert!((size..size + 200).all(|id| !allowed.has(id)));
    assert!(!allowed.may_end());
}

#[test]
fn what_cannot_be_enforced_is_refused_with_its_place() {
    let with = |tools: &[Value], choice| {
        grammar().calls(&calls(Format::Hermes, choice, tools)).unwrap_err()
    };
    assert_eq!(with(&[], ToolChoice::Required), ConstraintError::NoTools);
    let unknown = ToolChoice::Named("zap".to_owned());
    assert_eq!(with(&tools(), unknown), ConstraintError::UnknownTool("zap".to_owned()));
    let bad =
        function("bad", &json!({"type": "object", "properties": {"a": {"$ref": "#/nowhere"}}}));
    let good = |count: usize| (0..count).map(|_| tools()[0].clone());
    for place in [0, 1, 4, 6] {
        let tools: Vec<Value> = good(place).chain([bad.clone()]).chain(good(6 - place)).collect();
        let error = with(&tools, ToolChoice::Required).to_string();
        assert!(error.contains(&format!("tools[{place}]")) && error.contains("\"bad\""), "{error}");
        // Where no call is demanded nobody is told, and it is not looked for.
        let error = with(&tools, ToolChoice::Auto).to_string();
        assert!(error.contains("What tools holds"), "{error}");
    }
    for name in ["a\nb", "", &"a".repeat(129)] {
        let named = function(name, &json!({"type": "object"}));
        assert!(matches!(with(&[named], ToolChoice::Auto), ConstraintError::Schema { .. }));
    }
    let typed = function("a", &json!({"type": "string"}));
    assert!(matches!(with(&[typed], ToolChoice::Auto), ConstraintError::Schema { .. }));
    let error = grammar().json_schema(&json!({"type": "objekt"}), false).unwrap_err();
    assert!(error.to_string().contains("response_format"), "{error}");
}

#[test]
fn a_grammar_is_compiled_once_and_begins_anew_with_each_reply() {
    let grammar = Grammar::new(tokenizer()).unwrap();
    let tools = tools();
    let calls = calls(Format::Hermes, ToolChoice::Required, &tools);
    for text in [HERMES, HERMES_OTHER, HERMES] {
        assert!(takes(grammar.calls(&calls).unwrap(), text), "{text:?}");
    }
    let lark = calls.lark(&calls.wanted().unwrap(), grammar.thinks).unwrap();
    assert!(grammar.kept.get(&lark, || panic!("it is compiled again")).is_ok());
    // What cannot be compiled is not tried again either.
    let schema = json!({"type": "object", "properties": {"a": {"$ref": "#/nowhere"}}});
    let bad = [function("bad", &schema)];
    let calls = Calls { tools: &bad, choice: ToolChoice::Auto, ..calls };
    let lark = calls.lark(&calls.wanted().unwrap(), grammar.thinks).unwrap();
    let reason = grammar.calls(&calls).unwrap_err().to_string();
    let kept = grammar.kept.get(&lark, || panic!("it is compiled again")).err().unwrap();
    assert!(reason.contains(&kept), "{reason} {kept}");
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(json!({}), |inner, _| json!({"properties": {"a": inner}}))
}

#[test]
fn hostile_schemas_are_errors_or_bounded() {
    let wide: Vec<Value> = (0..100_000).map(|number| json!(format!("value {number}"))).collect();
    let error = |schema: &Value| grammar().json_schema(schema, false).unwrap_err();
    assert!(matches!(error(&nested(40)), ConstraintError::TooDeep { .. }));
    assert!(matches!(error(&json!({"enum": wide})), ConstraintError::TooLarge { .. }));
    let all = |count: usize, inner: Value| (0..count).map(|_| inner.clone()).collect::<Vec<_>>();
    let doubled = |key: &str| {
        (0..24).fold(
            json!({"type": "object", "properties": {"a": {"type": "string"}}}),
            |inner, _| json!({key: [{"$ref": "#/$defs/x"}, inner]}),
        )
    };
    // Whether the library makes something of these is its business, as long as it comes back.
    for schema in [
        json!({"$ref": "#"}),
        json!({"$defs": {"x": {"$ref": "#/$defs/x"}}, "$ref": "#/$defs/x"}),
        json!({"$ref": "http://localhost/x.json"}),
        json!({"allOf": all(200, json!({"anyOf": all(20, json!({"type": "string"}))}))}),
        json!({"type": "string", "pattern": "(a{1,1000}){1,1000}"}),
        json!({"type": "string", "pattern": "((a*)*)*b"}),
        json!({"type": "string", "pattern": "("}),
        json!({"type": "string", "minLength": 4_000_000_000u64}),
        json!({"type": "array", "minItems": 4_000_000_000u64}),
        json!({"type": "number", "multipleOf": 1e-300}),
        json!({"type": "integer", "minimum": -1e300, "maximum": 1e300}),
        json!({"not": {}}),
        json!({"oneOf": all(300, json!({"type": "object", "properties": {"a": {"type": "number"}}}))}),
        doubled("allOf"),
        doubled("anyOf"),
        json!({"x-guidance": {"whitespace_pattern": "("}, "type": "object"}),
    ] {
        if let Ok(mut constraint) = grammar().json_schema(&schema, false) {
            let _ = constraint.allowed();
        }
        let tools = [function("f", &json!({"properties": {"a": schema}}))];
        for format in FORMATS {
            if let Ok(mut constraint) =
                grammar().calls(&calls(format, ToolChoice::Required, &tools))
            {
                let _ = constraint.allowed();
            }
        }
    }
}

/// After so many tokens a babbler wants to be done with it, and then it is: what it says is closed
/// with one word in ten or so.
const BABBLED: usize = 150;
const BABBLED_MAX: usize = 4000;

/// What closes something in one of the formats.
const CLOSING: [&str; 10] = [
    "\"",
    "}",
    "]",
    "</think>",
    "</tool_call>",
    "</arg_key>",
    "</arg_value>",
    "\n```",
    "<｜tool▁call▁end｜>",
    "<｜tool▁calls▁end｜>",
];

/// A model without sense: it says what it wishes as long as it may, and then anything, with a
/// leaning towards what ends things.
struct Babbler {
    chance: ChaCha8Rng,
    wish: Vec<u8>,
}

impl Babbler {
    fn below(&mut self, count: usize) -> usize {
        (self.chance.next_u64() % count as u64) as usize
    }

    /// A reply, to its end.
    fn reply(&mut self, mut constraint: Constraint) -> String {
        let mut ids = Vec::new();
        for said in 0..BABBLED_MAX {
            let allowed = constraint.allowed().unwrap();
            let size = u32::try_from(spellings().len()).unwrap();
            let may: Vec<u32> = (0..size).filter(|id| allowed.has(*id)).collect();
            let is_late = said >= BABBLED;
            let ends = is_late || (self.wish.is_empty() && self.below(3) == 0);
            if may.is_empty() || (allowed.may_end() && ends) {
                assert!(allowed.may_end(), "nothing may follow, and it may not end");
                return tokenizer().decode(&ids).unwrap();
            }
            if is_late && self.wish.is_empty() {
                self.wish = CLOSING[self.below(CLOSING.len())].as_bytes().to_vec();
            }
            let id = self.next(&may);
            constraint.take(id).unwrap();
            ids.push(id);
        }
        panic!("it comes to no end: {:?}", tokenizer().decode(&ids));
    }

    fn next(&mut self, may: &[u32]) -> u32 {
        let fits = may.iter().filter(|id| self.wish.starts_with(spelled(**id)));
        if let Some(id) = fits.max_by_key(|id| spelled(**id).len()) {
            self.wish.drain(..spelled(*id).len());
            return *id;
        }
        self.wish.clear();
        let ends = ["\"", "}", "]", "</tool_call>", "</think>", "\"}", "}}", "</"];
        let closes = |id: &&u32| ends.iter().any(|text| text.as_bytes() == spelled(**id));
        let closing: Vec<u32> = may.iter().filter(closes).copied().collect();
        let from = if closing.is_empty() || self.below(3) == 0 { may } else { &closing };
        from[self.below(from.len())]
    }
}

fn wishes() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "",
        "Yes.\n<tool_call>",
        "<tool_call>\n{\"nam",
        "<tool_call>{\"name\": \"write\"",
        "<tool_call>read",
        "<tool_call>list.all",
        "<think>Hm <tool_call></think>\n\n",
        "{\"name\": \"read\"",
        "{ \"name\": \"read\"",
        "{\"a\": 1, \"name\": \"f\"}",
        "So.<｜tool▁calls▁begin｜>",
        "<｜tool▁call▁begin｜>read<｜tool▁sep｜>{}",
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>",
        "<tool_call>\n{\"name\": \"read\", \"arguments\": {\"path\": \"</tool_call>\\\"}}</tool_call>",
    ])
    .prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Whatever a model would rather say, what it may say reads as what was chosen.
    #[test]
    fn no_broken_call_comes_through(
        wish in wishes(), seed in any::<u64>(), parallel in any::<bool>(), which in 0usize..4,
        choice in prop::sample::select(vec![
            ToolChoice::Auto, ToolChoice::None, ToolChoice::Required, ToolChoice::Named("read".to_owned()),
        ]),
    ) {
        let (tools, format) = (tools(), FORMATS[which]);
        let wanted = Calls { parallel, ..calls(format, choice.clone(), &tools) };
        let chance = ChaCha8Rng::seed_from_u64(seed);
        let mut babbler = Babbler { chance, wish: wish.into_bytes() };
        let reply = babbler.reply(grammar().calls(&wanted).unwrap());
        let said = format.read(&reply, false, &tools);
        for call in &said.calls {
            prop_assert!(is_valid(&call.name, &call.arguments), "{:?} in {:?}", call, reply);
        }
        let is_lone = !parallel || matches!(choice, ToolChoice::Named(_));
        prop_assert!(!is_lone || said.calls.len() <= 1, "{:?}", reply);
        match choice {
            ToolChoice::None => prop_assert!(said.calls.is_empty(), "{:?}", reply),
            ToolChoice::Auto => {
                let opens: &[&str] = match format {
                    Format::Hermes | Format::Glm => &["<tool_call>"],
                    Format::DeepSeek => &["<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>"],
                    Format::Llama3 => &[],
                };
                prop_assert!(opens.iter().all(|open| !said.text.contains(open)), "{:?}", reply);
            }
            ToolChoice::Required => prop_assert!(!said.calls.is_empty(), "{:?}", reply),
            ToolChoice::Named(name) => {
                prop_assert_eq!(said.calls.len(), 1);
                prop_assert_eq!(&said.calls[0].name, &name);
            }
        }
    }

    /// A reply with a schema is JSON of that schema, after its thoughts.
    #[test]
    fn replies_with_a_schema_are_of_that_schema(seed in any::<u64>(), thinking in any::<bool>()) {
        let schema = &tools()[0]["function"]["parameters"];
        let chance = ChaCha8Rng::seed_from_u64(seed);
        let mut babbler = Babbler { chance, wish: Vec::new() };
        let reply = babbler.reply(grammar().json_schema(schema, thinking).unwrap());
        let mut reader = ReplyReader::new(None, thinking, &[]);
        let mut heard = reader.push(&reply);
        heard.extend(reader.end());
        let text: String = heard
            .into_iter()
            .filter_map(|part| match part {
                chat::Heard::Text(text) => Some(text),
                _ => None,
            })
            .collect();
        prop_assert!(is_valid("read", &text), "{:?}", reply);
    }
}

/// What schemas are made of, in any order.
fn schemas() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(true)),
        Just(json!(null)),
        any::<i64>().prop_map(|number| json!(number)),
        prop::sample::select(vec![
            "string",
            "object",
            "array",
            "#",
            "#/$defs/a",
            "[a-z]+",
            "(",
            "date-time"
        ])
        .prop_map(|text| json!(text)),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let key = prop::sample::select(vec![
            "type",
            "properties",
            "required",
            "items",
            "anyOf",
            "allOf",
            "oneOf",
            "enum",
            "const",
            "$ref",
            "$defs",
            "pattern",
            "minLength",
            "maxLength",
            "minimum",
            "maximum",
            "multipleOf",
            "minItems",
            "maxItems",
            "additionalProperties",
            "patternProperties",
            "format",
            "not",
            "prefixItems",
            "x-guidance",
            "a",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            prop::collection::vec((key, inner), 0..5).prop_map(|pairs| pairs
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect::<Value>()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// No schema is more than an error.
    #[test]
    fn any_schema_is_made_or_refused(schema in schemas()) {
        if let Ok(mut constraint) = grammar().json_schema(&schema, false) {
            let _ = constraint.allowed();
        }
        let tools = [function("f", &schema)];
        for format in FORMATS {
            if let Ok(mut constraint) = grammar().calls(&calls(format, ToolChoice::Auto, &tools)) {
                let _ = constraint.allowed();
            }
        }
    }
}
