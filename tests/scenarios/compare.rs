//! Two models, the same tasks: what each did, side by side.

use std::fs;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::UNIX_EPOCH;

use mock_server::{MockServer, RecordedRequest, Reply, Scenario};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::train::until;
use crate::world::{PATIENCE, Run, World, files, run, shell};

/// A model that does what it is asked for: of each task it takes two steps.
fn diligent() -> MockServer {
    MockServer::start(Scenario::generate(|_, request: &RecordedRequest| {
        let messages = request.messages();
        match messages.iter().filter(|message| message["role"] == "assistant").count() {
            0 => shell("cat task.txt; echo done > result.txt").reasoning("Let me do it."),
            _ => Reply::text("It is done."),
        }
    }))
    .unwrap()
}

/// One that only says so.
fn boastful() -> MockServer {
    MockServer::start(Scenario::repeat_last([Reply::text("All done, of course.")])).unwrap()
}

/// Two tasks with a workspace, and a command that says whether they were done.
fn tasks(world: &World) {
    world.write("tasks/start/task.txt", "write result.txt\n");
    let line = |id: &str| {
        format!(
            "{{\"id\":\"{id}\",\"prompt\":\"Do task {id}.\",\"workspace\":\"start\",\
             \"check\":\"test -f result.txt && test -f task.txt\"}}\n"
        )
    };
    world.write("tasks/tasks.jsonl", &[line("one"), line("two")].concat());
}

fn compare(world: &World, servers: [&str; 2], more: &[&str]) -> Command {
    let (queries, out) = (world.path("tasks/tasks.jsonl"), world.path("compared"));
    let [a, b] = servers;
    let args = ["compare", "good", "bad", "--base-url-a", a, "--base-url-b", b, "--queries"];
    let more = [&["--sandbox", "off", "--retries", "0"], more].concat();
    let mut command = world.command(&args);
    command.arg(queries).arg("--out").arg(out).args(more);
    command
}

fn runs(run: &Run) -> (Vec<Value>, Value) {
    let mut lines = run.json_lines();
    let summary = lines.pop().unwrap();
    assert_eq!(summary["type"], "summary");
    (lines, summary)
}

