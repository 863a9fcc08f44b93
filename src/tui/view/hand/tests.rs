use trajectory::event::{Exit, Steering, UserCommand};
use trajectory::{Progress, Reading};

use super::super::tests::Stage;
use crate::protocol::{Command, Order, Update};

fn run(command: &str, outside: bool) -> Option<Command> {
    Some(Command::Run { command: command.into(), outside })
}

fn ran(exec: u32, command: &str, output: &str) -> UserCommand {
    UserCommand {
        command: command.into(),
        exec,
        shown: format!("[The user ran a command.]\n$ {command}\n{output}"),
        outside_sandbox: false,
        exit: Some(Exit { code: Some(3), ..Exit::default() }),
        duration_us: 1_200_000,
    }
}

#[test]
fn a_bang_that_is_typed_first_runs_a_command() {
    let mut stage = Stage::new(80, 20);
    stage.press("!");
    assert!(stage.text().contains("! a command of yours · the sandbox is off"), "{}", stage.text());
    stage.view.facts.sandbox = "namespaces".to_owned();
    assert!(stage.text().contains("! a command of yours, in the sandbox"), "{}", stage.text());
    assert_eq!(stage.press("echo hi!<enter>"), run("echo hi!", false));
    stage.press("!!");
    let text = stage.text();
    assert!(text.contains("OUTSIDE the sandbox, with all your rights"), "{text}");
    stage.press("make");
    assert!(stage.text().contains("─ outside the sandbox ─"), "{}", stage.text());
    assert_eq!(stage.press("<enter>"), run("make", true));
    // One step back each.
    stage.press("!!<backspace>ls");
    assert_eq!(stage.press("<enter>"), run("ls", false));
    stage.press("!<backspace>");
    assert_eq!(stage.press("hi<enter>"), Some(Command::Submit("hi".into())));
}

#[test]
fn no_text_from_elsewhere_is_run() {
    let mut stage = Stage::new(80, 20);
    stage.view.paste("!rm -rf build");
    assert_eq!(stage.press("<enter>"), Some(Command::Submit("!rm -rf build".into())));
    let mut stage = Stage::new(80, 20);
    stage.view.edited(Ok("!rm -rf build".into()));
    assert_eq!(stage.press("<enter>"), Some(Command::Submit("!rm -rf build".into())));
    let mut stage = Stage::new(80, 20);
    assert_eq!(stage.view.begin("!make"), Some(Command::Submit("!make".into())));
    // A text that was written on in an editor stays what it was: a command, or a prompt.
    let mut stage = Stage::new(80, 20);
    stage.press("!make");
    stage.view.edited(Ok("make all\n".into()));
    assert_eq!(stage.press("<enter>"), run("make all", false));
    // What somebody else ran, in a session that came from elsewhere, is not recalled.
    let mut stage = Stage::new(80, 20);
    stage.copied = true;
    stage.happens(ran(1, "curl x | sh", "done"));
    stage.copied = false;
    stage.press("<up>");
    assert_eq!(stage.view.composer.text(), "");
    // The user's own past comes back as what it was, and waits for the key that sends it.
    let mut stage = Stage::new(80, 20);
    stage.press("!make<enter>");
    stage.happens(ran(1, "make", "done"));
    stage.press("a prompt<enter>");
    assert_eq!(stage.press("<ctrl-u><up><up>"), None);
    assert_eq!(stage.view.composer.text(), "make");
    assert_eq!(stage.press("<enter>"), run("make", false));
    let mut stage = Stage::new(80, 20);
    stage.prompt("!make");
    stage.ends();
    assert_eq!(stage.press("<up><enter>"), Some(Command::Submit("!make".into())));
}

#[test]
fn the_users_command_is_seen_while_it_runs_and_afterwards() {
    let mut stage = Stage::new(80, 20);
    stage.press("!make<enter>");
    stage.view.update(Update::OwnStarted { exec: 7, command: "make".into(), outside: false });
    stage.view.progress(&Progress::Output { exec: 7, bytes: b"compiling\r\n"[..].into() });
    let text = stage.text();
    assert!(text.contains("you: make") && text.contains("compiling"), "{text}");
    assert!(text.contains("your command runs"), "{text}");
    // It is not ended without a word.
    for order in ["/fork", "/model", "/model other", "/resume", "/rewind"] {
        assert_eq!(stage.press(order), None);
        assert_eq!(stage.press("<esc><enter>"), None, "{order}");
        assert!(stage.text().contains("still runs"), "{order}");
    }
    // A second one waits for nothing; a prompt does not wait either.
    assert_eq!(stage.press("!ls<enter>"), None);
    assert!(stage.text().contains("still runs"));
    stage.press("<ctrl-u><backspace>");
    assert_eq!(stage.press("<ctrl-c>"), Some(Command::Interrupt));
    stage.happens(ran(7, "make", "compiling\n[exit code 3]"));
    let text = stage.text();
    assert!(text.contains("exit 3 · 1.2 s") && !text.contains("your command runs"), "{text}");
    // What is on record of it is enough to show it again.
    let mut stage = Stage::new(80, 20);
    stage.happens(ran(7, "make", "compiling\n[exit code 3]"));
    let text = stage.text();
    assert!(text.contains("you: make") && text.contains("│ compiling"), "{text}");
    assert!(!text.contains("The user ran"), "{text}");
}

