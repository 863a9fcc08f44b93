//! A model of this machine, asked by name: its server is started, watched, and ended. The arithmetic
//! is another program's: in its place is a script that says where a scripted server answers.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use mock_server::{MockServer, Reply, Scenario};
use rustix::process::{Pid, Signal, kill_process};
use trajectory::Body;
use trajectory::event::ModelChanged;

use crate::stage::{CTRL_S, CTRL_U, DOWN, ENTER, ESC, Terminal, for_server};
use crate::train::{Training, until};
use crate::world::{Run, World, run, server};

/// Before whatever a server does: it tells who it is and what it was asked.
const HEAD: &str = r#"#!/bin/sh
dir=$(dirname "$0")
printf '%s\n' "$LIMN_SERVE_KEY" >"$dir/key"
printf '%s\n' "$*" >>"$dir/asked"
echo $$ >>"$dir/pids"
"#;

/// It answers where the file says, until its stdin ends.
const SERVES: &str = r#"
printf '{"type":"serving","url":"%s","models":["%s"],"context":8192,"slots":1,"notices":["It is small."]}\n' \
    "$(cat "$dir/url")" "$4"
exec cat >/dev/null
"#;

/// What a run does that saves something at once.
const SAVES: &str = "mkdir -p \"$run/final\"; echo weights >\"$run/final/adapter.safetensors\"; \
                     say '\"finished\",\"step\":3,\"folder\":\"final\"'";

/// A world with a run that `limn train` made, and something that serves it.
struct Local {
    training: Training,
}

impl Local {
    fn new(serves: &str) -> Self {
        let training = Training::new(SAVES);
        training.begins(&[]).succeeds();
        let local = Self { training };
        local.serves(serves);
        local
    }

    fn world(&self) -> &World {
        &self.training.world
    }

    fn serves(&self, does: &str) {
        self.world().write("server/limn-train", &format!("{HEAD}{does}\n"));
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.program(), mode).unwrap();
    }

    fn at(&self, server: &MockServer) {
        self.world().write("server/url", &server.url());
    }

    fn program(&self) -> PathBuf {
        self.world().path("server/limn-train")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.world().command(args);
        command.env("LIMN_TRAIN", self.program());
        command
    }

    fn limn(&self, args: &[&str]) -> Run {
        run(self.command(args))
    }

    /// `limn exec` with the run.
    fn exec(&self, more: &[&str]) -> Run {
        let args = ["exec", "--model", "local:run", "--sandbox", "off"];
        self.limn(&[&args, more].concat())
    }

    fn open(&self, args: &[&str]) -> Terminal {
        let dress = Terminal::dress(self.world(), &[&["--sandbox", "off"], args].concat());
        Terminal::start(dress.env("LIMN_TRAIN", self.program()))
    }

    fn said(&self, name: &str) -> String {
        fs::read_to_string(self.world().path(&format!("server/{name}"))).unwrap_or_default()
    }

    /// The servers that were started, in their order.
    fn pids(&self) -> Vec<Pid> {
        let pid = |line: &str| Pid::from_raw(line.parse().unwrap()).unwrap();
        self.said("pids").lines().map(pid).collect()
    }

    /// Waits until so many were started; the last of them.
    fn started(&self, count: usize) -> Pid {
        // The line before is whole when this one is begun.
        until(|| self.said("pids").matches('\n').count() >= count);
        self.pids()[count - 1]
    }

    fn models(&self) -> Vec<ModelChanged> {
        let bodies = self.world().bodies("model_changed").into_iter();
        bodies
            .map(|body| match body {
                Body::ModelChanged(model) => model,
                other => panic!("{other:?}"),
            })
            .collect()
    }
}

/// Whether a process is there no more. One that nobody waited for yet is gone all the same.
fn is_gone(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    stat.map_or(true, |stat| stat.rsplit_once(')').unwrap().1.trim_start().starts_with('Z'))
}

fn kill(pid: Pid) {
    kill_process(pid, Signal::KILL).unwrap();
}

