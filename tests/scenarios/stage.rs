//! limn in a terminal of its own, told as a story: what is pressed, and what is shown.

use std::path::Path;
use std::time::{Duration, Instant};

use mock_server::MockServer;
use pty::{Background, Dress, Pty, TerminalSize};
use rustix::process::{Pid, Signal, kill_process};

use crate::world::{PATIENCE, World, say_skipped};

pub const ENTER: &str = "\r";
pub const ESC: &str = "\x1b";
pub const TAB: &str = "\t";
pub const UP: &str = "\x1b[A";
pub const DOWN: &str = "\x1b[B";
pub const RIGHT: &str = "\x1b[C";
pub const F1: &str = "\x1bOP";
pub const F3: &str = "\x1bOR";
pub const PAGE_UP: &str = "\x1b[5~";
pub const CTRL_C: &str = "\x03";
/// Both at once: the second leaves if it comes soon after the first.
pub const CTRL_C_TWICE: &str = "\x03\x03";
pub const CTRL_D: &str = "\x04";
pub const CTRL_S: &str = "\x13";
pub const CTRL_U: &str = "\x15";
pub const CTRL_BRACKET: &str = "\x1d";

/// What stands in the empty prompt when no round is under way.
pub const AT_REST: &str = "ask · @ file";

const SIZE: TerminalSize = TerminalSize { columns: 100, rows: 30 };

/// limn, and the terminal around it.
pub struct Terminal(Pty);

impl Terminal {
    pub fn open(world: &World, args: &[&str]) -> Self {
        Self::start(Self::dress(world, args))
    }

    /// With a terminal or an environment of its own.
    pub fn start(dress: Dress) -> Self {
        Self(dress.start().unwrap())
    }

    /// How limn is started in a world; to be changed.
    pub fn dress(world: &World, args: &[&str]) -> Dress {
        Self::dress_in(world, SIZE, args)
    }

    /// The same in a terminal of another size.
    pub fn dress_in(world: &World, size: TerminalSize, args: &[&str]) -> Dress {
        Dress::of(Path::new(env!("CARGO_BIN_EXE_limn")), size)
            .args(args.iter().copied())
            .env("HOME", world.path("home"))
            .env("LIMN_HOME", world.data())
            .env("EDITOR", format!("sh {}", world.path("home/editor").display()))
            .background(Background::Silent)
            .folder(&world.workspace())
    }

    /// Against a server, without a sandbox.
    pub fn with_server(world: &World, server: &MockServer, args: &[&str]) -> Self {
        let mut terminal = Self::start(Self::dress(world, &for_server(&server.url(), args)));
        terminal.shows("sandbox off");
        terminal
    }

    #[track_caller]
    pub fn press(&mut self, keys: &str) -> &mut Self {
        self.0.press(keys).unwrap();
        self
    }

    /// Pastes, as a terminal that marks what is pasted.
    #[track_caller]
    pub fn paste(&mut self, text: &str) -> &mut Self {
        self.press("\x1b[200~").press(text).press("\x1b[201~")
    }

    /// Waits until this stands on the screen.
    #[track_caller]
    pub fn shows(&mut self, text: &str) -> &mut Self {
        if let Err(error) = self.0.shows(text) {
            panic!("{error}");
        }
        self
    }

    /// Waits until this stands there no more.
    #[track_caller]
    pub fn shows_no_more(&mut self, text: &str) -> &mut Self {
        if let Err(error) = self.0.until(|screen| !screen.contains(text)) {
            panic!("still {text:?}, {error}");
        }
        self
    }

    /// Waits until something is so, while the terminal is watched.
    #[track_caller]
    pub fn waits_until(&mut self, is_so: impl Fn(&Self) -> bool) -> &mut Self {
        let limit = Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(Instant::now() < limit, "it does not come: {}", self.screen());
            self.0.rest(Duration::from_millis(20));
        }
        self
    }

    pub fn screen(&self) -> String {
        self.0.text()
    }

    /// Drags a corner of the window.
    pub fn resize(&mut self, columns: u16, rows: u16) -> &mut Self {
        self.0.resize(TerminalSize { columns, rows }).unwrap();
        self
    }

    /// Whether these bytes were ever sent to the terminal.
    pub fn has_sent(&self, bytes: &[u8]) -> bool {
        self.0.printed().windows(bytes.len()).any(|it| it == bytes)
    }

    pub fn printed(&self) -> &[u8] {
        self.0.printed()
    }

    pub fn pty(&mut self) -> &mut Pty {
        &mut self.0
    }

    /// Waits for the end, and says how it ended.
    #[track_caller]
    pub fn ends(&mut self) -> u32 {
        self.0.ends().unwrap()
    }

    /// Leaves in order.
    #[track_caller]
    pub fn leave(&mut self) {
        self.press(CTRL_D);
        assert_eq!(self.ends(), 0, "{}", self.screen());
        self.assert_given_back();
    }

    /// The terminal is as it was.
    #[track_caller]
    pub fn assert_given_back(&self) {
        let emulator = self.0.emulator();
        let wishes = emulator.wishes();
        assert!(!emulator.alternate_screen() && emulator.cursor().visible);
        assert!(!wishes.bracketed_paste && !wishes.mouse);
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.0.process().unwrap()).unwrap()).unwrap()
    }

    pub fn signal(&mut self, signal: Signal) -> &mut Self {
        kill_process(self.pid(), signal).unwrap();
        self
    }
}

/// The arguments for a server, without a sandbox.
pub fn for_server<'a>(url: &'a str, args: &[&'a str]) -> Vec<&'a str> {
    let (command, rest) = match args.split_first() {
        Some((&"resume", rest)) => (Some("resume"), rest),
        _ => (None, args),
    };
    let fixed = ["--model", "mock-model", "--base-url", url, "--sandbox", "off"];
    command.into_iter().chain(fixed).chain(rest.iter().copied()).collect()
}

/// Whether a program is there; said where it is not, and an error where it has to be.
pub fn needs_program(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap();
    let is_there = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    assert!(is_there || std::env::var_os("CI").is_none(), "{program} is missing under CI");
    if !is_there {
        say_skipped(&format!("a story with {program}, which is not here"));
    }
    is_there
}
