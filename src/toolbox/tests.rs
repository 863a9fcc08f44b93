//! The toolbox from outside, and a workspace for the tests of its parts.

use std::path::Path;
use std::time::Duration;

use sandbox::{OutputChunk, Sandbox};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use trajectory::event::CallStatus;

use crate::{Call, Outcome, SHOWN_BYTES_MAX, SearchEndpoint, Setup, ToolSet, Toolbox, Web};

/// A toolbox on a folder of its own, with a folder beside it that nothing may touch.
pub(crate) struct Bench {
    folder: TempDir,
    pub(crate) toolbox: Toolbox,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with_sandbox(Sandbox::off())
    }

    pub(crate) fn with_sandbox(sandbox: Sandbox) -> Self {
        Self::open(sandbox, Setup::default())
    }

    /// With paths, relative to the workspace, that are hidden from the tools.
    pub(crate) fn hiding(hidden: &[&str]) -> Self {
        let hidden = hidden.iter().map(std::path::PathBuf::from).collect();
        Self::with(Setup { hidden, ..Setup::default() })
    }

    /// With other tools. Hidden paths are relative to the workspace.
    pub(crate) fn with(setup: Setup) -> Self {
        Self::open(Sandbox::off(), setup)
    }

    /// With the tools of a set.
    pub(crate) fn with_set(set: ToolSet) -> Self {
        let mut bench = Self::new();
        let setup = Setup { set, ..Setup::default() };
        bench.toolbox = Toolbox::open(&bench.workspace(), Sandbox::off(), &setup).unwrap();
        bench
    }

    pub(crate) fn open(sandbox: Sandbox, mut setup: Setup) -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::create_dir(folder.path().join("workspace")).unwrap();
        std::fs::create_dir(folder.path().join("outside")).unwrap();
        std::fs::write(folder.path().join("outside/secret"), "do not touch\n").unwrap();
        let workspace = folder.path().join("workspace");
        setup.hidden = setup.hidden.iter().map(|path| workspace.join(path)).collect();
        let toolbox = Toolbox::open(&workspace, sandbox, &setup).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { folder, toolbox, runtime }
    }

    pub(crate) fn workspace(&self) -> std::path::PathBuf {
        self.folder.path().join("workspace")
    }

    pub(crate) fn outside(&self) -> std::path::PathBuf {
        self.folder.path().join("outside")
    }

    pub(crate) fn put(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.workspace().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub(crate) fn get(&self, path: &str) -> String {
        String::from_utf8(std::fs::read(self.workspace().join(path)).unwrap()).unwrap()
    }

    pub(crate) fn run(&self, name: &str, arguments: &Value) -> Outcome {
        self.run_text(name, &arguments.to_string())
    }

    pub(crate) fn run_text(&self, name: &str, arguments: &str) -> Outcome {
        self.run_with(name, arguments, CancellationToken::new()).0
    }

    /// Runs a call; answers with its outcome and with the bytes it printed.
    pub(crate) fn run_with(
        &self,
        name: &str,
        arguments: &str,
        cancel: CancellationToken,
    ) -> (Outcome, Vec<u8>) {
        self.runtime.block_on(async {
            let call = Call { exec: 1, name, arguments };
            let (sender, mut chunks) = mpsc::channel::<OutputChunk>(4);
            let printed = async {
                let mut bytes = Vec::new();
                while let Some(chunk) = chunks.recv().await {
                    bytes.extend_from_slice(&chunk.bytes);
                }
                bytes
            };
            tokio::join!(self.toolbox.run(call, sender, cancel), printed)
        })
    }

    /// Runs a call that must succeed; answers with what is shown.
    pub(crate) fn ok(&self, name: &str, arguments: &Value) -> String {
        let outcome = self.run(name, arguments);
        assert_eq!(outcome.status, CallStatus::Ok, "{}", outcome.shown);
        outcome.shown
    }

    /// Runs a call that must fail; answers with what is shown.
    pub(crate) fn fails(&self, name: &str, arguments: &Value) -> String {
        let outcome = self.run(name, arguments);
        assert_eq!(outcome.status, CallStatus::Error, "{}", outcome.shown);
        outcome.shown
    }

    /// Makes a FIFO; answers with its path.
    pub(crate) fn fifo(&self, name: &str) -> std::path::PathBuf {
        let path = self.workspace().join(name);
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    }

    /// The folder outside is as it was.
    pub(crate) fn assert_outside_untouched(&self) {
        assert_eq!(
            std::fs::read_to_string(self.outside().join("secret")).unwrap(),
            "do not touch\n"
        );
        assert_eq!(std::fs::read_dir(self.outside()).unwrap().count(), 1);
    }

    /// The names in the workspace.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.workspace())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// Everything that a set can offer.
fn all_of(set: ToolSet) -> Toolbox {
    let search =
        SearchEndpoint { url: "https://x.test/{query}".into(), key_header: None, key: None };
    let web = Web { fetch: true, search: Some(search), allow_private: Vec::new() };
    Bench::with(Setup { set, web, images: true, ..Setup::default() }).toolbox
}

fn as_read(set: ToolSet) -> String {
    let tools: Vec<Value> = all_of(set).specs().iter().map(trajectory::ToolSpec::to_chat).collect();
    // Every training sample carries this text: about four characters are a token.
    let tokens = serde_json::to_string(&tools).unwrap().len() / 4;
    assert!(tokens < 1_290, "{set:?}: about {tokens} tokens");
    serde_json::to_string_pretty(&tools).unwrap()
}

#[test]
fn the_tools_as_a_model_reads_them() {
    insta::assert_snapshot!("edit", as_read(ToolSet::Edit));
    insta::assert_snapshot!("patch", as_read(ToolSet::Patch));
    insta::assert_snapshot!("sii", as_read(ToolSet::Sii));
}

#[test]
fn effects_are_those_that_approval_goes_by() {
    use trajectory::ToolEffect::{Executes, Network, ReadOnly, Writes};
    let effects = |set| {
        let specs = all_of(set).specs().into_iter();
        specs.map(|spec| (spec.name, spec.effect)).collect::<Vec<_>>()
    };
    let named = |expected: &[(&str, trajectory::ToolEffect)]| {
        expected.iter().map(|(name, effect)| ((*name).to_owned(), *effect)).collect::<Vec<_>>()
    };
    let ours = [
        ("shell", Executes),
        ("read", ReadOnly),
        ("write", Writes),
        ("edit", Writes),
        ("list", ReadOnly),
        ("glob", ReadOnly),
        ("grep", ReadOnly),
        ("map", ReadOnly),
        ("plan", ReadOnly),
        ("terminal", Executes),
        ("web_fetch", Network),
        ("web_search", Network),
    ];
    assert_eq!(effects(ToolSet::Edit), named(&ours));
    let sii = [
        ("list_directory", ReadOnly),
        ("read_file", ReadOnly),
        ("search_file_content", ReadOnly),
        ("glob", ReadOnly),
        ("replace", Writes),
        ("write_file", Writes),
        ("read_many_files", ReadOnly),
        ("run_shell_command", Executes),
        ("save_memory", Writes),
        ("todo_write", ReadOnly),
        ("web_fetch", Network),
        ("web_search", Network),
        ("terminal", Executes),
    ];
    assert_eq!(effects(ToolSet::Sii), named(&sii));
}

#[test]
fn what_is_not_set_up_is_not_offered() {
    for set in [ToolSet::Edit, ToolSet::Sii] {
        let bench = Bench::with(Setup { set, ..Setup::default() });
        let names: Vec<String> = bench.toolbox.specs().into_iter().map(|it| it.name).collect();
        assert!(!names.iter().any(|name| name.starts_with("web_")), "{names:?}");
        let outcome = bench.run("web_fetch", &json!({"url": "https://example.com"}));
        assert!(outcome.shown.starts_with("There is no tool \"web_fetch\"."), "{}", outcome.shown);
    }
    let patch: Vec<String> = all_of(ToolSet::Patch).specs().into_iter().map(|it| it.name).collect();
    assert!(!patch.contains(&"edit".to_owned()), "{patch:?}");
}

#[test]
fn a_workspace_that_is_no_folder_is_refused_by_name() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    for path in [file.as_path(), Path::new("/does/not/exist")] {
        let error =
            Toolbox::open(path, Sandbox::off(), &Setup::default()).err().unwrap().to_string();
        assert!(error.contains(path.to_str().unwrap()), "{error}");
        assert!(error.contains("Name a folder that exists"), "{error}");
    }
}

