//! Commands that go on, and commands that ask.

use std::process::{Command, Stdio};
use std::time::Instant;

use mock_server::{MockServer, Reply, Scenario};
use sandbox::Tier;
use serde_json::json;
use trajectory::Body;

use crate::world::{PATIENCE, World, kill, say_skipped, server, shell};

fn terminal(arguments: &serde_json::Value) -> Reply {
    Reply::new().call("terminal", &arguments.to_string())
}

#[test]
fn a_server_in_the_background_answers_a_later_call_and_ends_with_the_session() {
    let world = World::new();
    world.write("work/page.txt", "hello from the page\n");
    let serve = "exec python3 -u -m http.server --bind 127.0.0.1 0 > port 2>&1";
    let fetch = "until port=$(grep -o 'port [0-9]*' port | cut -c6-); [ -n \"$port\" ]; do read -t 0.1 < <(:) || :; done; \
                 python3 -c \"import urllib.request,sys; print(urllib.request.urlopen('http://127.0.0.1:$port/page.txt').read().decode())\"";
    let server = server([
        Reply::new().call("shell", &json!({"command": serve, "background": true}).to_string()),
        shell(fetch),
        Reply::text("It serves."),
    ]);
    world.exec(&server.url(), &["go"]).succeeds();
    let shown = world.shown();
    assert!(shown[0].contains("job 1"), "{}", shown[0]);
    assert!(shown[1].contains("hello from the page"), "{}", shown[1]);
    let exits = world.bodies("background_exit");
    let [Body::BackgroundExit(exit)] = exits.as_slice() else { panic!("{exits:?}") };
    assert_eq!(exit.exec, 1);
    let kinds: Vec<_> = world.events().iter().map(|event| event.body.kind()).collect();
    assert_eq!(kinds[kinds.len() - 2..], ["background_exit", "session_ended"]);
    world.assert_sound();
}

#[test]
fn a_question_of_a_command_is_noticed_and_answered() {
    let world = World::new();
    let server = server([
        shell("read -p 'Delete everything? ' answer; echo \"so: $answer\""),
        terminal(&json!({"job": 1, "input": "no\n", "wait_ms": 60_000})),
        Reply::text("It did not."),
    ]);
    world.exec(&server.url(), &["go"]).succeeds();
    let shown = world.shown();
    assert!(
        shown[0].contains("Delete everything?") && shown[0].contains("waits for input"),
        "{}",
        shown[0]
    );
    assert!(shown[1].contains("so: no"), "{}", shown[1]);
    let archive = world.archive();
    assert!(archive.verify().unwrap().is_empty());
    // What the model was told once, it is not told again.
    let exits = world.bodies("background_exit");
    let [Body::BackgroundExit(exit)] = exits.as_slice() else { panic!("{exits:?}") };
    assert_eq!((exit.exit.code, exit.shown.as_str()), (Some(0), ""));
    world.assert_sound();
}

#[test]
fn a_job_that_ends_by_itself_is_told_with_the_next_request() {
    let world = World::new();
    Command::new("mkfifo").arg(world.path("work/fifo")).status().unwrap();
    // The model works on until it is told.
    let server = MockServer::start(Scenario::generate(|number, request| match number {
        0 => {
            let command = json!({"command": "read line < fifo; exit 3", "background": true});
            Reply::new().call("shell", &command.to_string())
        }
        1 => shell("echo go > fifo"),
        number if request.json().to_string().contains("exit code 3") || number > 500 => {
            Reply::text("Noted.")
        }
        number => shell(&format!("echo {number}")),
    }))
    .unwrap();
    world.exec(&server.url(), &["go"]).succeeds();
    let told = server.requests().last().unwrap().json().to_string();
    assert!(told.contains("exit code 3"), "{told}");
    world.assert_sound();
}

