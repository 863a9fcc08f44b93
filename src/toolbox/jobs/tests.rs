//! Commands that go on, as a session has them.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::sync::Arc;

use sandbox::Sandbox;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use trajectory::event::CallStatus;

use super::*;
use crate::{Call, Outcome, Setup, Toolbox};

/// A toolbox on a workspace of its own, whose jobs are recorded as a session would.
pub(crate) struct Desk {
    folder: TempDir,
    toolbox: Option<Toolbox>,
    exec: Cell<u32>,
    /// What was shown of a job when it was started.
    first: RefCell<BTreeMap<u32, String>>,
    record: Arc<Record>,
}

/// How a job ended, all that it printed, and what the model was told.
type Ended = (Exit, Option<OutputRef>, String);

/// What was recorded.
#[derive(Default)]
struct Record {
    printed: Mutex<BTreeMap<u32, Vec<u8>>>,
    typed: Mutex<BTreeMap<u32, Vec<u8>>>,
    ends: Mutex<BTreeMap<u32, Ended>>,
    changed: Notify,
}

impl Record {
    fn print(&self, exec: u32, chunk: &OutputChunk) {
        lock(&self.printed).entry(exec).or_default().extend_from_slice(&chunk.bytes);
    }

    fn take(&self, event: JobEvent) {
        match event {
            JobEvent::Output { exec, chunk } => self.print(exec, &chunk),
            JobEvent::Input { exec, chunk } => {
                assert_eq!(chunk.marks.len(), 1);
                lock(&self.typed).entry(exec).or_default().extend_from_slice(&chunk.bytes);
            }
            JobEvent::Ended { exec, exit, output, shown, .. } => {
                assert!(lock(&self.ends).insert(exec, (exit, output, shown)).is_none());
            }
        }
        self.changed.notify_waiters();
    }
}

/// What is shown of a job that has said nothing since it was last looked at.
fn nothing_new(job: u32) -> String {
    format!("[job {job} runs; nothing new]")
}

