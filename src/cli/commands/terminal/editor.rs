//! The user's own editor, for a longer prompt.

use std::io::Write;
use std::process::{Child, Command};

use rustix::io::retry_on_intr;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tempfile::NamedTempFile;
use tokio::task::spawn_blocking;
use tui::Edited;

/// Lets the user write a text on in `$VISUAL`, `$EDITOR`, or `vi`.
pub(super) fn edit(text: String) -> Edited {
    Box::pin(async move { write_on(&text).await })
}

async fn write_on(text: &str) -> Result<String, String> {
    let set = |name| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let editor = set("VISUAL").or_else(|| set("EDITOR")).unwrap_or_else(|| "vi".to_owned());
    let mut file = tempfile::Builder::new()
        .prefix("limn-prompt-")
        .suffix(".md")
        .tempfile()
        .map_err(|error| failed(&error))?;
    file.write_all(text.as_bytes()).and_then(|()| file.flush()).map_err(|error| failed(&error))?;
    let child = Command::new("sh")
        .args(["-c", &line(&editor), "sh"])
        .arg(file.path())
        .spawn()
        .map_err(|error| failed(&error))?;
    let mut running = Running { child, file: Some(file), before: text.to_owned() };
    let pid = running.pid();
    // It is not reaped there: as long as it is not, its number is no other process's.
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    let waited = spawn_blocking(move || retry_on_intr(|| waitid(WaitId::Pid(pid), options)));
    let _ = waited.await;
    let status = running.child.wait().map_err(|error| failed(&error))?;
    if !status.success() {
        return Err(failed(&format!("{editor} ended with {status}")));
    }
    running.file.take().map_or_else(|| Ok(text.to_owned()), read)
}

/// What the shell is told: the variable holds a command line, as everywhere. One command takes the
/// shell's place, so that a signal is the editor's.
fn line(editor: &str) -> String {
    let is_assignment = editor.split_whitespace().next().is_some_and(|word| word.contains('='));
    let is_one_command =
        !is_assignment && !editor.contains([';', '&', '|', '<', '>', '(', '`', '\n']);
    let place = if is_one_command { "exec " } else { "" };
    format!("{place}{editor} \"$1\"")
}

/// What was written. What cannot be taken is kept where it is.
fn read(file: NamedTempFile) -> Result<String, String> {
    let bytes = std::fs::read(file.path()).map_err(|error| failed(&error))?;
    String::from_utf8(bytes).map_err(|_| match file.keep() {
        Ok((_, path)) => format!(
            "What you wrote is not all UTF-8, so it was not taken. It is in {}: save it as UTF-8.",
            path.display()
        ),
        Err(error) => failed(&error),
    })
}

fn failed(what: &dyn std::fmt::Display) -> String {
    format!("The editor could not be used: {what}. Set EDITOR to one that works.")
}

/// An editor. It is ended with whoever waits for it, since then the terminal is somebody else's.
struct Running {
    child: Child,
    /// What it writes, until that is taken.
    file: Option<NamedTempFile>,
    before: String,
}

impl Running {
    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        // It ends by itself otherwise, or does not heed this either.
        let _ = kill_process(self.pid(), Signal::TERM);
        let Some(file) = &mut self.file else { return };
        // What was saved is not lost because nobody is left to take it.
        let saved = std::fs::read(file.path());
        file.disable_cleanup(saved.is_ok_and(|saved| saved != self.before.as_bytes()));
    }
}

#[cfg(test)]
mod tests;