#[test]
fn jobs_die_with_limn_whatever_ends_it() {
    // Killed, limn ends nothing itself: its terminals are hung up, and a job dies of that.
    for (signal, code) in
        [("TERM", Some(130)), ("HUP", Some(130)), ("INT", Some(130)), ("KILL", None)]
    {
        let world = World::new();
        let command = json!({"command": "echo $$ > pid; exec sleep 1000", "background": true});
        let server = server([
            Reply::new().call("shell", &command.to_string()),
            shell("until [ -s pid ]; do :; done"),
            Reply::text("never").hang_after(1),
        ]);
        let mut limn = world.exec_command(&server.url(), &["go"]);
        let mut limn = limn.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        assert!(server.wait_for_requests(3, PATIENCE), "{signal}: the model was not asked");
        let pid = std::fs::read_to_string(world.workspace().join("pid")).unwrap();
        assert!(is_alive(pid.trim()), "{signal}: the job never lived");
        let sent =
            Command::new("kill").args([format!("-{signal}"), limn.id().to_string()]).status();
        assert!(sent.unwrap().success());
        assert_eq!(limn.wait().unwrap().code(), code, "{signal}");
        let began = Instant::now();
        while is_alive(pid.trim()) {
            assert!(began.elapsed() < PATIENCE, "{signal}: the job lives on");
            std::thread::yield_now();
        }
        world.limn(&["sessions"]).succeeds();
        world.assert_sound();
    }
}

/// Whether a process runs; one that is dead and was not yet asked for its end does not.
fn is_alive(pid: &str) -> bool {
    let state = Command::new("ps").args(["-o", "stat=", "-p", pid]).output().unwrap().stdout;
    state.first().is_some_and(|state| *state != b'Z')
}

/// A job that left its terminal and hears no hang-up, in each tier that works here.
#[test]
fn what_hides_from_its_terminal_dies_with_the_sandbox() {
    for (number, tier) in Tier::ISOLATING.into_iter().enumerate() {
        let world = World::new();
        // Nobody else sleeps that long.
        let nap = format!("sleep {}", 9_000_000 + std::process::id() * 10 + number as u32);
        let hide = format!("setsid -f sh -c \"trap '' HUP TERM; {nap}; true\"; touch begun; {nap}");
        let hide = json!({"command": hide, "background": true});
        let server = server([
            Reply::new().call("shell", &hide.to_string()),
            shell("until [ -e begun ]; do :; done"),
            Reply::text("never").hang_after(1),
        ]);
        let mut limn = world.exec_command(&server.url(), &["--sandbox", "auto", "go"]);
        limn.env("LIMN_SANDBOX_TIER", tier.as_str());
        let mut limn = limn.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        assert!(server.wait_for_requests(3, PATIENCE), "{tier}: the model was not asked");
        if !world.path("work/begun").exists() {
            say_skipped(&format!("jobs in the tier {tier}, which does not work here"));
            kill(&mut limn);
            continue;
        }
        let began = Instant::now();
        while sleepers(&nap) < 2 {
            assert!(began.elapsed() < PATIENCE, "{tier}: the job never lived");
            std::thread::yield_now();
        }
        kill(&mut limn);
        let began = Instant::now();
        while sleepers(&nap) > 0 {
            assert!(began.elapsed() < PATIENCE, "{tier}: the job lives on");
            std::thread::yield_now();
        }
        world.limn(&["sessions"]).succeeds();
        let exits = world.bodies("background_exit");
        let told = |body: &Body| matches!(body, Body::BackgroundExit(it) if it.shown.contains("limn died"));
        assert!(exits.iter().any(told), "{tier}: {exits:?}");
        world.assert_sound();
    }
}

/// How many processes run exactly this.
fn sleepers(command: &str) -> usize {
    let listed = Command::new("ps").args(["-eo", "args"]).output().unwrap().stdout;
    String::from_utf8_lossy(&listed).lines().filter(|line| line.trim() == command).count()
}