fn interrupt(child: &Child) {
    kill_process(Pid::from_child(child), Signal::INT).unwrap();
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_run_is_known_by_its_name_and_a_session_with_it_is_recorded_resumed_and_free() {
    let local = Local::new(SERVES);
    let listed = local.limn(&["models", "local", "--json"]).succeeds().json_lines();
    assert_eq!(listed.len(), 1);
    let [model] = &listed[..] else { panic!() };
    assert_eq!(model["model"], "local:run");
    assert_eq!((&model["state"], &model["method"]), (&"finished".into(), &"lora".into()));
    let server = server([Reply::text("One."), Reply::text("Two.")]);
    local.at(&server);
    local.exec(&["first"]).succeeds().says(&["loading local:run …", "It is small.", "$0"]);
    assert_eq!(said_last(&local), "One.");
    let folder = local.training.folder().canonicalize().unwrap();
    let asked = format!(
        "serve {} --name local:run --slots 1 --port 0 --json --until-stdin-ends\n",
        folder.display()
    );
    assert_eq!(local.said("asked"), asked);
    assert!(is_gone(local.started(1)));
    // It goes on with the model that it went on with before; nothing of the past has changed.
    local.limn(&["exec", "--resume", "last", "--sandbox", "off", "second"]).succeeds();
    assert!(is_gone(local.started(2)));
    let [model] = &local.models()[..] else { panic!("{:?}", local.models()) };
    assert_eq!((model.model.as_str(), model.provider.as_str()), ("local:run", "local"));
    assert_eq!((&model.endpoint, model.profile.as_deref()), (&None, Some("limn")));
    let [first, second] = &server.requests()[..] else { panic!() };
    let key = format!("Bearer {}", local.said("key").trim());
    assert_ne!(first.header("authorization"), second.header("authorization"));
    assert_eq!(second.header("authorization"), Some(key.as_str()));
    assert!(key.len() > 64 && !local.said("asked").contains(&key["Bearer ".len()..]));
    assert_eq!(second.json()["model"], "local:run");
    let sent = |request: &mock_server::RecordedRequest| request.messages();
    assert_eq!(sent(second)[..sent(first).len()], sent(first)[..]);
    local.world().assert_sound();
}

/// What the model said last.
fn said_last(local: &Local) -> String {
    let said = local.world().bodies("message").pop();
    match said {
        Some(Body::Message(said)) => said.text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_server_that_dies_in_mid_reply_is_told_of_and_started_again() {
    let local = Local::new(&format!("echo 'out of memory' >&2\n{SERVES}"));
    let hangs = server([Reply::text("Half").then_text(" a sentence").hang_after(1)]);
    local.at(&hangs);
    let args = ["exec", "--model", "local:run", "--sandbox", "off", "first"];
    let mut command = local.command(&args);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let first = local.started(1);
    assert!(hangs.wait_for_requests(1, crate::world::PATIENCE));
    let works = server([Reply::text("Whole.")]);
    local.at(&works);
    kill(first);
    // With the process its connections go.
    drop(hangs);
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    for part in ["The server of local:run ended (signal: 9", "out of memory", "Asking again"] {
        assert!(stderr.contains(part), "no {part:?} in {stderr}");
    }
    assert_eq!(said_last(&local), "Whole.");
    assert!(is_gone(local.started(2)));
    local.world().assert_sound();
}

#[test]
fn nothing_serves_any_more_when_limn_is_killed() {
    let local = Local::new(SERVES);
    let hangs = server([Reply::text("Half").hang_after(1)]);
    local.at(&hangs);
    let mut command = local.command(&["exec", "--model", "local:run", "--sandbox", "off", "go"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    assert!(hangs.wait_for_requests(1, crate::world::PATIENCE));
    let pid = local.started(1);
    assert!(!is_gone(pid));
    crate::world::kill(&mut child);
    until(|| is_gone(pid));
}

#[test]
fn what_never_answers_is_given_up_by_ctrl_c_or_when_its_time_is_up() {
    let local = Local::new("exec cat");
    let mut command = local.command(&["exec", "--model", "local:run", "--sandbox", "off", "go"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = local.started(1);
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.contains("Nothing was begun") && is_gone(pid), "{stderr}");
    local.world().settings("[local]\nwait_s = 0\n");
    local.exec(&["go"]).exits(3).says(&["did not answer within 0 s", "wait_s"]);
    // It may have had no time to say who it is.
    for pid in local.pids() {
        assert!(is_gone(pid));
    }
    // Only the session that was trained on is there.
    assert_eq!(local.world().home().session_ids().unwrap().len(), 1);
}

#[test]
fn what_cannot_be_served_is_said_before_a_session_begins() {
    let local = Local::new("echo 'error: config.json names no model. Take another.' >&2; exit 1");
    let says = ["local:run cannot be served", "exit status: 1", "names no model", "limn serve"];
    local.exec(&["go"]).exits(3).says(&says);
    local.serves("echo 'hello'; exec cat >/dev/null");
    local.exec(&["go"]).exits(3).says(&["something else than limn expects"]);
    let elsewhere =
        r#"{"type":"serving","url":"http://192.0.2.1:80/v1","models":["local:run"],"context":8}"#;
    local.serves(&format!("echo '{elsewhere}'; exec cat >/dev/null"));
    local.exec(&["go"]).exits(3).says(&["says that it is at http://192.0.2.1"]);
    let other = elsewhere.replace("192.0.2.1", "127.0.0.1").replace("local:run", "other");
    local.serves(&format!("echo '{other}'; exec cat >/dev/null"));
    local.exec(&["go"]).exits(3).says(&["has other models: other"]);
    for pid in local.pids() {
        assert!(is_gone(pid));
    }
    fs::remove_file(local.program()).unwrap();
    local.exec(&["go"]).exits(2).says(&["LIMN_TRAIN names", "limn-train"]);
    local
        .exec(&["--base-url", "http://127.0.0.1:9", "go"])
        .exits(2)
        .says(&["--base-url", "--model"]);
    // In a comparison it is said which model the flag is about.
    local.world().write("work/task.md", "Say hello.");
    let compare = ["compare", "local:run", "far", "--queries", "task.md"];
    let other = ["--base-url-b", "http://127.0.0.1:9"];
    for flag in [["--api-key-env", "A_KEY"], ["--api-key-env-a", "A_KEY"]] {
        let refused = local.limn(&[&compare[..], &other, &flag].concat()).exits(2);
        refused.says(&["--api-key-env is about another server", "local:run", "--api-key-env-b"]);
    }
    let none = ["exec", "--model", "local:none", "go"];
    local.limn(&none).exits(2).says(&["no local model \"none\"", "local:run", "limn train"]);
}

#[test]
fn names_are_told_apart_and_what_is_gone_is_passed_over() {
    let local = Local::new(SERVES);
    let world = local.world();
    for place in ["more/run", "models/tiny"] {
        world.write(&format!("{place}/config.json"), "{}");
        world.write(&format!("{place}/model.safetensors"), &"w".repeat(2_000_000));
    }
    world.write("models/small.gguf", "GGUF");
    world.write("models/notes/readme.txt", "nothing to serve");
    let [more, models] = ["more", "models"].map(|name| world.path(name).display().to_string());
    world.settings(&format!("[local]\nruns = [{more:?}, {models:?}]\n"));
    let names = |local: &Local| -> Vec<String> {
        let lines = local.limn(&["models", "local", "--json"]).succeeds().json_lines();
        lines.iter().map(|line| line["model"].as_str().unwrap().to_owned()).collect()
    };
    let above = world.path("").file_name().unwrap().to_str().unwrap().to_owned();
    let of_train = format!("local:{above}/run");
    let mut expected = vec!["local:more/run", "local:small.gguf", "local:tiny", &of_train];
    expected.sort_unstable();
    assert_eq!(names(&local), expected);
    let told = local.limn(&["models", "local"]).succeeds();
    assert!(told.stdout.contains("model, 2 MB") && told.stdout.contains("adapter of small"));
    local.exec(&["go"]).exits(2).says(&["several local models", "local:more/run", &of_train]);
    let server = server([Reply::text("One."), Reply::text("Two."), Reply::text("Three.")]);
    local.at(&server);
    let of_more = ["exec", "--model", "local:more/run", "--sandbox", "off", "go"];
    local.limn(&of_more).succeeds().says(&["loading local:more/run"]);
    let with_more = world.home().find("last").unwrap().to_string();
    // By its path a model has the name that it is listed under.
    let by_path = format!("local:{models}/tiny");
    local.limn(&["exec", "--model", &by_path, "--sandbox", "off", "go"]).succeeds();
    assert_eq!(local.models()[0].model, "local:tiny");
    fs::remove_dir_all(local.training.folder()).unwrap();
    assert_eq!(names(&local), ["local:run", "local:small.gguf", "local:tiny"]);
    // The name that a session has recorded says more than is needed now, and means the same.
    let resumed = ["exec", "--resume", &with_more, "--sandbox", "off", "on"];
    local.limn(&resumed).succeeds().says(&["loading local:run"]);
    fs::remove_dir_all(world.path("models")).unwrap();
    local.limn(&["exec", "--resume", "last", "--sandbox", "off", "more"]).exits(2).says(&[
        "no local model",
        "went on with local:tiny",
        "--model",
    ]);
}

#[test]
fn in_the_terminal_a_run_is_chosen_from_the_list_and_ended_with_the_next_choice() {
    let local = Local::new(SERVES);
    let (remote, own) = (server([Reply::text("From afar.")]), server([Reply::text("At home.")]));
    local.at(&own);
    let url = remote.url();
    let mut terminal = local.open(&for_server(&url, &[])[..4]);
    terminal.shows("mock-model").press("/model").press(ENTER);
    terminal.shows("▸ local:run").shows("adapter of small, finished").shows("mock-model");
    terminal.press(ENTER).shows("From here on, local:run answers.");
    terminal.shows("local:run is loaded: 8,192 tokens fit.").press("go").press(ENTER);
    terminal.shows("At home.").shows("✓").press("/status").press(ENTER);
    terminal.shows("model      local:run of local").shows("of 8,192 tokens").shows("by limn");
    let pid = local.started(1);
    assert!(!is_gone(pid));
    terminal.press("/model").press(ENTER).shows("▸ local:run").press(DOWN).press(ENTER);
    terminal.shows("From here on, mock-model answers.");
    assert!(is_gone(pid));
    terminal.press("go").press(ENTER).shows("From afar.").leave();
    assert_eq!(own.requests().len(), 1);
    let models: Vec<String> = local.models().into_iter().map(|it| it.model).collect();
    assert_eq!(models, ["local:run", "mock-model"]);
    local.world().assert_sound();
}

#[test]
fn what_is_asked_while_a_model_is_loaded_waits_for_it_and_esc_gives_it_up() {
    // It waits until something is written.
    let gate = "mkfifo \"$dir/gate\" 2>/dev/null; read line <\"$dir/gate\"";
    let local = Local::new(&format!("{gate}\n{SERVES}"));
    let own = server([Reply::text("One."), Reply::text("Two.")]);
    local.at(&own);
    let mut terminal = local.open(&["--model", "local:run", "first"]);
    terminal.shows("loading local:run …").shows("working").press("second").press(ENTER);
    local.started(1);
    terminal.shows("waits").press(ESC).shows_no_more("waits").press(ESC);
    terminal.shows("not loaded any more");
    until(|| is_gone(local.started(1)));
    // What had waited is in the prompt again; asked by hand, it loads the model once more.
    terminal.shows("❯ second").press(ENTER);
    local.started(2);
    until(|| local.world().path("server/gate").exists());
    fs::write(local.world().path("server/gate"), "\n").unwrap();
    terminal.shows("is loaded").shows("One.").shows("✓").leave();
    assert!(is_gone(local.started(2)));
    local.world().assert_sound();
}

#[test]
fn what_is_said_and_run_while_a_model_is_loaded_is_kept() {
    let gate = "mkfifo \"$dir/gate\" 2>/dev/null; read line <\"$dir/gate\"";
    let local = Local::new(&format!("{gate}\n{SERVES}"));
    let world = local.world();
    let own = MockServer::start(Scenario::generate(|_, request| {
        let asked = request.json().to_string();
        match (asked.contains("and second"), asked.contains("third")) {
            (true, _) => Reply::text("Both were heard."),
            (_, true) => Reply::text("That was heard, too."),
            _ => Reply::text("One was heard."),
        }
    }));
    let own = own.unwrap();
    local.at(&own);
    let opens = |count| {
        local.started(count);
        until(|| world.path("server/gate").exists());
        fs::write(world.path("server/gate"), "\n").unwrap();
    };
    let away = world.path("server/away");
    fs::rename(local.program(), &away).unwrap();
    let mut terminal = local.open(&["--model", "local:run"]);
    terminal.shows("LIMN_TRAIN names");
    // The prompt with which it is tried again is not lost.
    fs::rename(&away, local.program()).unwrap();
    terminal.press("first").press(ENTER).shows("loading local:run …").shows("working");
    // What is told to the round that is to be, and a command of one's own, wait with it.
    terminal.press("and second").press(CTRL_S).press("!echo own-$((6 * 7))").press(ENTER);
    opens(1);
    terminal.shows("is loaded").shows("Both were heard.").shows("own-42").leave();
    // Where nothing else was asked, what is told begins a round.
    let mut terminal = local.open(&["--model", "local:run"]);
    terminal.shows("loading local:run …").press("third").press(CTRL_S);
    opens(2);
    terminal.shows("is loaded").shows("That was heard, too.").leave();
    // What is given up is told, and what was said is handed back.
    let mut terminal = local.open(&["--model", "local:run"]);
    terminal.shows("loading local:run …").press("!echo lost").press(ENTER);
    local.started(3);
    terminal.press("fourth").press(CTRL_S).shows_no_more("❯ fourth").press(ESC);
    terminal.shows("was not run: echo lost").shows("❯ fourth").press(CTRL_U).leave();
    world.assert_sound();
}

#[test]
fn the_sessions_of_a_comparison_share_one_server() {
    let local = Local::new(SERVES);
    let world = local.world();
    let hello = || Scenario::repeat_last([Reply::text("Hello.")]);
    let (own, far) = (MockServer::start(hello()).unwrap(), MockServer::start(hello()).unwrap());
    local.at(&own);
    let tasks: String = (1..=3).map(|it| format!("{{\"prompt\":\"Task {it}.\"}}\n")).collect();
    world.write("work/tasks.jsonl", &tasks);
    let url = far.url();
    let models = ["compare", "local:run", "far", "--base-url-b", &url, "--sandbox", "off"];
    let more = ["--queries", "tasks.jsonl", "--jobs", "4"];
    local.limn(&[&models[..], &more].concat()).succeeds();
    assert_eq!((own.requests().len(), far.requests().len()), (3, 3));
    assert_eq!(local.pids().len(), 1);
    assert!(is_gone(local.started(1)) && local.said("asked").contains(" --slots 4 "));
    world.assert_sound();
}

#[test]
fn two_runs_are_compared_by_their_paths_and_each_is_loaded_once() {
    let local = Local::new(SERVES);
    let world = local.world();
    let hello = Scenario::repeat_last([Reply::text("Hello.")]);
    let server = MockServer::start(hello).unwrap();
    local.at(&server);
    let (one, other) = (local.training.folder(), world.path("runs/other"));
    fs::create_dir_all(other.parent().unwrap()).unwrap();
    assert!(Command::new("cp").arg("-r").args([&one, &other]).status().unwrap().success());
    world.write("work/tasks.jsonl", "{\"prompt\":\"Task 1.\"}\n{\"prompt\":\"Task 2.\"}\n");
    let compare = ["compare", text(&one), text(&other), "--sandbox", "off", "--json", "--queries"];
    let told = local.limn(&[&compare[..], &["tasks.jsonl"]].concat()).succeeds().json_lines();
    let whole = told.last().unwrap();
    assert_eq!((&whole["a"]["reached"], &whole["b"]["reached"]), (&2.into(), &2.into()), "{whole}");
    assert_eq!((server.requests().len(), local.pids().len()), (4, 2));
    let asked = local.said("asked");
    let served: Vec<&str> = asked.lines().map(|line| line.split(' ').nth(1).unwrap()).collect();
    let [one, other] = [one, other].map(|folder| folder.canonicalize().unwrap());
    assert_eq!(served, [text(&one), text(&other)]);
    world.assert_sound();
}

#[test]
fn limn_serve_takes_its_place_passes_what_it_was_told_and_ends_with_its_code() {
    let script = "trap 'exit 7' TERM; : >\"$dir/ready\"; while :; do read line; done";
    let local = Local::new(script);
    let key = local.world().path("key");
    let args = [
        "serve",
        "local:run",
        "--adapter",
        "two=local:run",
        "--port",
        "0",
        "--host",
        "::1",
        "--context",
        "4096",
        "--slots",
        "2",
        "--precision",
        "f32",
        "--device",
        "cpu",
        "--name",
        "mine",
        "--template",
        "chatml-tools",
        "--key-file",
        text(&key),
        "--json",
        "--until-stdin-ends",
    ];
    let mut command = local.command(&args);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let pid = local.started(1);
    assert_eq!(pid, Pid::from_child(&child));
    let run = local.training.folder().canonicalize().unwrap();
    let run = run.display();
    let asked = local.said("asked");
    let expected = format!(
        "serve {run} --adapter two={run} --port 0 --context 4096 --slots 2 --host ::1 --name mine \
         --key-file {} --template chatml-tools --device cpu --precision f32 --json \
         --until-stdin-ends\n",
        key.display()
    );
    assert_eq!(asked, expected);
    until(|| local.world().path("server/ready").exists());
    kill_process(pid, Signal::TERM).unwrap();
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(7));
    local.limn(&["serve", "nowhere"]).exits(2).says(&["no nowhere", "local:RUN"]);
    local.limn(&["serve", "local:run", "--adapter", "two"]).exits(2).says(&["NAME=RUN"]);
    fs::remove_file(local.program()).unwrap();
    local.limn(&["serve", "local:run"]).exits(2).says(&["LIMN_TRAIN names"]);
}
