//! Real programs, driven as a model drives them.

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::jobs::tests::Desk;

#[tokio::test]
async fn a_python_prompt_is_driven_through_several_calls() {
    let desk = Desk::new();
    let shown = desk.shell("python3 -q").await;
    assert_eq!(shown, ">>>\n[waits for input: job 1; answer with terminal]");
    let shown = desk.types(1, "x = 6 * 7\n").await;
    assert_eq!(shown, "x = 6 * 7\n>>>\n[job 1 waits for input]");
    let shown = desk.types(1, "print('is', x)\n").await;
    assert_eq!(shown, "print('is', x)\nis 42\n>>>\n[job 1 waits for input]");
    let shown = desk.types(1, "for i in range(2):\n    print(i)\n\n").await;
    assert!(shown.contains("0\n1\n>>>"), "{shown}");
    let shown = desk.types(1, "1/0\n").await;
    assert!(shown.contains("ZeroDivisionError"), "{shown}");
    let shown = desk.types(1, "exit(3)\n").await;
    assert!(shown.ends_with("[job 1 ended with exit code 3]"), "{shown}");
    // The model has seen the end, so nothing is told of it again.
    assert_eq!(desk.end(1).await.2, "");
    assert!(desk.typed(1).starts_with(b"x = 6 * 7\rprint('is', x)\r"));
}

#[tokio::test]
async fn hunks_are_added_one_by_one() {
    let desk = Desk::new();
    let lines: String = (1..=40).map(|n| format!("line {n}\n")).collect();
    std::fs::write(desk.path().join("file"), &lines).unwrap();
    desk.shell(
        "git init -q . && git add file && git -c user.name=A -c user.email=a@b commit -qm 1",
    )
    .await;
    let changed = lines.replace("line 2\n", "line two\n").replace("line 38\n", "line last\n");
    std::fs::write(desk.path().join("file"), changed).unwrap();
    let shown = desk.shell("git add -p").await;
    assert!(shown.contains("(1/2) Stage this hunk"), "{shown}");
    let shown = desk.types(2, "n\n").await;
    assert!(shown.contains("(2/2) Stage this hunk"), "{shown}");
    let shown = desk.types(2, "y\n").await;
    assert!(shown.ends_with("[job 2 ended with exit code 0]"), "{shown}");
    let staged = desk.shell("git diff --cached -U0").await;
    assert!(staged.contains("+line last") && !staged.contains("line two"), "{staged}");
}

#[tokio::test]
async fn a_question_is_answered() {
    let desk = Desk::new();
    assert_eq!(
        desk.shell("read -p 'Your name? ' name; echo Hello, $name; exit 4").await,
        "Your name?\n[waits for input: job 1; answer with terminal]"
    );
    let shown = desk.types(1, "Ann\n").await;
    assert_eq!(shown, "Ann\nHello, Ann\n[job 1 ended with exit code 4]");
}

#[tokio::test]
async fn a_password_is_typed_and_not_shown() {
    let desk = Desk::new();
    let shown = desk
        .shell("stty -echo; printf 'Password: '; read word; stty echo; echo; echo ${#word} letters")
        .await;
    assert_eq!(shown, "Password:\n[waits for input: job 1; answer with terminal]");
    let shown = desk.types(1, "swordfish\n").await;
    assert_eq!(shown, "9 letters\n[job 1 ended with exit code 0]");
    let shown = desk.shell("python3 -c 'import getpass; print(len(getpass.getpass()))'").await;
    assert!(shown.starts_with("Password:\n[waits for input: job 3"), "{shown}");
    let shown = desk.types(3, "four\n").await;
    assert_eq!(shown, "4\n[job 3 ended with exit code 0]");
}

#[tokio::test]
async fn a_full_screen_program_is_shown_as_its_screen() {
    let desk = Desk::new();
    let menu = r#"
import curses
def run(screen):
    line = 0
    while True:
        screen.erase()
        for n in range(3):
            screen.addstr(n, 0, ("> " if n == line else "  ") + f"item {n}")
        screen.refresh()
        key = screen.getch()
        if key == ord("q"):
            return
        line += (key == curses.KEY_DOWN) - (key == curses.KEY_UP)
curses.wrapper(run)
print("bye")
"#;
    std::fs::write(desk.path().join("menu.py"), menu).unwrap();
    let title = "[a full-screen program is running; its screen:]";
    let shown = desk.shell("python3 menu.py").await;
    assert_eq!(
        shown,
        format!(
            "{title}\n> item 0\n  item 1\n  item 2\n[waits for input: job 1; answer with terminal]"
        )
    );
    let shown = desk.drives(1, &json!({"job": 1, "keys": "down down up down"})).await;
    let expect = format!("{title}\n  item 0\n  item 1\n> item 2\n[job 1 waits for input]");
    assert_eq!(shown, expect);
    assert_eq!(desk.typed(1), b"\x1bOB\x1bOB\x1bOA\x1bOB");
    let shown = desk.terminal(&json!({"job": 1, "wait_ms": 0})).await;
    assert_eq!(shown, "[job 1 waits for input; nothing new]");
    let shown = desk.types(1, "q").await;
    assert_eq!(shown, "bye\n[job 1 ended with exit code 0]");
}