impl Desk {
    /// Must be called within a runtime.
    pub(crate) fn new() -> Self {
        let desk = Self::unheard();
        let mut events = desk.toolbox().jobs().unwrap();
        assert!(desk.toolbox().jobs().is_none());
        let record = Arc::clone(&desk.record);
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                record.take(event);
            }
        });
        desk
    }

    /// Nobody takes the events.
    pub(crate) fn unheard() -> Self {
        let folder = TempDir::new().unwrap();
        let toolbox = Toolbox::open(folder.path(), Sandbox::off(), &Setup::default()).unwrap();
        Self {
            folder,
            toolbox: Some(toolbox),
            exec: Cell::new(0),
            first: RefCell::default(),
            record: Arc::default(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn toolbox(&self) -> &Toolbox {
        self.toolbox.as_ref().unwrap()
    }

    /// Makes a FIFO, by which a command can be told to go on, once: who opens it again may still
    /// find it open.
    pub(crate) fn gate(&self, name: &str) {
        let path = self.path().join(name);
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    }

    /// Opens the gate, once somebody stands before it.
    pub(crate) async fn open_gate(&self, name: &str) {
        let path = self.path().join(name);
        tokio::task::spawn_blocking(move || std::fs::write(path, "go\n")).await.unwrap().unwrap();
    }

    pub(crate) async fn call(&self, name: &str, arguments: &Value) -> Outcome {
        self.call_with(name, arguments, CancellationToken::new()).await
    }

    pub(crate) async fn call_with(
        &self,
        name: &str,
        arguments: &Value,
        cancel: CancellationToken,
    ) -> Outcome {
        let exec = self.exec.get() + 1;
        self.exec.set(exec);
        let arguments = arguments.to_string();
        let call = Call { exec, name, arguments: &arguments };
        let (sender, mut chunks) = mpsc::channel::<OutputChunk>(4);
        let printed = async {
            while let Some(chunk) = chunks.recv().await {
                self.record.print(exec, &chunk);
            }
        };
        tokio::join!(self.toolbox().run(call, sender, cancel), printed).0
    }

    /// Runs a command; what is shown.
    pub(crate) async fn shell(&self, command: &str) -> String {
        let outcome = self.call("shell", &json!({ "command": command })).await;
        assert_eq!(outcome.status, CallStatus::Ok, "{}", outcome.shown);
        outcome.shown
    }

    /// Starts a command in the background; its number.
    pub(crate) async fn start(&self, command: &str) -> u32 {
        let outcome = self.call("shell", &json!({"command": command, "background": true})).await;
        assert!(outcome.is_running, "{}", outcome.shown);
        self.first.borrow_mut().insert(self.exec.get(), outcome.shown);
        self.exec.get()
    }

    /// What was shown of a job when it was started, once.
    pub(crate) fn first(&self, job: u32) -> String {
        self.first.borrow_mut().remove(&job).unwrap_or_default()
    }

    /// Waits until a job has printed this.
    pub(crate) async fn prints(&self, job: u32, text: &str) {
        loop {
            let changed = self.record.changed.notified();
            if String::from_utf8_lossy(&self.printed(job)).contains(text) {
                return;
            }
            changed.await;
        }
    }

    /// Uses a terminal; what is shown.
    pub(crate) async fn terminal(&self, arguments: &Value) -> String {
        let outcome = self.call("terminal", arguments).await;
        assert_eq!(outcome.status, CallStatus::Ok, "{}", outcome.shown);
        outcome.shown
    }

    /// Types, and looks until the job waits for input or has ended; all that was shown.
    pub(crate) async fn types(&self, job: u32, input: &str) -> String {
        self.drives(job, &json!({"job": job, "input": input})).await
    }

    /// Uses a terminal, and looks until the job waits for input or has ended; all that was shown.
    pub(crate) async fn drives(&self, job: u32, arguments: &Value) -> String {
        let mut shown = self.terminal(arguments).await;
        if shown == nothing_new(job) {
            shown = self.read(job).await;
        }
        while let Some(text) = shown.strip_suffix(&format!("[job {job} runs]")) {
            let text = text.to_owned();
            shown = text + &self.read(job).await;
        }
        shown
    }

    /// Looks until there is something new.
    async fn read(&self, job: u32) -> String {
        let mut shown = self.terminal(&json!({ "job": job })).await;
        while shown == nothing_new(job) {
            shown = self.terminal(&json!({ "job": job })).await;
        }
        shown
    }

    /// Looks until this was shown; all that was, its start included.
    pub(crate) async fn sees(&self, job: u32, text: &str) -> String {
        let mut shown = self.first(job);
        while !shown.contains(text) {
            shown.push('\n');
            shown.push_str(&self.terminal(&json!({ "job": job })).await);
        }
        shown + "\n"
    }

    /// Waits until a job's end is on record.
    pub(crate) async fn end(&self, job: u32) -> Ended {
        loop {
            let changed = self.record.changed.notified();
            if let Some(end) = lock(&self.record.ends).get(&job) {
                return end.clone();
            }
            changed.await;
        }
    }

    pub(crate) fn printed(&self, exec: u32) -> Vec<u8> {
        lock(&self.record.printed).get(&exec).cloned().unwrap_or_default()
    }

    pub(crate) fn typed(&self, exec: u32) -> Vec<u8> {
        lock(&self.record.typed).get(&exec).cloned().unwrap_or_default()
    }
}

fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    stat.is_ok_and(|stat| !stat.contains(") Z ") && !stat.contains(") X "))
}

/// Waits until a process that was killed is gone.
fn await_death(pid: &str) {
    let since = Instant::now();
    while is_alive(pid) {
        assert!(since.elapsed() < Duration::from_secs(60), "{pid} is still alive");
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn what_is_started_with_an_ampersand_goes_on() {
    let desk = Desk::new();
    let shown = desk.shell("sleep 100000 & echo started").await;
    let told = "started\n[still running in the background as job 1: ";
    assert!(shown.starts_with(told), "{shown}");
    // A shell that has not become another program yet would be told as itself.
    let sleeps = "sleep 100000 & until grep -q sleep /proc/$!/comm; do :; done";
    let shown = desk.shell(&format!("{sleeps}; echo $!; exit 3")).await;
    let (pid, rest) = shown.split_once('\n').unwrap();
    assert_eq!(rest, "[exit code 3]\n[still running in the background as job 2: sleep 100000]");
    assert!(is_alive(pid));
    assert_eq!(
        desk.terminal(&json!({"job": 2, "wait_ms": 0})).await,
        "[job 2 ended with exit code 3; sleep 100000 goes on; nothing new]"
    );
    assert_eq!(desk.terminal(&json!({"job": 2, "stop": true})).await, "[job 2 stopped]");
    await_death(pid);
    let (exit, _, shown) = desk.end(2).await;
    assert_eq!((exit.code, shown.as_str()), (Some(3), ""));
}

#[tokio::test]
async fn a_server_of_one_call_answers_the_next() {
    let desk = Desk::new();
    std::fs::write(desk.path().join("page"), "hello from here").unwrap();
    let server = "python3 -u -m http.server --bind 127.0.0.1 0 > log 2>&1";
    let shown = desk.shell(&format!("{server} &\nwhile ! grep -qs port log; do :; done")).await;
    assert!(shown.starts_with("[still running in the background as job 1: "), "{shown}");
    let fetch = r"curl -s 127.0.0.1:$(grep -o 'port [0-9]*' log | tr -dc 0-9)/page";
    assert_eq!(desk.shell(fetch).await, "hello from here");
    // The same, as the tool offers it.
    let job = desk.start(&server.replace("log", "log2")).await;
    desk.shell("while ! grep -qs port log2; do :; done").await;
    assert_eq!(desk.shell(&fetch.replace("log", "log2")).await, "hello from here");
    assert_eq!(
        desk.terminal(&json!({"job": job, "stop": true})).await,
        format!("[job {job} stopped]")
    );
    assert!(
        desk.shell(&format!("{} || echo refused", fetch.replace("log", "log2")))
            .await
            .contains("refused")
    );
    assert_eq!(desk.shell(fetch).await, "hello from here");
}

#[tokio::test]
async fn a_job_that_ends_by_itself_is_told() {
    let desk = Desk::new();
    desk.gate("gate");
    let job = desk.start("echo begun; read line < gate; seq 1 50; echo broken; exit 7").await;
    desk.open_gate("gate").await;
    let (exit, output, shown) = desk.end(job).await;
    assert_eq!(exit.code, Some(7));
    let last: Vec<String> = (42..=50).map(|n| n.to_string()).collect();
    let told = format!(
        "Job {job} (echo begun; read line < gate; seq 1 50; echo broken; exit 7) ended with exit \
         code 7:\n{}\nbroken",
        last.join("\n")
    );
    assert_eq!(shown.replace(" …", ""), told);
    let printed = desk.printed(job);
    assert!(printed.starts_with(b"begun\r\n1\r\n") && printed.ends_with(b"broken\r\n"));
    assert_eq!(output.unwrap().bytes, printed.len() as u64);
    let rest = desk.terminal(&json!({ "job": job })).await;
    assert!(rest.starts_with("1\n2\n") || rest.starts_with("begun\n1\n"), "{rest}");
    assert!(rest.ends_with(&format!("broken\n[job {job} ended with exit code 7]")), "{rest}");
    let outcome = desk.call("terminal", &json!({ "job": job })).await;
    assert_eq!(outcome.status, CallStatus::Error);
    assert!(outcome.shown.starts_with(&format!("There is no job {job}.")), "{}", outcome.shown);
}

#[tokio::test]
async fn a_command_that_the_user_ends_is_told_so() {
    let desk = Desk::new();
    let user = async {
        // Until it has begun, nothing is there to be ended.
        while desk.toolbox().stop_by_user(1).is_err() {
            tokio::task::yield_now().await;
        }
    };
    let (shown, ()) = tokio::join!(desk.shell("sleep 100000"), user);
    let (how, by_whom) = shown.split_once('\n').unwrap();
    assert!(how.starts_with("[killed by signal "), "{shown}");
    assert_eq!(by_whom, "[the user ended it]");
}

#[tokio::test]
async fn an_end_is_told_in_few_words() {
    let desk = Desk::new();
    desk.gate("gate");
    for (command, told) in [
        ("read x < gate; exit 0", "ended with exit code 0."),
        ("read x < gate; kill -9 $$", "was killed by signal 9."),
        (
            "read x < gate; echo hi",
            "ended with exit code 0. Its last output can be read with terminal.",
        ),
    ] {
        let job = desk.start(command).await;
        desk.open_gate("gate").await;
        let (_, _, shown) = desk.end(job).await;
        assert_eq!(shown, format!("Job {job} ({command}) {told}"));
    }
    let shown = desk.shell("(read x < gate; true) & echo on").await;
    let job = desk.exec.get();
    assert!(shown.contains(&format!("as job {job}: ")), "{shown}");
    desk.open_gate("gate").await;
    assert!(desk.end(job).await.2.ends_with(") ended."));
    for timeout_ms in [400, 1_600, 6_400, 25_600] {
        let arguments =
            json!({"command": "sleep 100000", "background": true, "timeout_ms": timeout_ms});
        // One that is over before it is in the background is no job.
        if desk.call("shell", &arguments).await.is_running {
            let (exit, _, shown) = desk.end(desk.exec.get()).await;
            assert!(exit.timed_out);
            assert!(shown.contains("(sleep 100000) timed out after"), "{shown}");
            return;
        }
    }
    panic!("it never lasts until it is a job");
}

#[tokio::test]
async fn a_background_command_that_ends_at_once_is_an_ordinary_one() {
    let desk = Desk::new();
    // How long a shell takes to end, nobody knows.
    loop {
        let arguments = json!({"command": "echo x; exit 2", "background": true});
        let outcome = desk.call("shell", &arguments).await;
        if !outcome.is_running {
            assert_eq!(outcome.shown, "x\n[exit code 2]");
            assert_eq!(outcome.exit.unwrap().code, Some(2));
            return;
        }
    }
}

#[tokio::test]
async fn there_is_a_limit_to_jobs() {
    let desk = Desk::new();
    for _ in 0..JOBS_MAX {
        desk.start("sleep 100000").await;
    }
    let arguments = json!({"command": "sleep 100000", "background": true});
    let outcome = desk.call("shell", &arguments).await;
    assert_eq!(outcome.status, CallStatus::Error);
    assert!(
        outcome
            .shown
            .starts_with("16 jobs run already; stop one with terminal: 1 (sleep 100000), 2 ")
    );
    // A command in the foreground runs, but leaves nothing behind.
    let shown = desk.shell("sleep 100000 & echo $!").await;
    let (pid, note) = shown.split_once('\n').unwrap();
    assert_eq!(note, "[what went on was killed: 16 jobs run already]");
    await_death(pid);
    let arguments = json!({"command": "echo name?; read name", "timeout_ms": 1500});
    let outcome = desk.call("shell", &arguments).await;
    assert!(outcome.exit.unwrap().timed_out, "{}", outcome.shown);
    desk.terminal(&json!({"job": 3, "stop": true})).await;
    let sleeps = "sleep 100000 & until grep -q sleep /proc/$!/comm; do :; done";
    assert!(desk.shell(sleeps).await.contains("as job 21: sleep 100000"));
    desk.toolbox().stop_jobs().await;
    for job in (1..=JOBS_MAX as u32).filter(|job| *job != 3).chain([21]) {
        let (_, _, shown) = desk.end(job).await;
        assert_eq!(shown, format!("Job {job} (sleep 100000) was stopped as the session ended."));
    }
}

#[tokio::test]
async fn a_flood_waits_for_its_taker_and_is_recorded_whole() {
    let desk = Desk::unheard();
    let mut events = desk.toolbox().jobs().unwrap();
    let job = desk.start("echo on; head -c 50000000 /dev/zero | tr '\\0' x; touch done").await;
    // The channels hold far less than that, so it cannot be done before anybody takes anything.
    for _ in 0..2_000 {
        tokio::task::yield_now().await;
        assert!(!desk.path().join("done").exists());
    }
    let first = desk.printed(job);
    let rest = async {
        let mut bytes = first;
        loop {
            match events.recv().await.unwrap() {
                JobEvent::Output { chunk, .. } => bytes.extend_from_slice(&chunk.bytes),
                JobEvent::Ended { output, .. } => return (bytes, output.unwrap()),
                JobEvent::Input { .. } => {}
            }
        }
    };
    let (bytes, output) = rest.await;
    assert!(desk.path().join("done").exists());
    assert_eq!(bytes.len(), 50_000_004);
    assert_eq!(output.bytes, bytes.len() as u64);
    let shown = desk.terminal(&json!({ "job": job })).await;
    assert!(shown.len() < 20_000 && shown.contains("left out"), "{}", shown.len());
}

#[tokio::test]
async fn jobs_run_though_nobody_hears_them() {
    let desk = Desk::unheard();
    let job = desk.start("seq 1 300000; touch done; read -p 'more? ' more; echo got $more").await;
    // It came to its question past more than any pipe holds.
    desk.sees(job, "more?").await;
    assert!(desk.path().join("done").exists());
    let shown = desk.types(job, "yes\n").await;
    assert!(shown.ends_with(&format!("got yes\n[job {job} ended with exit code 0]")), "{shown}");
    desk.start("sleep 100000").await;
    desk.toolbox().stop_jobs().await;
}

#[tokio::test]
async fn jobs_die_with_the_toolbox() {
    let mut desk = Desk::new();
    let shown = desk.shell("sleep 100000 & echo $!").await;
    let (one, _) = shown.split_once('\n').unwrap();
    let job = desk.start("echo $$; sleep 100000").await;
    desk.prints(job, "\n").await;
    let two = String::from_utf8(desk.printed(job)).unwrap();
    assert!(is_alive(one) && is_alive(&two));
    desk.toolbox = None;
    while is_alive(one) || is_alive(&two) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_a_job_prints_comes_in_order() {
    let desk = Desk::new();
    let outcome =
        desk.call("shell", &json!({"command": "seq 1 2000; read x; seq 2001 90000"})).await;
    assert!(outcome.is_running && outcome.exit.is_none() && outcome.output.is_none());
    assert!(outcome.truncated.is_some() || outcome.shown.contains("\n2000\n"));
    desk.types(1, "\n").await;
    let (_, output, _) = desk.end(1).await;
    let expect: String = (1..=2_000).map(|n| format!("{n}\r\n")).collect::<String>()
        + "\r\n"
        + &(2_001..=90_000).map(|n| format!("{n}\r\n")).collect::<String>();
    assert!(desk.printed(1) == expect.as_bytes());
    assert_eq!(output.unwrap().bytes, expect.len() as u64);
    assert_eq!(desk.typed(1), b"\r");
}
