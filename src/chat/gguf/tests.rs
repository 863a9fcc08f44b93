use serde_json::Value;

use crate::fixtures;
use crate::gguf::{self, Header};
use crate::{ChatError, Dialect, Tokenizer};

/// A GGUF without weights: what llama.cpp's converter writes of a tokenizer.
fn written(family: &Value, template: &str, pre: &str) -> Vec<u8> {
    said(family, template, pre, None).finish()
}

/// The same, which may say whether a text begins with the token of beginnings; that is the one that
/// texts end with, too.
fn said(family: &Value, template: &str, pre: &str, begins: Option<bool>) -> Writer {
    let json = fixtures::tokenizer_json(family);
    let vocabulary = json["model"]["vocab"].as_object().unwrap();
    let mut tokens: Vec<(String, u32)> = vec![(String::new(), 1); vocabulary.len()];
    for (token, id) in vocabulary {
        tokens[id.as_u64().unwrap() as usize] = (token.clone(), 1);
    }
    for token in json["added_tokens"].as_array().unwrap() {
        let kind = if token["special"] == true { 3 } else { 4 };
        tokens.push((token["content"].as_str().unwrap().to_owned(), kind));
    }
    let merges: Vec<String> = json["model"]["merges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
        .collect();
    let eos = family["eos_token"].as_str().unwrap();
    let eos = tokens.iter().position(|(token, _)| token == eos).unwrap() as u32;
    let mut out = Writer::default();
    out.text("general.architecture", "test");
    out.numbers("some.numbers", &[1, 2, 3]);
    out.text("tokenizer.ggml.model", "gpt2");
    out.text("tokenizer.ggml.pre", pre);
    let spellings: Vec<&str> = tokens.iter().map(|(token, _)| token.as_str()).collect();
    out.texts("tokenizer.ggml.tokens", &spellings);
    let kinds: Vec<u32> = tokens.iter().map(|(_, kind)| *kind).collect();
    out.numbers("tokenizer.ggml.token_type", &kinds);
    out.texts("tokenizer.ggml.merges", &merges.iter().map(String::as_str).collect::<Vec<_>>());
    out.number("tokenizer.ggml.eos_token_id", eos);
    out.number("tokenizer.ggml.bos_token_id", eos);
    if let Some(begins) = begins {
        out.key("tokenizer.ggml.add_bos_token", 7);
        out.bytes.push(begins.into());
    }
    out.text("tokenizer.chat_template", template);
    out
}

#[derive(Default)]
struct Writer {
    values: u64,
    bytes: Vec<u8>,
    tensors: Vec<(&'static str, Vec<u64>, u64)>,
}

impl Writer {
    fn string(&mut self, text: &str) {
        self.bytes.extend((text.len() as u64).to_le_bytes());
        self.bytes.extend(text.as_bytes());
    }

    fn key(&mut self, key: &str, kind: u32) {
        self.values += 1;
        self.string(key);
        self.bytes.extend(kind.to_le_bytes());
    }

    fn text(&mut self, key: &str, text: &str) {
        self.key(key, 8);
        self.string(text);
    }

    fn number(&mut self, key: &str, number: u32) {
        self.key(key, 4);
        self.bytes.extend(number.to_le_bytes());
    }

    fn list(&mut self, key: &str, kind: u32, count: usize) {
        self.key(key, 9);
        self.bytes.extend(kind.to_le_bytes());
        self.bytes.extend((count as u64).to_le_bytes());
    }

    fn texts(&mut self, key: &str, texts: &[&str]) {
        self.list(key, 8, texts.len());
        texts.iter().for_each(|text| self.string(text));
    }

    fn numbers(&mut self, key: &str, numbers: &[u32]) {
        self.list(key, 5, numbers.len());
        self.bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    }

    /// A tensor whose sizes are given as the file has them, the innermost first.
    fn tensor(&mut self, name: &'static str, sizes: &[u64], offset: u64) {
        self.tensors.push((name, sizes.to_vec(), offset));
    }

    fn finish(mut self) -> Vec<u8> {
        let count = self.tensors.len() as u64;
        for (name, sizes, offset) in std::mem::take(&mut self.tensors) {
            self.string(name);
            self.bytes.extend((sizes.len() as u32).to_le_bytes());
            self.bytes.extend(sizes.iter().flat_map(|size| size.to_le_bytes()));
            self.bytes.extend(2u32.to_le_bytes());
            self.bytes.extend(offset.to_le_bytes());
        }
        let mut file = b"GGUF".to_vec();
        file.extend(3u32.to_le_bytes());
        file.extend(count.to_le_bytes());
        file.extend(self.values.to_le_bytes());
        file.extend(self.bytes);
        file
    }
}

#[test]
fn ids_are_those_of_the_tokenizer_that_it_was_made_from() {
    let goldens = fixtures::load("goldens.json");
    for (name, family) in fixtures::load("families.json").as_object().unwrap() {
        let template = std::fs::read_to_string(fixtures::path(fixtures::TOOL_AWARE)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        let pre = family["pre"].as_str().unwrap();
        std::fs::write(&path, written(family, &template, pre)).unwrap();
        let dialect = Dialect::open(&path, None).unwrap();
        let mut count = 0;
        for (key, golden) in goldens.as_object().unwrap() {
            let (true, Some(text)) = (key.starts_with(name), golden["text"].as_str()) else {
                continue;
            };
            let ids = dialect.tokenizer().encode(text).unwrap().ids;
            assert_eq!(serde_json::json!(ids), golden["ids"], "{key}");
            count += 1;
        }
        assert!(count > 3, "{name}");
    }
}

#[test]
fn a_folder_with_its_companions_reads_and_writes_as_the_file() {
    let family = fixtures::family("qwen");
    let template = std::fs::read_to_string(fixtures::path(fixtures::TOOL_AWARE)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, written(&family, &template, "qwen2")).unwrap();
    for (name, value) in gguf::companions(&path).unwrap() {
        std::fs::write(folder.path().join(name), value.to_string()).unwrap();
    }
    let [file, companions] =
        [path.as_path(), folder.path()].map(|path| Dialect::open(path, None).unwrap());
    let text = "<|im_start|>user\nÉté 12345, don't\t🚀<|im_end|>\n";
    let ids = |dialect: &Dialect| dialect.tokenizer().encode(text).unwrap().ids;
    assert_eq!(ids(&file), ids(&companions));
    let config = gguf::companions(&path).unwrap()[1].1.clone();
    assert_eq!(config["eos_token"], family["eos_token"]);
    assert_eq!(config["chat_template"], template);
}

#[test]
fn a_text_begins_as_the_file_says_or_else_as_its_kind_does() {
    let family = fixtures::family("qwen");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    for (pre, begins, count) in [
        ("qwen2", None, 0),
        ("qwen2", Some(true), 1),
        ("llama-bpe", None, 1),
        ("llama-bpe", Some(false), 0),
    ] {
        std::fs::write(&path, said(&family, "", pre, begins).finish()).unwrap();
        let tokenizer = Tokenizer::of_model(&path).unwrap();
        assert_eq!(tokenizer.begin().len(), count, "{pre} {begins:?}");
        // What templates wrote begins as they wrote it.
        assert!(tokenizer.encode("").unwrap().ids.is_empty());
        let eos = tokenizer.id(family["eos_token"].as_str().unwrap());
        assert!(tokenizer.begin().iter().all(|id| Some(*id) == eos));
    }
}

#[test]
fn a_cut_that_is_not_known_is_refused() {
    let family = fixtures::family("qwen");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, written(&family, "", "new-cut")).unwrap();
    let error = Dialect::open(&path, None).unwrap_err();
    assert!(matches!(error, ChatError::Format { .. }));
    assert!(error.to_string().contains("new-cut"), "{error}");
}

#[test]
fn a_damaged_file_is_an_error_and_never_a_panic() {
    let family = fixtures::family("qwen");
    let whole = written(&family, "{{ messages }}", "qwen2");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    for length in (4..whole.len()).step_by(whole.len() / 60) {
        std::fs::write(&path, &whole[..length]).unwrap();
        assert!(gguf::open(&path).is_err(), "cut at {length}");
    }
    for place in (4..whole.len().min(400)).step_by(3) {
        let mut broken = whole.clone();
        broken[place] ^= 0xff;
        std::fs::write(&path, broken).unwrap();
        let _ = gguf::open(&path);
    }
}

#[test]
fn a_header_says_where_each_tensor_lies() {
    let mut file = Writer::default();
    file.text("general.architecture", "llama");
    file.number("general.alignment", 64);
    file.tensor("a", &[32, 3], 0);
    file.tensor("b", &[5], 128);
    let bytes = file.finish();
    let header = Header::read(bytes.as_slice()).unwrap();
    assert_eq!(header.text("general.architecture"), Some("llama"));
    let begin = (bytes.len() as u64).next_multiple_of(64);
    let [a, b] = header.tensors() else { panic!("{:?}", header.tensors()) };
    assert_eq!((a.name.as_str(), a.sizes.as_slice(), a.at), ("a", [3, 32].as_slice(), begin));
    assert_eq!((b.name.as_str(), b.sizes.as_slice(), b.at), ("b", [5].as_slice(), begin + 128));
}

#[test]
fn a_header_that_makes_no_sense_is_refused() {
    let check = |write: &dyn Fn(&mut Writer), expected: &str| {
        let mut file = Writer::default();
        write(&mut file);
        let error = Header::read(file.finish().as_slice()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(&|file| file.number("general.alignment", 0), "multiples of 0");
    check(&|file| file.number("general.alignment", 33), "multiples of 33");
    check(&|file| file.tensor("a", &[1; 9], 0), "9 of something");
    check(&|file| file.tensor("a", &[1], u64::MAX), "lies nowhere");
    check(
        &|file| {
            file.tensor("a", &[1], 0);
            file.tensor("a", &[1], 32);
        },
        "a is there twice",
    );
}
