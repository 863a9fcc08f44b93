//! What the files may say, without an environment. (Flags, variables and whole programs are
//! stories, in `tests/scenarios/providers.rs`.)

use std::path::Path;
use std::time::Duration;

use super::catalogue::Catalogue;
use sandbox::{NetworkWord, Preset};

use super::file::{UserFile, parse, with_key};
use super::key::KeySource;
use super::provider::{Provider, names};
use super::rules;
use super::sandbox::{SandboxFile, with_flags};
use super::trust::{Entry, Trusted};
use super::workspace::{PLACE as WORKSPACE_FILE, applied, find as workspace_file};
use super::{ContextSettings, command, keyring, url};
use crate::args::{PresetArg, SandboxArg, SandboxArgs};

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
        // The word stands in place of the table.
        .filter(|line| !line.starts_with("sandbox = "))
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
        ("[local]\nruns = ['runs']", 2, "absolute path"),
        ("[local]\ndevice = 'gpu'", 2, "gpu"),
        ("[local]\ncontext = 0", 2, "nonzero"),
        ("[rules]\ndeny = ['*']", 2, "names a command"),
        ("[web]\nsearch_url = 'https://x'", 2, "{query}"),
        ("[web]\nallow_private = ['http://x/']", 2, "no host"),
        ("api = 'soap'", 1, "soap"),
        ("sandbox = 'on'", 1, "on"),
        ("[sandbox]\npreset = 'x'", 2, "x"),
        ("[sandbox]\n\nallow_hosts = ['http://a']", 3, "no host"),
        ("[sandbox.limits]\nprocs = 1", 2, "procs"),
    ];
    for (text, line, word) in cases {
        let (found, what) = parse::<UserFile>(text).unwrap_err();
        assert!(what.contains(word), "{text}: {what}");
        assert_eq!(found, line, "{text}: {what}");
    }
}

/// The user's settings with a workspace's file, which is trusted or not.
fn with_workspace(ours: &str, theirs: &str, is_trusted: bool) -> Result<UserFile, String> {
    let folder = tempfile::TempDir::new().unwrap();
    let (workspace, home) = (folder.path().join("work"), folder.path().join("data"));
    std::fs::create_dir_all(workspace.join(".limn")).unwrap();
    std::fs::write(workspace.join(WORKSPACE_FILE), theirs).unwrap();
    if is_trusted {
        let blake3 = workspace_file(&workspace).unwrap().unwrap().digest;
        let entry = Entry { workspace: workspace.clone(), blake3, at_s: 0 };
        Trusted::read(&home).unwrap().add(entry).unwrap();
    }
    applied(user(ours), &workspace, &workspace, &home).map_err(|error| error.message)
}

fn table(file: UserFile) -> sandbox::PolicyFile {
    file.sandbox.map(SandboxFile::table).unwrap_or_default()
}

#[test]
fn a_workspace_makes_things_stricter_without_being_asked() {
    let ours = "max_steps = 9\n[rules]\nallow = ['git status']\ndeny = ['dd *']\n\
                [sandbox]\npreset = 'network'\nallow_hosts = ['a.example']\nlimits = { cpu_s = 60 }";
    let theirs = "max_steps = 5\n[rules]\ndeny = ['rm *']\nask = ['git push']\n[sandbox]\n\
                  preset = 'read-only'\nnetwork = 'off'\nhidden = ['.env']\n\
                  limits = { cpu_s = 10, wall_s = 20 }";
    let file = with_workspace(ours, theirs, false).unwrap();
    assert_eq!(file.max_steps, Some(5));
    let rules = rules::in_force(file.rules.clone());
    assert_eq!(rules.allow, ["git status"]);
    assert_eq!(
        (rules.deny.as_slice(), rules.ask.as_slice()),
        (&["dd *".into(), "rm *".into()][..], &["git push".into()][..])
    );
    let table = table(file);
    assert_eq!(table.preset, Some(Preset::ReadOnly));
    assert_eq!(table.network, Some(NetworkWord::Off));
    assert!(table.allow_hosts.is_empty() && table.hidden[0].ends_with("work/.env"));
    assert_eq!((table.limits.cpu_s, table.limits.wall_s), (Some(10), Some(20)));
    // What is looser than the user's counts for nothing.
    let looser = with_workspace("max_steps = 5", "max_steps = 9\n[sandbox]\npreset = 'off'", false);
    let looser = looser.unwrap();
    assert_eq!(looser.max_steps, Some(5));
    assert_eq!(self::table(looser).preset, Some(Preset::Workspace));
    let much = "[sandbox]\nlimits = { processes = 9999999, memory_bytes = 9007199254740992, \
                cpu_s = 99999999, wall_s = 99999999, output_bytes = 9007199254740992, \
                tmp_bytes = 9007199254740992 }";
    let limits = self::table(with_workspace("", much, false).unwrap()).limits;
    let most = sandbox::Limits::of_machine();
    assert_eq!(limits.processes, Some(most.processes));
    assert_eq!(limits.memory_bytes, Some(most.memory_bytes));
    assert_eq!((limits.cpu_s, limits.wall_s), (Some(most.cpu_s), Some(most.wall_s)));
    assert_eq!(limits.output_bytes, Some(most.output_bytes));
    assert_eq!(limits.tmp_bytes, Some(most.tmp_bytes));
}