#[tokio::test]
async fn a_job_is_interrupted_by_a_key() {
    let desk = Desk::new();
    let job = desk
        .start("trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.01; done")
        .await;
    desk.prints(job, "ready").await;
    let shown = desk.terminal(&json!({"job": job, "keys": "ctrl-c", "wait_ms": 600000})).await;
    if !shown.contains("caught") {
        desk.prints(job, "caught").await;
    }
    desk.end(job).await;
}

#[tokio::test]
async fn only_what_is_new_is_shown_and_progress_is_resolved() {
    let desk = Desk::new();
    desk.gate("first");
    desk.gate("second");
    desk.gate("never");
    let script = "printf 'one\n10%%'; read x < first; printf '\r50%%\r100%%\ntwo\n'
                  read x < second; echo three; read x < never";
    let job = desk.start(script).await;
    desk.prints(job, "10%").await;
    let before = desk.sees(job, "10%").await;
    assert!(before.starts_with("one\n10%\n") || before.contains("\none\n10%\n"), "{before}");
    desk.open_gate("first").await;
    let shown = desk.sees(job, "two").await;
    assert!(shown.contains("\n100%\ntwo\n"), "{shown}");
    desk.open_gate("second").await;
    let shown = desk.sees(job, "three").await;
    assert!(!shown.contains("two"), "{shown}");
    let shown = desk.terminal(&json!({"job": job, "wait_ms": 0})).await;
    assert_eq!(shown, format!("[job {job} runs; nothing new]"));
}

#[tokio::test]
async fn what_cannot_be_done_is_told() {
    let desk = Desk::new();
    let fails = async |arguments: serde_json::Value| {
        let outcome = desk.call("terminal", &arguments).await;
        assert_eq!(outcome.status, CallStatus::Error, "{}", outcome.shown);
        outcome.shown
    };
    assert_eq!(
        fails(json!({"job": 7})).await,
        "There is no job 7. There are no jobs; shell starts them."
    );
    let job = desk.start("sleep 100000").await;
    let other = desk.start("cat").await;
    assert_eq!(
        fails(json!({"job": 7})).await,
        format!("There is no job 7. The jobs are {job} (sleep 100000), {other} (cat).")
    );
    assert!(fails(json!({"job": job, "keys": "entr"})).await.contains("There is no key \"entr\""));
    let much = "x".repeat(70_000);
    let told = fails(json!({"job": job, "input": much})).await;
    assert!(told.starts_with("Nothing was typed: "), "{told}");
}

#[tokio::test]
async fn cancelling_a_call_leaves_the_job_alone() {
    let desk = Desk::new();
    let job = desk.start("exec sleep 100000").await;
    let cancel = CancellationToken::new();
    let arguments = json!({"job": job, "wait_ms": 600000});
    let call = desk.call_with("terminal", &arguments, cancel.clone());
    let (outcome, ()) = tokio::join!(call, async { cancel.cancel() });
    assert_eq!(outcome.status, CallStatus::Cancelled);
    assert_eq!(
        desk.terminal(&json!({"job": job, "wait_ms": 0})).await,
        format!("[job {job} runs; nothing new]")
    );
    desk.toolbox().stop_jobs().await;
    assert!(desk.end(job).await.2.contains("was stopped"));
}

#[tokio::test]
async fn the_terminal_of_a_job_is_resized() {
    let desk = Desk::new();
    let job =
        desk.start("trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.01; done").await;
    desk.prints(job, "ready").await;
    let size = sandbox::TerminalSize { columns: 77, rows: 22 };
    desk.toolbox().resize_job(job, size).unwrap();
    desk.end(job).await;
    assert!(desk.terminal(&json!({ "job": job })).await.contains("22 77"));
    assert!(desk.toolbox().resize_job(job, size).is_err());
}

#[tokio::test]
async fn bytes_that_are_no_text_are_kept() {
    let desk = Desk::new();
    desk.gate("gate");
    let job = desk.start(r"echo on; read x < gate; printf 'a\000b\377c\n'; read x").await;
    desk.open_gate("gate").await;
    desk.sees(job, "waits for input").await;
    desk.prints(job, "c\r\n").await;
    assert!(desk.printed(job).ends_with(b"a\0b\xffc\r\n"), "{:?}", desk.printed(job));
}
