//! A panic inside is an answer, not the end.

use super::*;

#[test]
fn a_panic_in_a_future_is_caught() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let caught = runtime.block_on(guarded(async {
        tokio::task::yield_now().await;
        panic!("on purpose");
    }));
    let outcome = broken("shell", &*caught.unwrap_err());
    assert_eq!(outcome.status, CallStatus::Error);
    assert!(outcome.shown.contains("shell broke (on purpose)"), "{}", outcome.shown);
}

#[test]
fn a_panic_in_a_file_tool_is_an_error_and_the_next_call_works() {
    let folder = tempfile::TempDir::new().unwrap();
    let toolbox = Toolbox::open(folder.path(), Sandbox::off(), &Setup::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let arguments = r#"{"file_path": "a", "content": "b"}"#;
    runtime.block_on(async {
        let spec = &toolbox.specs()[2];
        let given = || Given { exec: 1, spec, arguments, cancel: CancellationToken::new() };
        let breaks = |_: &Workspace, _: &write::Input, _: &CancellationToken| panic!("on purpose");
        let outcome = toolbox.file(given(), breaks).await;
        assert_eq!(outcome.status, CallStatus::Error);
        assert!(outcome.shown.contains("fault of limn"), "{}", outcome.shown);
        let outcome = toolbox.file(given(), write::run).await;
        assert_eq!(outcome.status, CallStatus::Ok, "{}", outcome.shown);
    });
}

#[test]
fn a_read_that_hangs_does_not_keep_an_interrupt_waiting() {
    use std::sync::Condvar;
    static RELEASED: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());

    let folder = tempfile::TempDir::new().unwrap();
    let toolbox = Toolbox::open(folder.path(), Sandbox::off(), &Setup::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // It asks to be cancelled once it hangs, and hangs until the outcome is there.
    let hangs = |_: &Workspace, _: &list::Input, token: &CancellationToken| {
        token.cancel();
        let released = RELEASED.0.lock().unwrap();
        drop(RELEASED.1.wait_while(released, |released| !*released).unwrap());
        Ok(Answer::from("too late".to_owned()))
    };
    let specs = toolbox.specs();
    let given =
        Given { exec: 1, spec: &specs[4], arguments: "{}", cancel: CancellationToken::new() };
    let work = toolbox.file(given, hangs);
    let outcome = runtime.block_on(work);
    *RELEASED.0.lock().unwrap() = true;
    RELEASED.1.notify_all();
    assert_eq!(outcome.status, CallStatus::Cancelled);
    assert_eq!(outcome.shown, "Cancelled.");
}