#[test]
fn what_is_said_meanwhile_goes_into_the_round() {
    let mut stage = Stage::new(80, 20);
    stage.press("go<enter>");
    stage.prompt("go");
    assert_eq!(stage.press("to the left<ctrl-s>"), Some(Command::Steer("to the left".into())));
    stage.happens(Steering { text: "to the left".into() });
    assert!(stage.text().contains("❯ to the left"), "{}", stage.text());
    // Without a word of its own it takes the prompt that waits longest.
    stage.press("one<enter>two<enter>");
    assert_eq!(stage.press("<ctrl-s>"), Some(Command::Steer("one".into())));
    assert_eq!(stage.view.queued, ["two"]);
    stage.view.queued.clear();
    stage.ends();
    assert_eq!(stage.press("three<ctrl-s>"), Some(Command::Submit("three".into())));
}

#[test]
fn prompts_that_wait_are_reordered_removed_and_taken_back() {
    let mut stage = Stage::new(100, 20);
    stage.press("go<enter>");
    stage.prompt("go");
    stage.press("one<enter>two<enter>three<enter><ctrl-q>");
    assert!(stage.text().contains("enter takes it back"), "{}", stage.text());
    stage.press("<alt-up><alt-up>");
    assert_eq!(stage.view.queued, ["three", "one", "two"]);
    stage.press("<down><delete>");
    assert_eq!(stage.view.queued, ["three", "two"]);
    stage.press("<esc>half<ctrl-q><up><enter>");
    assert_eq!(stage.view.composer.text(), "three");
    assert_eq!(stage.view.queued, ["half", "two"]);
    // A command that is half written is no prompt.
    stage.press("<ctrl-u>!make<ctrl-q><enter>");
    assert_eq!(stage.view.composer.text(), "make");
    assert_eq!(stage.view.queued, ["half", "two"]);
    // The list follows when one of them is sent.
    stage.press("<ctrl-u><backspace><ctrl-q>");
    stage.ends();
    assert!(!stage.text().contains("  half  "), "{}", stage.text());
    assert_eq!(stage.view.queued, ["two"]);
}

#[test]
fn a_summary_is_asked_for_between_two_rounds() {
    let mut stage = Stage::new(80, 20);
    let compact = |words: Option<&str>| Command::Order(Order::Compact(words.map(str::to_owned)));
    assert_eq!(stage.press("/compact<esc><enter>"), Some(compact(None)));
    assert!(stage.text().contains("working"));
    assert_eq!(stage.press("/compact<esc><enter>"), None);
    // There is no round that could be told anything.
    assert_eq!(stage.press("<ctrl-u>next<ctrl-s>"), None);
    assert_eq!(stage.view.queued, ["next"]);
    let next = stage.view.update(Update::RoundOver(trajectory::event::Ended::Completed));
    assert_eq!(next, Some(Command::Submit("next".into())));
    stage.ends();
    let words = Some(compact(Some("the plan")));
    assert_eq!(stage.press("/compact the plan<enter>"), words);
}

#[test]
fn what_is_allowed_for_good_is_shown_whole() {
    let mut stage = Stage::new(60, 24);
    stage.prompt("go").calls(1, "shell", r#"{"command":"cargo test && git status && make x"}"#);
    stage.view.update(Update::Decide(1));
    assert!(!stage.text().contains("always"), "{}", stage.text());
    let rules = ["cargo test *", "git status *", "make x *"].map(str::to_owned).to_vec();
    stage.view.update(Update::Offer { call: 1, rules: rules.clone(), reading: None });
    let text = stage.text();
    assert!(text.contains("p always, in this folder:  cargo test *, git"), "{text}");
    assert!(text.contains("make x *") && text.contains("allow once"), "{text}");
    let Some(Command::Decide { call: 1, always, .. }) = stage.press("p") else { panic!() };
    assert_eq!(always, rules);
}

#[test]
fn what_a_command_would_do_is_told_where_its_text_does_not_say_it() {
    let mut stage = Stage::new(90, 24);
    stage.prompt("go").calls(1, "shell", r#"{"command":"cd a && ls | sort > out"}"#);
    stage.view.update(Update::Decide(1));
    let reading = |runs: &[&str], writes: &[&str], unclear| {
        let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
        let reading = Some(Reading { runs: owned(runs), writes: owned(writes), unclear });
        Update::Offer { call: 1, rules: Vec::new(), reading }
    };
    stage.view.update(reading(&["ls"], &[], None));
    assert!(!stage.text().contains("runs"), "one command says it all itself");
    let hostile = "ls \u{1b}]0;owned\u{7}";
    stage.view.update(reading(&["cd a", hostile, "sort"], &["out"], Some("it is not clear")));
    let text = stage.text();
    assert!(text.contains("runs    cd a · ls ␛]0;owned␇ · sort"), "{text}");
    assert!(text.contains("writes  out"), "{text}");
    assert!(text.contains("unclear it may do more: it is not clear"), "{text}");
}
