//! `cargo xtask screenshots`: pictures of the terminal for the documentation, of the real thing.
//!
//! limn runs in a terminal of its own against a scripted server, in a small workspace that is made
//! for it; what stands on its screen is drawn as SVG. So they can be made again when it changes.

mod svg;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use mock_server::{MockServer, Reply, Scenario};
use screen::TerminalSize;
use serde_json::json;

use crate::Usage;
use crate::process::{cargo, root, run as run_command, target};
use crate::pty::Pty;

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
    let stage = Stage::set()?;
    let folder = root().join("docs/images");
    fs::create_dir_all(&folder)?;
    let keep = |name: &str, pty: &Pty| -> Result<()> {
        let path = folder.join(format!("{name}.svg"));
        fs::write(&path, svg::picture(pty.emulator(), SIZE))
            .with_context(|| format!("{} cannot be written", path.display()))?;
        println!("wrote {}", path.display());
        Ok(())
    };
    let server = MockServer::start(Scenario::replies(replies()))?;
    let mut pty = stage.open(&server)?;
    pty.shows("F1 help")?;
    pty.press("Make the greeting polite, and test it.\r")?;
    pty.shows("May it? edit")?;
    pty.settle(QUIET);
    keep("approval", &pty)?;
    pty.press("a")?;
    pty.shows("✓")?;
    pty.settle(QUIET);
    keep("conversation", &pty)?;
    pty.press(F3)?;
    pty.shows("Timeline")?;
    pty.settle(QUIET);
    keep("timeline", &pty)?;
    pty.press(RIGHT)?;
    pty.shows("@@")?;
    pty.settle(QUIET);
    keep("changes", &pty)?;
    pty.press("\x1b")?;
    pty.press(F3)?;
    pty.press(F3)?;
    pty.press(F1)?;
    pty.shows("Everywhere")?;
    pty.settle(QUIET);
    keep("help", &pty)
}

/// What is drawn is drawn when nothing has come for so long.
const QUIET: std::time::Duration = std::time::Duration::from_millis(400);

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

    fn open(&self, server: &MockServer) -> Result<Pty> {
        let at = |part: &str| self.folder.join(part);
        Pty::start(Path::new(&self.limn), SIZE, |command| {
            command.args(["--model", "mock-model", "--base-url", &server.url()]);
            command.args(["--approval", "ask", "--sandbox", "off"]);
            command.env("HOME", at(""));
            command.env("XDG_CONFIG_HOME", at("home/.config"));
            command.env("LIMN_HOME", at("data"));
            command.cwd(at("greeter"));
        })
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
        "old_string": "    print(\"Hello \" + name)\n",
        "new_string": "    print(f\"Good day, {name}!\")\n",
    });
    vec![
        Reply::new()
            .reasoning("The greeting is in greet(). I read the file first, then change one line.")
            .call("read", &json!({ "file_path": "greeter.py" }).to_string()),
        Reply::new().call("plan", &plan.to_string()),
        Reply::text("`greet` joins two strings. An f-string reads better, and can be **polite**:")
            .call("edit", &edit.to_string()),
        Reply::new().call("shell", &json!({ "command": "python3 greeter.py" }).to_string()),
        Reply::text(
            "The greeting is polite now:\n\n| before | after |\n| --- | --- |\n| Hello world | \
             Good day, world! |\n\n```python\ndef greet(name):\n    print(f\"Good day, {name}!\")\
             \n```\n\nIt runs; nothing else called `greet`.",
        ),
    ]
}