#[test]
fn wrong_arguments_are_told_field_by_field() {
    let bench = Bench::new();
    let cases = [
        ("write", r#"{"file_path": "a"}"#, "missing field `content`"),
        ("write", r#"{"file_path": "a", "content": 7}"#, "field `content` must be a string, not 7"),
        ("read", r#"{"path": "a"}"#, "unknown field `path`; missing field `file_path`"),
        ("read", r#"{"file_path": "a", "limit": "ten"}"#, "field `limit` must be a whole number"),
        ("read", r#"{"file_path": "a", "offset": -1}"#, "field `offset` must be a whole number"),
        ("read", r#"{"file_path": null}"#, "field `file_path` must be a string, not null"),
        (
            "edit",
            r#"{"file_path": "a", "old_string": "b", "new_string": "c", "replace_all": "yes"}"#,
            "field `replace_all` must be true or false, not the string \"yes\"",
        ),
        ("shell", r#"{"command": "ls""#, "not valid JSON"),
        ("shell", r#"["ls"]"#, "they are an array, not a JSON object"),
        ("shell", "", "missing field `command`"),
        ("list", r#"{"path": {"a": 1}}"#, "field `path` must be a string, not an object"),
        (
            "plan",
            r#"{"items": "two"}"#,
            "field `items` must be an array of objects, not the string",
        ),
        ("plan", r#"{"items": [1]}"#, "field `items[0]` must be an object, not 1"),
        ("plan", r#"{"items": [{"text": "a"}]}"#, "missing field `items[0].status`"),
        (
            "plan",
            r#"{"items": [{"text": "a", "status": "pending"}, {"text": "b", "status": "done", "x": 1}]}"#,
            "field `items[1].status` must be one of pending, in_progress, completed, not the string \"done\"; unknown field `items[1].x`. Expected: {\"items\": [{\"text\": string, \"status\": \"pending\" | \"in_progress\" | \"completed\"}, …]}",
        ),
        ("read", r#""a.txt""#, "they are the string \"a.txt\", not a JSON object"),
    ];
    for (tool, arguments, told) in cases {
        let outcome = bench.run_text(tool, arguments);
        assert_eq!(outcome.status, CallStatus::Error, "{arguments}");
        assert!(outcome.shown.contains(told), "{arguments}: {}", outcome.shown);
        assert!(outcome.shown.contains("Expected: {"), "{}", outcome.shown);
    }
    assert!(bench.names().is_empty());
}

#[test]
fn arguments_that_cannot_be_misread_are_accepted() {
    let bench = Bench::new();
    bench.put("a.txt", "one\ntwo\n");
    let shown = bench.ok("read", &json!({"file_path": "a.txt", "offset": 2.0, "limit": null}));
    assert_eq!(shown, "     2\ttwo");
    assert_eq!(bench.run_text("list", "").shown, "a.txt  8 B");
    let shown = bench.ok("read", &json!({"file_path": "a.txt", "offset": "2", "limit": " 1 "}));
    assert_eq!(shown, "     2\ttwo");
    let twice = json!(json!({"file_path": "a.txt", "offset": 2}).to_string()).to_string();
    assert_eq!(bench.run_text("read", &twice).shown, "     2\ttwo");
    let edit =
        json!({"file_path": "a.txt", "old_string": "o", "new_string": "0", "replace_all": "True"});
    bench.ok("edit", &edit);
    assert_eq!(bench.get("a.txt"), "0ne\ntw0\n");
    let item = json!({"text": "a", "status": "In Progress"});
    for items in [
        json!([item]),
        json!(json!([item]).to_string()),
        item.clone(),
        json!(item.to_string()),
        json!([item.to_string()]),
    ] {
        let told = bench.ok("plan", &json!({ "items": items }));
        assert_eq!(told, "Plan of 1 item: 0 completed, 1 in progress.");
    }
}

#[test]
fn hostile_arguments_do_no_harm() {
    let bench = Bench::new();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let many: String = (0..10_000).map(|n| format!("\"f{n}\":1,")).collect();
    for arguments in [deep, format!("{{{many}\"x\":2}}"), "\u{0}".to_owned(), "nul".repeat(5_000)] {
        let outcome = bench.run_text("write", &arguments);
        assert_eq!(outcome.status, CallStatus::Error);
        assert!(outcome.shown.len() < 2_000, "{}", outcome.shown.len());
    }
    assert!(bench.names().is_empty());
}

#[test]
fn an_unknown_tool_is_told_the_names() {
    let outcome = Bench::new().run("bash", &json!({}));
    assert_eq!(outcome.status, CallStatus::Error);
    assert_eq!(
        outcome.shown,
        "There is no tool \"bash\". The tools are shell, read, write, edit, list, glob, grep, map, plan, terminal."
    );
}

#[test]
fn a_call_that_is_cancelled_before_it_starts_does_nothing() {
    let bench = Bench::new();
    let cancel = CancellationToken::new();
    cancel.cancel();
    let arguments = json!({"file_path": "a", "content": "b"}).to_string();
    let (outcome, _) = bench.run_with("write", &arguments, cancel);
    assert_eq!(outcome.status, CallStatus::Cancelled);
    assert!(bench.names().is_empty());
}

#[test]
fn whatever_a_tool_forgets_the_outcome_is_bounded() {
    let long = Outcome::told(CallStatus::Ok, "日本\n".repeat(SHOWN_BYTES_MAX)).bounded();
    assert!(long.shown.len() <= SHOWN_BYTES_MAX);
    assert!(long.shown.ends_with("more characters]"), "{:?}", &long.shown[long.shown.len() - 60..]);
    assert!(long.truncated.unwrap().lines_omitted > 0);
    let short = Outcome::told(CallStatus::Ok, "x".to_owned()).bounded();
    assert_eq!((short.shown.as_str(), short.truncated), ("x", None));
}

#[test]
fn an_outcome_says_how_long_it_took() {
    let bench = Bench::new();
    assert!(bench.run("list", &json!({})).duration > Duration::ZERO);
}
