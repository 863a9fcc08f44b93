use std::path::{Path, PathBuf};

use super::{Defaults, ServeError, Server};

fn chat() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../chat/fixtures")
}

/// A model's folder with this template, and these settings for generation.
fn folder(template: Option<&str>, generation: Option<&str>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(chat().join("model").join(file), folder.path().join(file)).unwrap();
    }
    if let Some(template) = template {
        let from = chat().join("templates").join(template);
        std::fs::copy(from, folder.path().join("chat_template.jinja")).unwrap();
    }
    if let Some(generation) = generation {
        std::fs::write(folder.path().join("generation_config.json"), generation).unwrap();
    }
    folder
}

#[test]
fn a_template_that_keeps_tools_is_kept() {
    let folder = folder(Some("qwen3.jinja"), None);
    let server = Server::open(folder.path(), None).unwrap();
    assert!(server.notices().is_empty(), "{:?}", server.notices());
    assert_eq!(server.models[0].name, folder.path().file_name().unwrap().to_string_lossy());
}

#[test]
fn a_template_that_drops_tools_is_replaced_and_that_is_said() {
    for template in [Some("smollm2.jinja"), None] {
        let folder = folder(template, None);
        let server = Server::open(folder.path(), None).unwrap();
        assert!(server.no_tools.is_none());
        let [notice] = server.notices() else { panic!("{:?}", server.notices()) };
        assert!(notice.contains("`chatml-tools`"), "{notice}");
    }
}

#[test]
fn a_template_that_was_named_is_used_even_if_it_drops_tools() {
    let folder = folder(Some("qwen3.jinja"), None);
    let template = chat().join("templates/smollm2.jinja");
    let server = Server::open(folder.path(), Some(&template)).unwrap();
    assert!(server.no_tools.as_ref().unwrap().contains("the tools on offer"));
    assert!(server.notices().iter().any(|notice| notice.contains("requests with tools")));
}

#[test]
fn the_publisher_says_how_tokens_are_chosen() {
    let said = r#"{"temperature": 0.6, "top_k": 20, "top_p": 0.95, "eos_token_id": [1, 2], "do_sample": true}"#;
    let folder = folder(Some("qwen3.jinja"), Some(said));
    let server = Server::open(folder.path(), None).unwrap();
    let expected = Defaults { temperature: 0.6, top_k: 20, top_p: 0.95, ..Defaults::default() };
    assert_eq!(server.defaults, expected);
}

#[test]
fn settings_that_make_no_sense_are_named() {
    for said in ["{", r#"{"temperature": "hot"}"#, r#"{"top_p": 7}"#, r#"{"top_k": -3}"#] {
        let folder = folder(Some("qwen3.jinja"), Some(said));
        let error = Server::open(folder.path(), None).unwrap_err();
        assert!(matches!(error, ServeError::Generation { .. } | ServeError::Chat(_)), "{said}");
        assert!(error.to_string().contains("generation_config.json"), "{error}");
    }
}