#[test]
fn what_a_workspace_opens_counts_once_it_is_trusted() {
    for (theirs, key) in [
        ("model = 'x'", "model"),
        ("base_url = 'http://evil.example/v1'", "base_url"),
        ("provider = 'a'", "provider"),
        ("[providers.a]\nbase_url = 'http://evil.example/v1'", "providers.a"),
        ("[models.a]\ncontext_window = 5", "models.a"),
        ("[rules]\nallow = ['rm']", "rules.allow"),
        ("[sandbox]\nallow_hosts = ['evil.example']", "sandbox.allow_hosts"),
        ("[sandbox]\nnetwork = 'all'", "sandbox.network"),
        ("[sandbox]\nwritable = ['~']", "sandbox.writable"),
        ("[sandbox]\nreadable = ['~/.ssh']", "sandbox.readable"),
        ("[sandbox]\nenv = ['GH_TOKEN']", "sandbox.env"),
        ("[sandbox]\nallow_sockets = ['/run/docker.sock']", "sandbox.allow_sockets"),
    ] {
        let told = with_workspace("", theirs, false).map(drop).unwrap_err();
        assert!(told.contains(&format!("({key})")) && told.contains("limn trust"), "{told}");
        assert!(with_workspace("", theirs, true).is_ok(), "{theirs}");
    }
    let forged = "[models.\"a\\n  trusted\"]\ncontext_window = 5";
    let told = with_workspace("", forged, false).map(drop).unwrap_err();
    assert!(told.contains("(models.a\u{240a}  trusted)") && !told.contains('\n'), "{told}");
    let file = with_workspace(
        "provider = 'openai'\n[sandbox]\nallow_hosts = ['a.example']",
        "base_url = 'http://here.example/v1'\n[sandbox]\nallow_hosts = ['b.example']",
        true,
    )
    .unwrap();
    assert_eq!(file.base_url.as_deref(), Some("http://here.example/v1"));
    assert!(file.provider.is_none() && file.api_key_env.is_none(), "no key goes along");
    assert_eq!(table(file).allow_hosts.len(), 2);
    for text in ["[web]", "annotator = 'x'", "[sandbox]\npreste = 'off'", "sandbox = 'off'"] {
        assert!(with_workspace("", text, false).is_err(), "{text}");
    }
}

#[test]
fn what_a_workspace_hides_is_hidden_in_its_copy() {
    let folder = tempfile::TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(at("work/.limn")).unwrap();
    std::fs::write(at("work").join(WORKSPACE_FILE), "[sandbox]\nhidden = ['.env']").unwrap();
    let file = applied(user(""), &at("work"), &at("copy"), &at("data")).ok().unwrap();
    assert_eq!(table(file).hidden, [at("copy/.env")]);
}

#[test]
fn a_file_that_changed_is_asked_about_again() {
    let folder = tempfile::TempDir::new().unwrap();
    let (work, home) = (folder.path().join("work"), folder.path().join("data"));
    let entry =
        |blake3: &str| Entry { workspace: work.clone(), blake3: blake3.to_owned(), at_s: 1 };
    let mut trusted = Trusted::read(&home).unwrap();
    trusted.add(entry("old")).unwrap();
    trusted.add(entry("new")).unwrap();
    let mut again = Trusted::read(&home).unwrap();
    assert!(again.is_trusted(&work, "new") && !again.is_trusted(&work, "old"));
    assert!(!again.is_trusted(folder.path(), "new"));
    assert!(again.revoke(&work).unwrap() && !again.revoke(&work).unwrap());
    assert!(Trusted::read(&home).unwrap().entries().is_empty());
    std::fs::write(home.join("trust.json"), "broken").unwrap();
    assert!(Trusted::read(&home).is_err());
}

