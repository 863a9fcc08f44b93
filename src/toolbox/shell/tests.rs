//! Commands.

use sandbox::{Network, Preset};
use serde_json::json;
use trajectory::event::CallStatus;

use super::*;
use crate::tests::Bench;

#[test]
fn what_a_command_prints_is_shown_and_kept() {
    let bench = Bench::new();
    let arguments = json!({"command": "echo one; echo two >&2"}).to_string();
    let (outcome, bytes) = bench.run_with("shell", &arguments, CancellationToken::new());
    assert_eq!(outcome.status, CallStatus::Ok);
    assert_eq!(outcome.shown, "one\ntwo");
    assert_eq!(outcome.exit.unwrap().code, Some(0));
    let printed = String::from_utf8(bytes).unwrap().replace('\r', "");
    assert_eq!(printed, "one\ntwo\n");
    assert!(outcome.output.unwrap().bytes >= 8);
}

#[test]
fn how_a_command_ends_is_said() {
    let bench = Bench::new();
    let shown = |command: &str| bench.ok("shell", &json!({ "command": command }));
    assert_eq!(shown("true"), "(no output)");
    assert_eq!(shown("exit 3"), "[exit code 3]");
    assert_eq!(shown("echo x; exit 3"), "x\n[exit code 3]");
    assert_eq!(shown("printf x; exit 3"), "x\n[exit code 3]");
    assert_eq!(shown("kill -9 $$"), "[killed by signal 9]");
    assert_eq!(shown("does-not-exist-anywhere").lines().last(), Some("[exit code 127]"));
}

#[test]
fn a_command_whose_time_is_up_is_killed() {
    let bench = Bench::new();
    let command = "echo begun; trap '' TERM HUP INT; sleep 1000; echo never";
    // How long a shell takes to say that it has begun, nobody knows.
    for (timeout_ms, told) in [(250, "0.25"), (2_000, "2"), (20_000, "20")] {
        let outcome = bench.run("shell", &json!({"command": command, "timeout_ms": timeout_ms}));
        let ending = format!("[timed out after {told} s; killed]");
        assert_eq!(outcome.status, CallStatus::Ok);
        assert!(outcome.exit.unwrap().timed_out);
        if outcome.shown != ending {
            assert_eq!(outcome.shown, format!("begun\n{ending}"));
            return;
        }
    }
    panic!("it never began");
}

#[test]
fn cancelling_kills_the_command() {
    let bench = Bench::new();
    let cancel = CancellationToken::new();
    // The command itself says when it runs, by a FIFO that nobody else opens.
    let fifo = bench.fifo("fifo");
    let arguments = json!({"command": "echo begun; echo > fifo; sleep 1000"}).to_string();
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::fs::read(&fifo).unwrap();
            cancel.cancel();
        });
        bench.run_with("shell", &arguments, cancel.clone()).0
    });
    assert_eq!(outcome.status, CallStatus::Cancelled);
    assert!(outcome.shown.ends_with("[cancelled; killed]"), "{}", outcome.shown);
}

#[test]
fn a_taker_that_is_gone_does_not_stop_the_command() {
    let bench = Bench::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (sender, receiver) = mpsc::channel(1);
    drop(receiver);
    let arguments = json!({"command": "seq 1 100000 | tail -1; echo done > done"}).to_string();
    let call = crate::Call { exec: 1, name: "shell", arguments: &arguments };
    let outcome = runtime.block_on(bench.toolbox.run(call, sender, CancellationToken::new()));
    assert_eq!(outcome.shown, "100000");
    assert_eq!(bench.get("done"), "done\n");
}

#[test]
fn it_runs_in_the_workspace_or_beneath() {
    let bench = Bench::new();
    bench.put("a/b/file", "");
    let root = bench.workspace().canonicalize().unwrap();
    let pwd = |workdir: &str| json!({"command": "pwd -P", "workdir": workdir});
    assert_eq!(bench.ok("shell", &json!({"command": "pwd -P"})), root.to_str().unwrap());
    assert_eq!(bench.ok("shell", &pwd("a/b")), root.join("a/b").to_str().unwrap());
    assert_eq!(bench.ok("shell", &pwd("")), root.to_str().unwrap());
    std::os::unix::fs::symlink(bench.outside(), root.join("out")).unwrap();
    std::os::unix::fs::symlink("a/b", root.join("in")).unwrap();
    assert_eq!(bench.ok("shell", &pwd("in")), root.join("a/b").to_str().unwrap());
    assert!(bench.fails("shell", &pwd("out")).contains("leads out of the workspace"));
    assert!(bench.fails("shell", &pwd("../outside")).contains("is outside the workspace"));
    assert!(bench.fails("shell", &pwd("a/b/file")).contains("is not a directory"));
    assert_eq!(bench.fails("shell", &pwd("a/c")), "a/c does not exist. Did you mean a/b?");
}

