//! `cargo xtask screenshots`: pictures of the terminal for the documentation, of the real thing.
//!
//! limn runs in a terminal of its own against a scripted server, in a small workspace that is made
//! for it; what stands on its screen is drawn as SVG. So they can be made again when it changes.

mod svg;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use mock_server::{MockServer, Reply, Scenario};
use pty::{Background, Dress, Pty, TerminalSize};
use serde_json::json;

use crate::Usage;
use crate::process::{cargo, root, run as run_command, target};
use svg::Paper;

pub(crate) const HELP: &str = "\
Usage: cargo xtask screenshots

Builds limn, plays its terminal against a scripted server and writes docs/images/*.svg.";

const SIZE: TerminalSize = TerminalSize { columns: 110, rows: 32 };
const F1: &str = "\x1bOP";
const F3: &str = "\x1bOR";
const RIGHT: &str = "\x1b[C";

const GREETER: &str = "def greet(name):\n    print(\"Hello \" + name)\n\n\ndef main():\n    \
                       greet(\"world\")\n\n\nmain()\n";

pub(crate) fn run(args: &[String]) -> Result<()> {
    if let Some(arg) = args.first() {
        return Err(Usage(format!("screenshots takes no `{arg}`")).into());
    }
    run_command(&mut cargo(&["build", "--locked", "--bin", "limn"]))?;
    let folder = root().join("docs/images");
    fs::create_dir_all(&folder)?;
    let stage = Stage::set()?;
    a_day(&Album { folder: folder.clone(), paper: svg::DARK }, &stage)?;
    a_first_look(&Album { folder, paper: svg::LIGHT }, &stage)
}

/// Where pictures are kept, and on what they are drawn.
struct Album {
    folder: PathBuf,
    paper: Paper,
}

impl Album {
    /// Draws what stands there after a moment.
    fn keep(&self, name: &str, pty: &mut Pty) -> Result<()> {
        pty.rest(MOMENT);
        let path = self.folder.join(format!("{name}.svg"));
        fs::write(&path, svg::picture(pty.emulator(), SIZE, &self.paper))
            .with_context(|| format!("{} cannot be written", path.display()))?;
        println!("wrote {}", path.display());
        Ok(())
    }
}

/// A round with everything in it, and the panel beside it.
fn a_day(album: &Album, stage: &Stage) -> Result<()> {
    let server = MockServer::start(Scenario::replies(replies()))?;
    let mut pty = stage.open(Some(&server), Background::Dark)?;
    pty.shows("F1 help")?;
    pty.press("Make the greeting polite, and test it.\r")?;
    pty.shows("May it? edit")?;
    album.keep("approval", &mut pty)?;
    // The guard is left out, the rest is taken.
    pty.press("jj y")?;
    pty.shows("May it? shell")?;
    album.keep("command", &mut pty)?;
    pty.press("a")?;
    pty.shows("✓")?;
    album.keep("conversation", &mut pty)?;
    pty.press(F3)?;
    pty.shows("Timeline")?;
    album.keep("timeline", &mut pty)?;
    pty.press(RIGHT)?;
    pty.shows("@@")?;
    album.keep("changes", &mut pty)?;
    pty.press(RIGHT)?;
    pty.shows("background")?;
    pty.press("G\r")?;
    pty.shows("gives the keyboard back")?;
    pty.shows("def greet")?;
    album.keep("attached", &mut pty)?;
    pty.press(":q!\r")?;
    pty.shows("has ended")?;
    pty.press(F3)?;
    pty.press(F1)?;
    pty.shows("Everywhere")?;
    album.keep("help", &mut pty)
}

/// The first screen of whoever has no model yet, and what it looks like on white.
fn a_first_look(album: &Album, stage: &Stage) -> Result<()> {
    let mut pty = stage.open(None, Background::Light)?;
    pty.shows("limn demo")?;
    album.keep("first-run", &mut pty)?;
    let server = MockServer::start(Scenario::replies([last_words()]))?;
    let mut pty = stage.open(Some(&server), Background::Light)?;
    pty.shows("F1 help")?;
    pty.press("What is the greeting now?\r")?;
    pty.shows("✓")?;
    album.keep("light", &mut pty)
}

/// What was waited for may be the first of what comes together.
const MOMENT: std::time::Duration = std::time::Duration::from_millis(600);

/// A small workspace, and nothing of the user's.
struct Stage {
    folder: PathBuf,
    limn: PathBuf,
}

impl Stage {
    fn set() -> Result<Self> {
        let folder = target().join("screenshots");
        let _ = fs::remove_dir_all(&folder);
        for part in ["data", "greeter", "home/.config/limn"] {
            fs::create_dir_all(folder.join(part))?;
        }
        fs::write(folder.join("greeter/greeter.py"), GREETER)?;
        Ok(Self { folder, limn: target().join("debug/limn") })
    }

    /// limn in it, with a model or without one.
    fn open(&self, server: Option<&MockServer>, background: Background) -> Result<Pty> {
        let at = |part: &str| self.folder.join(part);
        let mut dress = Dress::of(&self.limn, SIZE)
            .env("HOME", at(""))
            .env("XDG_CONFIG_HOME", at("home/.config"))
            .env("LIMN_HOME", at("data"))
            .folder(&at("greeter"))
            .background(background);
        if let Some(server) = server {
            dress = dress.args(["--model", "mock-model", "--base-url", &server.url()]).args([
                "--approval",
                "ask",
                "--sandbox",
                "off",
            ]);
        }
        Ok(dress.start()?)
    }
}

/// What the model says and does.
fn replies() -> Vec<Reply> {
    let plan = json!({ "items": [
        { "text": "Read the greeter", "status": "completed" },
        { "text": "Make the greeting polite", "status": "in_progress" },
        { "text": "Run it", "status": "pending" },
    ]});
    let edit = json!({
        "file_path": "greeter.py",
        "old_string": GREETER,
        "new_string": "\"\"\"A greeter.\"\"\"\n\n\ndef greet(name):\n    print(f\"Good day, {name}!\")\n\n\n\
                       def main():\n    greet(\"world\")\n\n\nif __name__ == \"__main__\":\n    main()\n",
    });
    let look =
        json!({ "command": "vim -u NONE -N -n -c 'syntax on' greeter.py", "background": true });
    vec![
        Reply::new()
            .reasoning("The greeting is in greet(). I read the file first, then change one line.")
            .call("read", &json!({ "file_path": "greeter.py" }).to_string()),
        Reply::new().call("plan", &plan.to_string()),
        Reply::text("`greet` joins two strings. An f-string reads better, and can be **polite**:")
            .call("edit", &edit.to_string()),
        Reply::new()
            .call("shell", &json!({ "command": "python3 greeter.py | tee said.txt" }).to_string()),
        Reply::new().call("shell", &look.to_string()),
        last_words(),
    ]
}

fn last_words() -> Reply {
    Reply::text(
        "The greeting is polite now:\n\n| before | after |\n| --- | --- |\n| Hello world | Good day, \
         world! |\n\n```python\ndef greet(name):\n    print(f\"Good day, {name}!\")\n```\n\nIt \
         runs; nothing else called `greet`.",
    )
}