#[test]
fn a_sandbox_is_a_word_or_a_table() {
    assert_eq!(table(user("sandbox = 'off'")).preset, Some(Preset::Off));
    assert_eq!(table(user("sandbox = 'auto'")).preset, None);
    assert_eq!(table(user("[sandbox]\npreset = 'packages'")).preset, Some(Preset::Packages));
    let flags =
        SandboxArgs { allow_hosts: vec!["b.example".parse().unwrap()], ..SandboxArgs::default() };
    let with = |text: &str, word: Option<SandboxArg>, flags: &SandboxArgs| {
        with_flags(table(user(text)), word, flags).map_err(|error| error.message)
    };
    let hosts = with("[sandbox]\nnetwork = 'off'", None, &flags).unwrap();
    assert_eq!((hosts.network, hosts.allow_hosts.len()), (Some(NetworkWord::Hosts), 1));
    let none = SandboxArgs::default();
    assert_eq!(with("sandbox = 'off'", Some(SandboxArg::Auto), &none).unwrap().preset, None);
    let both = SandboxArgs { preset: Some(PresetArg::Packages), ..SandboxArgs::default() };
    assert!(with("", Some(SandboxArg::Off), &both).unwrap_err().contains("no preset packages"));
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
fn only_addresses_of_this_machine_are_on_it() {
    for (text, expected) in [
        ("http://localhost:8080/v1", true),
        ("http://LOCALHOST/v1", true),
        ("http://127.0.0.1:8080/v1", true),
        ("http://127.9.8.7", true),
        ("http://[::1]:8080/v1", true),
        ("http://127.evil.example:8080/v1", false),
        ("http://127.0.0.1.evil.example/v1", false),
        ("http://localhost.evil.example/v1", false),
        ("http://user@127.0.0.1/v1", false),
        ("http://128.0.0.1/v1", false),
        ("http://[::2]/v1", false),
        ("127.0.0.1", false),
    ] {
        assert_eq!(url::is_loopback(text), expected, "{text}");
    }
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
fn a_model_of_this_machine_is_served_as_the_settings_say() {
    let told_for = |text: &str, context, sessions: u32| {
        let sessions = sessions.try_into().unwrap();
        let arguments = user(text).local.arguments(context, sessions).into_iter();
        arguments.map(|it| it.into_string().unwrap()).collect::<Vec<_>>().join(" ")
    };
    let told = |text, context| told_for(text, context, 1);
    assert_eq!(told("", None), "--slots 1");
    assert_eq!(told_for("", None, 4), "--slots 4");
    assert_eq!(told_for("[local]\nslots = 2", None, 4), "--slots 2");
    let all = "[local]\nslots = 2\ndevice = 'cpu'\nprecision = 'f32'\ntemplate = 'chatml-tools'\n";
    let expected = "--context 4096 --slots 2 --device cpu --precision f32 --template chatml-tools";
    assert_eq!(told(all, Some(4096)), expected);
    // Its tokens cost nothing, and what is known of a model of that name elsewhere is not about it.
    let catalogue = Catalogue::of(&user("[models.\"local:*\"]\ntools = 'sii'\n"), None);
    assert_eq!(catalogue.price("local:gpt-5").map(|price| price.output), Some(0.0));
    assert_eq!(catalogue.context_window("local:gpt-5"), None);
    assert_eq!(catalogue.tools("local:gpt-5"), crate::args::ToolsArg::Sii);
    assert!(catalogue.context_window("gpt-5").is_some());
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

#[test]
fn a_key_of_the_top_is_set_and_nothing_else_is_touched() {
    let set = |text: &str| with_key(text, "consent", "team");
    assert_eq!(set(""), "consent = \"team\"\n");
    let before = "# mine\nmodel = \"m\"\nconsent = \"public\"\n\n[rules]\nallow = [\"ls *\"]\n";
    assert_eq!(set(before), before.replace("public", "team"));
    // A key of that name in a table is another one; so is one that begins alike.
    let before = "consents = 1\n[x]\nconsent = \"public\"";
    assert_eq!(set(before), format!("consent = \"team\"\n{before}"));
    let set = with_key("", "annotator", "a \"fox\"");
    let read: UserFile = parse(&set).unwrap();
    assert_eq!(read.annotator.as_deref(), Some("a \"fox\""));
}

#[test]
fn what_was_allowed_in_one_folder_holds_there_alone() {
    let text = "[rules]\nallow = [\"ls *\"]\n\n[[allowed]]\nfolder = \"/a\"\nrule = \"make\"\n\n\
                [[allowed]]\nfolder = \"/b\"\nrule = \"cargo test *\"\n";
    let allowed = |folder: &str| {
        let mut file: UserFile = parse(text).unwrap();
        file.rules.remembered(file.allowed, Path::new(folder));
        rules::in_force(file.rules).allow
    };
    assert_eq!(allowed("/a"), ["ls *", "make"]);
    assert_eq!(allowed("/b"), ["ls *", "cargo test *"]);
    assert_eq!(allowed("/"), ["ls *"]);
    let everything = "[[allowed]]\nfolder = \"/a\"\nrule = \"*\"\n";
    assert!(parse::<UserFile>(everything).is_err());
}
