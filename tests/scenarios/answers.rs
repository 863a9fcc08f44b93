//! What stands on stdout is the answer: whole, once, and nothing else.

use mock_server::Reply;

use crate::world::{World, server};

#[test]
fn an_answer_that_was_cut_off_is_asked_for_again_and_printed_once() {
    let world = World::new();
    let cut = Reply::new().then_text("The answer ").then_text("is not").cut_after(2);
    let server = server([cut, Reply::text("The answer is 42.")]);
    let run = world.exec(&server.url(), &["go"]).succeeds();
    assert_eq!(run.stdout, "The answer is 42.\n");
    assert_eq!(run.stderr.matches("attempt 2 of").count(), 1, "{}", run.stderr);
    assert_eq!(server.requests().len(), 2);
    world.assert_sound();
}

#[test]
fn how_often_is_asked_again_can_be_said() {
    let world = World::new();
    let busy = || Reply::status(429, &[("retry-after", "0")], "{}");
    let server = server([busy(), busy(), Reply::text("never")]);
    let run = world.exec(&server.url(), &["--retries", "1", "go"]).exits(3);
    assert!(run.stdout.is_empty());
    assert!(run.stderr.contains("attempt 2 of 2"), "{}", run.stderr);
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn what_is_said_between_calls_is_no_answer() {
    let world = World::new();
    let between = Reply::new().then_text("Let me look.").call("shell", r#"{"command":"true"}"#);
    let server = server([between, Reply::text("It is done.")]);
    let run = world.exec(&server.url(), &["go"]).succeeds();
    assert_eq!(run.stdout, "It is done.\n");
    assert!(run.stderr.contains("Let me look."), "{}", run.stderr);
}

#[test]
fn half_an_answer_is_none() {
    let world = World::new();
    let server = server([Reply::new().then_text("half an ").then_text("answer").cut_after(2)]);
    let run = world.exec(&server.url(), &["--retries", "0", "go"]).exits(1);
    assert!(run.stdout.is_empty(), "{}", run.stdout);
    assert!(run.stderr.contains("half an"), "{}", run.stderr);
}

#[test]
fn a_model_gone_silent_is_asked_again() {
    let world = World::new();
    let silent = Reply::new().then_text("Hm").hang_after(1);
    // A machine that is slow itself takes an answer for silence, too.
    let server = server([silent].into_iter().chain([(); 3].map(|()| Reply::text("Here I am."))));
    let run = world.exec(&server.url(), &["--silence", "1", "go"]).succeeds();
    assert_eq!(run.stdout, "Here I am.\n");
}
