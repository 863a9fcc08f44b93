//! Real programs that wait, and real programs that do not.

use std::ffi::OsString;
use std::fs;

use rustix::event::{PollFd, PollFlags, poll};
use screen::{Reader, TerminalSize};

use super::*;
use crate::CommandSpec;
use crate::terminal::open;

/// A command on a terminal that this thread reads.
struct Stage {
    terminal: Terminal,
    tree: Tree,
    reader: Reader,
    printed: String,
    _folder: tempfile::TempDir,
}

impl Stage {
    fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self::within(folder, script)
    }

    fn within(folder: tempfile::TempDir, script: &str) -> Self {
        let variable = |name: &str| (name.into(), std::env::var_os(name).unwrap_or_default());
        let spec = CommandSpec {
            argv: ["bash", "-c", script].map(OsString::from).to_vec(),
            cwd: folder.path().to_path_buf(),
            env: vec![variable("PATH"), ("HOME".into(), folder.path().into())],
            size: TerminalSize::default(),
            timeout: None,
            lingers: false,
            exec: None,
        };
        let (terminal, tree) = open(&spec).expect("it starts");
        let reader = Reader::new(spec.size, 4_000);
        Self { terminal, tree, reader, printed: String::new(), _folder: folder }
    }

    /// Reads what there is; whether it goes on.
    fn read(&mut self) -> bool {
        let mut bytes = [0; 4_096];
        match rustix::io::read(&self.terminal.master, &mut bytes) {
            Ok(count) if count > 0 => {
                self.reader.feed(&bytes[..count]);
                self.printed.push_str(&String::from_utf8_lossy(&bytes[..count]));
                let answers = self.reader.take_replies();
                rustix::io::write(&self.terminal.master, &answers).expect("room");
                true
            }
            Err(rustix::io::Errno::AGAIN) => true,
            _ => false,
        }
    }

    fn looks(&mut self) -> bool {
        assert!(self.read(), "it has ended: {}", self.printed);
        let prompts = self.reader.is_prompting();
        let waits = waits(&self.terminal, &mut self.tree, prompts, !self.printed.is_empty());
        // What it asks may have come after the read.
        assert!(self.read(), "it has ended: {}", self.printed);
        waits
    }

    /// Until it waits.
    fn waits(mut self) -> Self {
        while !self.looks() {
            std::thread::yield_now();
        }
        self
    }

    fn types(self, input: &str) -> Self {
        rustix::io::write(&self.terminal.master, input.as_bytes()).expect("room");
        self
    }

    /// Until it has printed this.
    fn prints(mut self, text: &str) -> Self {
        while !self.printed.contains(text) {
            let mut polled = [PollFd::from_borrowed_fd(self.terminal.master(), PollFlags::IN)];
            poll(&mut polled, None).expect("it can be polled");
            assert!(self.read(), "it has ended: {}", self.printed);
        }
        self
    }

    /// However often it is looked at, it does not wait.
    fn never_waits(mut self) {
        for _ in 0..300 {
            assert!(!self.looks(), "{}", self.printed);
            std::thread::yield_now();
        }
    }
}

#[test]
fn who_reads_the_terminal_waits() {
    Stage::new("read -p 'name? ' name").waits();
    Stage::new("read name").waits();
    Stage::new("read -s -p 'Password: ' word; echo; echo \"got $word\"")
        .waits()
        .types("x\n")
        .prints("got x");
    Stage::new("cat").waits();
    Stage::new("read x < /dev/tty").waits();
    Stage::new("stty -echo; read word").waits();
    Stage::new("bash --norc -i").waits();
    Stage::new("sleep 1000 & cat; wait").waits();
    Stage::new("(exec 0<&-; read x < /dev/tty)").waits();
}

#[test]
fn interpreters_wait_and_wait_again() {
    Stage::new("python3 -q").waits().types("6*7\n").prints("42").waits();
    Stage::new("python3 -c 'input(\"go on? \")'").waits();
    Stage::new("python3 -c 'import getpass; getpass.getpass()'").prints("assword").waits();
    let select = "import select, sys; select.select([sys.stdin], [], [], 1000)";
    Stage::new(&format!("python3 -c '{select}'")).waits();
    let both = "import os, select, sys, tty; r, w = os.pipe(); p = select.epoll(); \
                p.register(r, 1); p.register(0, 1); tty.setraw(0); \
                print(\"menu\", flush=True); p.poll()";
    Stage::new(&format!("python3 -c '{both}'")).waits();
    Stage::new(&format!("python3 -c '{}'", both.replace("poll()", "poll(8)"))).waits();
    Stage::new("setsid -w sh -c 'printf name?; read x'").waits();
}

#[test]
fn full_screen_programs_wait() {
    let file = tempfile::tempdir().expect("a folder");
    fs::write(file.path().join("file"), "line\n".repeat(200)).expect("written");
    let screen =
        "import curses; curses.wrapper(lambda it: (it.addstr(0, 0, \"menu\"), it.getch()))";
    Stage::within(file, &format!("TERM=xterm python3 -c '{screen}'")).waits();
}

#[test]
fn git_asks_hunk_by_hunk() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = "git init -q . && echo one > file && git add file && echo two > file
                  git add -p";
    Stage::within(folder, script).prints("Stage this hunk").waits();
}

#[test]
fn who_reads_something_else_does_not_wait() {
    Stage::new("mkfifo pipe; echo on; cat pipe").prints("on").never_waits();
    Stage::new("echo on; sleep 1000 | cat").prints("on").never_waits();
    Stage::new("echo -n 'working... '; sleep 1000").prints("... ").never_waits();
    Stage::new("stty -echo; echo -n 'working: '; sleep 1000").prints(": ").never_waits();
    Stage::new("echo on; while :; do :; done").prints("on").never_waits();
    Stage::new("(read x) & echo on; sleep 1000").prints("on").never_waits();
    Stage::new("set -m; cat & echo on; sleep 1000").prints("on").never_waits();
}

#[test]
fn who_looks_at_the_terminal_in_passing_does_not_wait() {
    let work = "import os, select, tty; tty.setraw(0); r, w = os.pipe(); os.write(1, b\"at work\")
while True: select.select([0, r], [], [], 0.5)";
    Stage::new(&format!("python3 -c '{work}'")).prints("at work").never_waits();
}

#[test]
fn a_server_does_not_wait() {
    let server = "import socket; s = socket.create_server((\"127.0.0.1\", 0)); \
                  print(\"listening\", flush=True); s.accept()";
    Stage::new(&format!("python3 -c '{server}'")).prints("listening").never_waits();
    // One that looks out for keys too, and does not say so with a prompt.
    let keys = "import select, socket, sys; s = socket.create_server((\"127.0.0.1\", 0)); \
                print(\"press h for help\", flush=True); \
                select.select([s, sys.stdin], [], [])";
    Stage::new(&format!("python3 -c '{keys}'")).prints("help\r\n").never_waits();
}