#[test]
fn it_is_bash_without_secrets_and_without_a_pager() {
    let bench = Bench::new();
    let shown = bench.ok("shell", &json!({"command": "[[ a == a ]] && env | cut -d= -f1 | sort"}));
    let names: Vec<&str> = shown.lines().collect();
    assert!(names.contains(&"PATH") && names.contains(&"GIT_PAGER"), "{shown}");
    let allowed: Vec<OsString> = Policy::default()
        .environment(std::env::vars_os())
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    for name in names {
        let by_bash =
            ["PWD", "OLDPWD", "SHLVL", "_", "LINES", "COLUMNS", "LIMN_EXEC"].contains(&name);
        assert!(by_bash || allowed.iter().any(|allowed| allowed == name), "{name}");
    }
}

#[test]
fn what_ran_is_told_without_values() {
    let bench = Bench::new();
    let execution = bench.run("shell", &json!({"command": "true"})).execution.unwrap();
    assert!(execution.argv[0].ends_with("sh"), "{}", execution.argv[0]);
    assert_eq!(execution.argv[1..], ["-c".to_owned(), "true".to_owned()]);
    assert_eq!(execution.cwd, bench.workspace().canonicalize().unwrap());
    assert!(execution.env.contains(&"PATH".to_owned()));
    assert!(execution.env.iter().all(|name| !name.contains('=')));
    assert_eq!(execution.policy, "off");
    assert_eq!(bench.run("list", &json!({})).execution, None);
}

#[test]
fn a_command_that_cannot_be_one_is_refused() {
    let bench = Bench::new();
    assert_eq!(bench.fails("shell", &json!({"command": " \n"})), "The command is empty.");
    let told = bench.fails("shell", &json!({"command": "echo \0"}));
    assert_eq!(told, "The command holds a NUL character.");
    let long = |bytes: usize| json!({"command": format!("echo ran #{}", "x".repeat(bytes - 10))});
    let told = bench.fails("shell", &long(128 * 1024));
    assert!(told.contains("131072 bytes") && told.contains("Nothing was run"), "{told}");
    assert_eq!(bench.run("shell", &long(128 * 1024 - 1)).shown, "ran");
}

#[test]
fn without_isolation_it_is_denied_and_the_way_out_named() {
    let bench = Bench::with_sandbox(Sandbox::strongest(Policy::default(), &[]));
    let outcome = bench.run("shell", &json!({"command": "touch planted"}));
    assert_eq!(outcome.status, CallStatus::Denied);
    assert!(outcome.shown.contains("--sandbox off"), "{}", outcome.shown);
    assert!(bench.names().is_empty());
    assert_eq!(outcome.exit, None);
}

#[test]
fn much_output_is_bounded_for_the_model_and_whole_for_the_record() {
    let bench = Bench::new();
    let arguments = json!({"command": "seq 1 200000"}).to_string();
    let (outcome, bytes) = bench.run_with("shell", &arguments, CancellationToken::new());
    assert!(outcome.shown.len() < 64 << 10, "{}", outcome.shown.len());
    assert!(outcome.shown.starts_with("1\n2\n") && outcome.shown.ends_with("200000"));
    assert!(outcome.truncated.unwrap().lines_omitted > 100_000);
    let printed = String::from_utf8(bytes).unwrap().replace('\r', "");
    assert_eq!(printed.lines().count(), 200_000);
    assert!(outcome.output.unwrap().bytes >= printed.len() as u64);
}

#[test]
fn a_command_that_failed_by_the_policy_is_told_the_rule() {
    let policy = Policy {
        preset: Preset::Workspace,
        workspace: "/work".into(),
        network: Network::Off,
        ..Policy::default()
    };
    let bench = Bench::with_sandbox(Sandbox::off().with_policy(policy));
    let run = |command: &str| bench.run("shell", &json!({ "command": command })).shown;
    let failed = "echo 'curl: (6) Could not resolve host: docs.example' >&2; exit 6";
    assert_eq!(
        run(failed),
        "curl: (6) Could not resolve host: docs.example\n[exit code 6]\n[sandbox: network is off \
         for this session, and docs.example:443 was asked for; allow it with `/allow \
         docs.example`, `--allow-host docs.example` or sandbox.allow_hosts]"
    );
    // What went well needs no explanation, and neither does what failed by itself.
    assert!(!run(&failed.replace("exit 6", "exit 0")).contains("[sandbox:"));
    assert!(!run("echo oops; exit 1").contains("[sandbox:"));
}
