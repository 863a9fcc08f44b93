//! What the files may say, without an environment. (Flags, variables and whole programs are
//! stories, in `tests/scenarios/providers.rs`.)

use std::time::Duration;

use super::catalogue::Catalogue;
use super::file::{UserFile, WorkspaceFile, parse};
use super::key::KeySource;
use super::provider::{Provider, names};
use super::rules;
use super::{ContextSettings, command, keyring, url};

fn user(text: &str) -> UserFile {
    parse(text).unwrap()
}

fn provider(text: &str, name: &str) -> Provider {
    Provider::named(name, &user(text)).unwrap()
}

#[test]
fn the_settings_that_come_along_can_be_read_with_and_without_their_comments() {
    let text = include_str!("../../../assets/config.toml");
    user(text);
    // Every key in it is one that is known: a line without its hash is a setting.
    let bare: String = text
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| line.starts_with('[') || line.split('=').next().is_some_and(is_key))
        .filter(|line| !line.starts_with("base_url = \"https") && !line.starts_with("api_key_env"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(bare.contains("allow_private") && bare.contains("[models."), "{bare}");
    user(&bare);
}

fn is_key(text: &str) -> bool {
    let word = text.trim_end();
    word.len() < text.len()
        && !word.is_empty()
        && word.bytes().all(|b| b == b'_' || b.is_ascii_lowercase())
}

#[test]
fn the_examples_of_the_documentation_can_be_read() {
    let text = include_str!("../../../docs/settings.md");
    let blocks: Vec<&str> =
        text.split("```toml\n").skip(1).filter_map(|block| block.split("```").next()).collect();
    assert!(blocks.len() > 10);
    for block in blocks {
        parse::<UserFile>(block).map_err(|error| format!("{error:?} in\n{block}")).unwrap();
    }
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    let cases = [
        ("modle = 'x'", 1, "modle"),
        ("[providers.a]\nbase_url = 'http://x'\nkeyenv = 'K'", 3, "keyenv"),
        ("[providers.a]\nbase_url = 'localhost'", 2, "base_url"),
        ("[providers.a]\nbase_url = 'http://me:key@host/v1'", 2, "base_url"),
        ("\n[providers.\"a/b\"]\n", 2, "no name of a provider"),
        ("[providers.a]\n\nkey_command = []", 3, "key_command"),
        ("[providers.a]\nthink = 'deep'", 2, "deep"),
        ("[models.a]\nprice = { input = -1, output = 2 }", 2, "no price"),
        ("[models.a]\nprice = { input = 1 }", 2, "output"),
        ("[models.a]\ncontext = 5", 2, "context"),
        ("[context]\nshorten_at = 70", 2, "no share"),
        ("[context]\nreply_tokens = 0", 2, "nonzero"),
        ("[rules]\ndeny = ['*']", 2, "names a command"),
        ("[web]\nsearch_url = 'https://x'", 2, "{query}"),
        ("[web]\nallow_private = ['http://x/']", 2, "no host"),
        ("api = 'soap'", 1, "soap"),
    ];
    for (text, line, word) in cases {
        let (found, what) = parse::<UserFile>(text).unwrap_err();
        assert!(what.contains(word), "{text}: {what}");
        assert_eq!(found, line, "{text}: {what}");
    }
}

#[test]
fn a_workspace_adds_rules_and_allows_nothing() {
    let theirs: WorkspaceFile = parse("[rules]\ndeny = ['rm *']\nask = ['git push']").unwrap();
    let ours = user("[rules]\nallow = ['git status']\ndeny = ['dd *']");
    let rules = rules::in_force(ours.rules, theirs.rules);
    assert_eq!(rules.allow, ["git status"]);
    assert_eq!(rules.deny, ["dd *", "rm *"]);
    assert_eq!(rules.ask, ["git push"]);
    for text in ["[rules]\nallow = ['x']", "provider = 'a'", "[providers.a]", "[web]", "[models.a]"]
    {
        assert!(parse::<WorkspaceFile>(text).is_err(), "{text}");
    }
}

#[test]
fn known_providers_need_no_settings() {
    let known = names(&UserFile::default());
    for name in ["openai", "openrouter", "deepseek", "glm", "zai", "gemini", "anthropic", "mistral"]
    {
        let provider = provider("", name);
        assert!(known.iter().any(|known| known == name) && provider.base_url.starts_with("https:"));
        assert!(matches!(provider.key, KeySource::Custom { variable: Some(_), required: true }));
        assert!(!provider.is_local());
    }
    for name in ["ollama", "llamacpp", "vllm", "sglang", "lmstudio"] {
        let provider = provider("", name);
        assert!(provider.is_local(), "{name}");
        assert_eq!(provider.key, KeySource::Custom { variable: None, required: false });
    }
    for name in ["vllm", "sglang", "llamacpp", "ollama"] {
        assert_eq!(provider("", name).profile.as_deref(), Some(name));
    }
    let error = Provider::named("opanai", &UserFile::default()).unwrap_err();
    assert!(error.message.contains("openai") && error.message.contains("[providers.NAME]"));
}

#[test]
fn a_table_changes_what_it_names_and_leaves_the_rest() {
    let text = "[providers.deepseek]\nsilence_s = 60\nretries = 2\nparams = { temperature = 0.5 }";
    let deepseek = provider(text, "deepseek");
    assert_eq!(deepseek.silence, Some(Duration::from_secs(60)));
    assert_eq!(deepseek.params["temperature"], 0.5);
    assert_eq!(deepseek.base_url, "https://api.deepseek.com/v1");
    assert!(matches!(deepseek.key, KeySource::Custom { variable: Some(_), .. }));
    let twice = user("[providers.a]\nbase_url = 'http://x'\nkey_env = 'K'\nkey_keyring = true");
    assert!(Provider::named("a", &twice).unwrap_err().message.contains("twice"));
    let nowhere = user("[providers.a]\nkey_env = 'K'");
    assert!(Provider::named("a", &nowhere).unwrap_err().message.contains("base_url"));
}

#[test]
fn a_key_stays_with_the_server_it_was_named_for() {
    // Another address under a known name: the variable of custom is not that server's.
    let elsewhere = provider("[providers.openai]\nbase_url = 'https://evil.example/v1'", "openai");
    assert_eq!(elsewhere.key, KeySource::Custom { variable: None, required: false });
    // The same server by another path.
    let path = provider("[providers.openai]\nbase_url = 'https://API.openai.com:443/v2'", "openai");
    assert!(matches!(path.key, KeySource::Custom { variable: Some(_), .. }));
    let own = "[providers.a]\nbase_url = 'https://a.example/v1'\nkey_env = 'A_KEY'";
    let moved = provider(own, "a").moved("https://b.example/v1".into());
    assert_eq!(moved.key, KeySource::None);
    let same = provider(own, "a").moved("https://a.example/other".into());
    assert_eq!(same.key, KeySource::Variable("A_KEY".into()));
    // In the keyring, too, the server is part of the name.
    assert_ne!(elsewhere.key_name(), provider("", "openai").key_name());
}

#[test]
fn origins_are_told_apart() {
    let cases = [
        ("https://a.example/v1", Some("https://a.example:443")),
        ("HTTP://A.example:8080", Some("http://a.example:8080")),
        ("http://[::1]:8080/v1", Some("http://[::1]:8080")),
        ("http://[::1]/v1", Some("http://[::1]:80")),
        ("https://user@a.example/v1", None),
        ("https://a.example@evil.example/", None),
        ("https://a.example\\@evil.example/", None),
        ("ftp://a.example", None),
        ("a.example/v1", None),
        ("https://", None),
        ("https://a.example:port/", None),
    ];
    for (text, expected) in cases {
        assert_eq!(url::origin(text).as_deref(), expected, "{text}");
    }
}

#[test]
fn own_models_stand_before_the_table() {
    let file = user(
        "[models.'mine-*']\ncontext_window = 5000\nprice = { input = 2, output = 4 }\ntools = 'sii'\n\
         [models.gpt-5]\ncontext_window = 1000",
    );
    let catalogue = Catalogue::of(&file, None);
    assert_eq!(catalogue.context_window("mine-7b"), Some(5000));
    assert_eq!(catalogue.tools("mine-7b"), crate::args::ToolsArg::Sii);
    let usage = trajectory::Usage {
        input_tokens: 1_000_000,
        output_tokens: 500_000,
        ..trajectory::Usage::default()
    };
    assert_eq!(catalogue.price("mine-7b").map(|price| price.cost(&usage)), Some(4.0));
    assert_eq!(catalogue.context_window("gpt-5"), Some(1000));
    assert!(catalogue.price("gpt-5").is_some(), "what a row leaves out is the table's");
    assert_eq!(Catalogue::of(&file, Some(77_000)).context_window("gpt-5"), Some(77_000));
}

#[test]
fn shortening_comes_before_compacting() {
    let settings = |text| ContextSettings::from(user(text).context);
    assert_eq!(settings(""), ContextSettings::default());
    let low = settings("[context]\ncompact_at = 0.5");
    assert_eq!((low.shorten_at, low.compact_at), (0.5, 0.5));
}

fn key_of(script: &str) -> Result<String, String> {
    let argv = ["sh", "-c", script].map(str::to_owned);
    command::first_line(&argv).map_err(|error| error.message)
}

#[test]
fn a_program_gives_its_first_line() {
    assert_eq!(key_of("echo ' key-1 '; echo key-2; echo noise >&2").unwrap(), "key-1");
    assert!(key_of("true").unwrap_err().contains("no key"));
    assert!(key_of("printf '\\377'").unwrap_err().contains("text"));
    let failed = key_of("echo 'no such entry' >&2; echo secret; exit 3").unwrap_err();
    assert!(failed.contains("no such entry") && failed.contains('3'), "{failed}");
    assert!(!failed.contains("secret"), "{failed}");
    let gone = command::first_line(&["/nowhere/at/all".to_owned()]).unwrap_err();
    assert!(gone.message.contains("cannot be started"), "{gone}");
    // What it prints beyond all measure is not read, and it does not hang.
    assert!(key_of("yes").is_err());
}

#[test]
fn a_program_that_never_ends_is_ended() {
    let argv = ["sh", "-c", "echo key; exec sleep 1000"].map(str::to_owned);
    let error = command::first_line_within(&argv, Duration::from_millis(200)).unwrap_err();
    assert!(error.message.contains("did not end"), "{error}");
    let closed = ["sh", "-c", "echo key; exec >&- 2>&-; exec sleep 1000"].map(str::to_owned);
    assert!(command::first_line_within(&closed, Duration::from_millis(200)).is_err());
}

#[test]
fn a_key_in_the_keyring_comes_back_and_goes() {
    let name = format!("test {} http://127.0.0.1:1", std::process::id());
    if let Err(error) = keyring::set(&name, "sk-in-the-keyring") {
        // Some containers forbid it.
        assert!(error.message.contains("key_command"), "{error}");
        eprintln!("skipped: a_key_in_the_keyring_comes_back_and_goes: {error}");
        return;
    }
    assert_eq!(keyring::get(&name).unwrap().as_deref(), Some("sk-in-the-keyring"));
    keyring::set(&name, "sk-another").unwrap();
    assert_eq!(keyring::get(&name).unwrap().as_deref(), Some("sk-another"));
    assert!(keyring::remove(&name).unwrap());
    assert_eq!(keyring::get(&name).unwrap(), None);
    assert!(!keyring::remove(&name).unwrap());
}