#[test]
fn each_model_does_each_task_in_a_copy_of_its_own_and_is_judged_by_its_check() {
    let world = World::new();
    tasks(&world);
    let (good, bad) = (diligent(), boastful());
    let compared = run(compare(&world, [&good.url(), &bad.url()], &["--json"])).succeeds();
    let (lines, summary) = runs(&compared);
    let told: Vec<(&str, &str, bool)> = lines
        .iter()
        .map(|line| {
            let text = |key: &str| line[key].as_str().unwrap();
            (text("query"), text("side"), line["done"].as_bool().unwrap())
        })
        .collect();
    // The second model finds nothing of what the first has made.
    let expected =
        [("one", "a", true), ("one", "b", false), ("two", "a", true), ("two", "b", false)];
    assert_eq!(told, expected);
    let first = &lines[0];
    assert_eq!(first["check"]["exit"], 0);
    assert_eq!(first["steps"][0]["reasoning"], "Let me do it.");
    assert_eq!(first["steps"][0]["calls"][0]["name"], "shell");
    let verdict = first["steps"][0]["calls"][0]["verdict"].as_str().unwrap();
    assert!(verdict.starts_with("exit 0"), "{verdict}");
    assert_eq!(first["steps"][1]["text"], "It is done.");
    assert_eq!(
        (&summary["a"]["pass_rate"], &summary["b"]["pass_rate"]),
        (&1.0.into(), &0.0.into())
    );
    assert_eq!(summary["pairs"]["only_a"], 2);
    assert!(!world.path("tasks/start/result.txt").exists(), "the original is as it was");
    // Every session is on record, tagged and judged.
    assert_eq!(world.home().session_ids().unwrap().len(), 4);
    let tagged = world.limn(&["sessions", "--json", "--tag", "compare"]).succeeds();
    let ids: Vec<String> = lines.iter().map(|line| line["session"].to_string()).collect();
    let listed = tagged.json_lines();
    assert!(listed.iter().all(|it| ids.contains(&it["id"].to_string())), "{listed:?}");
    let outcomes: Vec<&str> = listed.iter().map(|it| it["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes.iter().filter(|it| **it == "success").count(), 2, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|it| **it == "failure").count(), 2);
    world.assert_sound();
}

#[test]
fn a_comparison_goes_on_where_it_was_stopped() {
    let world = World::new();
    tasks(&world);
    let (good, bad) = (diligent(), boastful());
    let (good_url, bad_url) = (good.url(), bad.url());
    let urls = [good_url.as_str(), bad_url.as_str()];
    let whole = run(compare(&world, urls, &["--json"])).succeeds();
    let asked = (good.requests().len(), bad.requests().len());
    // All is known: nobody is asked, and the same is told.
    let again = run(compare(&world, urls, &["--json"])).succeeds();
    assert_eq!(again.stdout, whole.stdout);
    assert_eq!((good.requests().len(), bad.requests().len()), asked);
    // A kill in the middle of the last line costs that one session.
    let results = world.path("compared/results.jsonl");
    let text = fs::read_to_string(&results).unwrap();
    fs::write(&results, &text[..text.len() - 5]).unwrap();
    let rest = run(compare(&world, urls, &["--json"])).succeeds();
    assert_eq!(runs(&rest).0.len(), 4);
    assert_eq!(good.requests().len(), asked.0);
    assert_eq!(bad.requests().len(), asked.1 + 1);
    // More of the same goes on from there, several at a time.
    let more = run(compare(&world, urls, &["--json", "--repeat", "3", "--jobs", "4"])).succeeds();
    assert_eq!(runs(&more).1["a"]["runs"], 6);
    assert_eq!(bad.requests().len(), asked.1 + 1 + 4);
    // Something else does not: another flag, or another workspace.
    let others = [
        ["--max-steps", "9"],
        ["--silence", "9"],
        ["--approval", "auto"],
        ["--context-window", "9000"],
        ["--api", "responses"],
        ["--hidden", "/secret"],
    ];
    for other in others {
        let refused = run(compare(&world, urls, &other)).exits(2);
        refused.says(&["another task \"one\"", "--out"]);
    }
    fs::File::open(world.path("tasks/start/task.txt")).unwrap().set_modified(UNIX_EPOCH).unwrap();
    run(compare(&world, urls, &["--no-fsync"])).succeeds();
    world.write("tasks/start/task.txt", "write another.txt\n");
    run(compare(&world, urls, &[])).exits(2).says(&["another workspace"]);
    world.write("tasks/start/task.txt", "write result.txt\n");
    fs::OpenOptions::new().append(true).open(&results).unwrap().write_all(b"{oops}\n").unwrap();
    run(compare(&world, urls, &[])).exits(2).says(&["results.jsonl", "line"]);
}

#[test]
fn what_goes_wrong_with_one_model_is_a_result() {
    let world = World::new();
    tasks(&world);
    let good = diligent();
    let broken = MockServer::start(Scenario::generate(|_, _| {
        Reply::status(400, &[], r#"{"error":{"message":"no such luck"}}"#)
    }))
    .unwrap();
    let compared = run(compare(&world, [&good.url(), &broken.url()], &["--json"])).succeeds();
    let (lines, summary) = runs(&compared);
    assert!(lines[1]["error"].as_str().unwrap().contains("no such luck"), "{}", lines[1]);
    assert_eq!((&lines[1]["ended"], &lines[1]["check"]), (&"failed".into(), &Value::Null));
    assert_eq!((&summary["a"]["done"], &summary["b"]["done"]), (&2.into(), &0.into()));
}

#[test]
fn a_model_that_was_never_reached_is_said_and_tried_again() {
    let world = World::new();
    tasks(&world);
    let good = diligent();
    let nobody = "http://127.0.0.1:1/v1";
    let compared = run(compare(&world, [&good.url(), nobody], &["--json"])).exits(3);
    let (lines, summary) = runs(&compared);
    assert_eq!((&lines[1]["reached"], &lines[0]["done"]), (&false.into(), &true.into()));
    assert_eq!((&summary["a"]["done"], &summary["b"]["reached"]), (&2.into(), &0.into()));
    let asked = good.requests().len();
    run(compare(&world, [&good.url(), nobody], &[])).exits(3).says(&["was not reached"]);
    assert_eq!(good.requests().len(), asked, "what is known is not asked for again");
}

#[test]
fn what_is_trusted_of_a_workspace_holds_in_its_copies() {
    let world = World::new();
    tasks(&world);
    let good = diligent();
    world.write("tasks/start/.limn/config.toml", &format!("base_url = '{}'\n", good.url()));
    let compare = || {
        let mut command = world.command(&["compare", "one", "other", "--sandbox", "off"]);
        command.arg("--queries").arg(world.path("tasks/tasks.jsonl"));
        run(command)
    };
    let start = world.path("tasks/start");
    let start = start.to_str().unwrap();
    compare().exits(2).says(&["base_url", "limn trust", start]);
    assert!(world.home().session_ids().unwrap().is_empty());
    world.limn(&["trust", "--yes", start]).succeeds();
    compare().succeeds();
    assert_eq!(good.requests().len(), 8, "both models did both tasks in two steps");
    world.assert_sound();
}

/// The keys that a server was sent, each once.
fn keys(server: &MockServer) -> Vec<Option<String>> {
    let key = |it: &RecordedRequest| it.header("authorization").map(str::to_owned);
    let mut keys: Vec<Option<String>> = server.requests().iter().map(key).collect();
    keys.dedup();
    keys
}

#[test]
fn a_key_goes_to_the_server_that_it_was_named_for_and_to_no_other() {
    let world = World::new();
    tasks(&world);
    let (good, bad) = (diligent(), boastful());
    let with = |more: &[&str]| {
        let mut command = compare(&world, [&good.url(), &bad.url()], more);
        command.env("ONE_KEY", "first-secret").env("TWO_KEY", "second-secret");
        run(command)
    };
    let shared = with(&["--api-key-env", "ONE_KEY"]).exits(2);
    shared.says(&["two servers", &good.url(), &bad.url(), "--api-key-env-a", "--api-key-env-b"]);
    assert!(good.requests().is_empty() && bad.requests().is_empty(), "nobody was told it");
    with(&["--api-key-env-a", "ONE_KEY"]).succeeds();
    assert_eq!(keys(&good), [Some("Bearer first-secret".to_owned())]);
    assert_eq!(keys(&bad), [None]);
    let each = ["--api-key-env-a", "ONE_KEY", "--api-key-env-b", "TWO_KEY", "--repeat", "2"];
    with(&each).succeeds();
    assert_eq!(keys(&good), [Some("Bearer first-secret".to_owned())]);
    assert_eq!(keys(&bad), [None, Some("Bearer second-secret".to_owned())]);
    // Two models of one server have its key both.
    let (url, queries) = (good.url(), world.path("tasks/tasks.jsonl"));
    let mut same = world.command(&["compare", "good", "better", "--base-url", &url, "--queries"]);
    same.arg(queries).args(["--sandbox", "off", "--api-key-env", "TWO_KEY"]);
    same.env("TWO_KEY", "second-secret");
    run(same).succeeds();
    assert_eq!(keys(&good).pop().unwrap(), Some("Bearer second-secret".to_owned()));
}

#[test]
fn it_is_shown_side_by_side_with_what_it_came_to() {
    let world = World::new();
    tasks(&world);
    let (good, bad) = (diligent(), boastful());
    let shown = run(compare(&world, [&good.url(), &bad.url()], &[])).succeeds();
    let text = &shown.stdout;
    for words in [
        "══ one: Do task one.",
        "│ B  bad",
        "~ Let me do it.",
        "> shell cat task.txt; echo done > result.txt",
        "│ All done, of course.",
        "PASSED · completed",
        "NOT PASSED (check exit 1) · completed",
        "2 of 2 (100 %)",
        "-100 points for B",
        "by A alone 2",
    ] {
        assert!(text.contains(words), "no {words:?} in:\n{text}");
    }
    assert!(shown.stderr.contains("[4/4] two · B bad · NOT PASSED"), "{}", shown.stderr);
}

#[test]
fn an_interrupt_ends_it_and_what_was_done_stays() {
    let world = World::new();
    tasks(&world);
    let good = diligent();
    let slow =
        MockServer::start(Scenario::repeat_last([Reply::text("Wait.").hang_after(1)])).unwrap();
    let mut command = compare(&world, [&good.url(), &slow.url()], &[]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    assert!(slow.wait_for_requests(1, PATIENCE));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let results = fs::read_to_string(world.path("compared/results.jsonl")).unwrap();
    assert_eq!(results.lines().count(), 1, "{results}");
    world.assert_sound();
}

/// A comparison before whose second session somebody has to be asked for the key, and takes their
/// time until a line is written into the gate.
struct Gated {
    world: World,
    /// As long as it is asked.
    _server: MockServer,
}

impl Gated {
    fn new() -> Self {
        let (world, server) = (World::new(), boastful());
        tasks(&world);
        let script = "dir=$(dirname \"$0\")\necho asked >>\"$dir/asked\"\n\
                      [ \"$(wc -l <\"$dir/asked\")\" -ne 2 ] || read line <\"$dir/gate\"\n\
                      echo key\n";
        world.write("keys/key.sh", script);
        let made = Command::new("mkfifo").arg(world.path("keys/gate")).status();
        assert!(made.unwrap().success());
        let (url, script) = (server.url(), world.path("keys/key.sh"));
        world.settings(&format!(
            "[providers.slow]\nbase_url = '{url}'\nkey_command = ['sh', '{}']\n",
            script.display()
        ));
        Self { world, _server: server }
    }

    /// Begins, and comes to the gate.
    fn begins(&self) -> Child {
        let words = ["compare", "slow/one", "slow/other", "--sandbox", "off", "--queries"];
        let mut command = self.world.command(&words);
        command.arg(self.world.path("tasks/tasks.jsonl"));
        command.arg("--out").arg(self.world.path("compared"));
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let asked = || fs::read_to_string(self.world.path("keys/asked")).unwrap_or_default();
        until(|| asked().lines().count() == 2);
        child
    }

    fn opens(&self) {
        fs::write(self.world.path("keys/gate"), "\n").unwrap();
    }

    /// How many results are kept.
    fn results(&self) -> usize {
        fs::read_to_string(self.world.path("compared/results.jsonl")).unwrap().lines().count()
    }
}

#[test]
fn an_interrupt_between_two_sessions_is_heard() {
    let gated = Gated::new();
    let mut child = gated.begins();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    gated.opens();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    // The second may have begun by then, and is not finished.
    assert_eq!(gated.results(), 1);
    gated.world.assert_sound();
}

#[test]
fn what_the_tasks_begin_with_is_not_collected_while_it_runs() {
    let gated = Gated::new();
    let world = &gated.world;
    let line = |id: &str| format!("{{\"prompt\":\"Do it.\",\"workspace\":\"{id}\"}}\n");
    world.write("tasks/tasks.jsonl", &[line("start"), line("later")].concat());
    world.write("tasks/later/deep/file.txt", "nobody has recorded this yet");
    let mut child = gated.begins();
    world.limn(&["store", "gc", "--older-than", "0"]).succeeds();
    gated.opens();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(gated.results(), 4);
    world.assert_sound();
    // Afterwards nobody holds it, and the folder beside the lock is as it was.
    let left = files(&world.path("data/workspaces"));
    assert!(left.iter().all(|path| path.extension().is_none_or(|it| it != "pin")), "{left:?}");
}
