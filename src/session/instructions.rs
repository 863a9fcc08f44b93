//! `AGENTS.md`: what the people of a project want an agent to know.
//!
//! Read from the workspace upwards to the root of its repository (without one, from the workspace
//! alone), after the user's own file. The outermost comes first, so that the nearest has the last
//! word. A workspace is somebody else's: only regular files are read, none that a link takes out
//! of the folder it lies in, and only so much of them.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

const NAME: &str = "AGENTS.md";
/// All of them together: every training sample carries them.
const BYTES_MAX: usize = 32 << 10;

/// The instructions in force, as a part of the system prompt; empty when there are none.
pub(crate) fn read(workspace: &Path, own: Option<&Path>) -> String {
    let mut text = String::new();
    if let Some(content) = own.and_then(|own| content(own, own.parent()?)) {
        add(&mut text, "of the user", &content);
    }
    let root = root(workspace);
    let mut folders: Vec<&Path> =
        workspace.ancestors().take_while(|folder| folder.starts_with(&root)).collect();
    folders.reverse();
    for folder in folders {
        if let Some(content) = content(&folder.join(NAME), &root) {
            add(&mut text, &place(workspace, folder), &content);
        }
    }
    text
}

/// The nearest folder upwards that is a repository, else the workspace.
fn root(workspace: &Path) -> PathBuf {
    let mut above = workspace.ancestors();
    above.find(|folder| folder.join(".git").exists()).unwrap_or(workspace).to_owned()
}

/// The file's text, if it is one and lies in the folder, however it is linked to.
fn content(path: &Path, within: &Path) -> Option<String> {
    let real = fs::canonicalize(path).ok()?;
    let within = fs::canonicalize(within).ok()?;
    if !real.starts_with(&within) || !fs::metadata(&real).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(&real).ok()?.take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn add(text: &mut String, place: &str, content: &str) {
    let heading = format!("\n\n# Instructions {place} ({NAME})\n");
    let room = BYTES_MAX.saturating_sub(text.len() + heading.len());
    if room < content.len().min(200) {
        return;
    }
    text.push_str(&heading);
    if content.len() <= room {
        text.push_str(content);
    } else {
        let end = content.floor_char_boundary(room);
        text.push_str(content.get(..end).unwrap_or_default());
        text.push_str(&format!("\n[cut at {BYTES_MAX} bytes; read the file for the rest]"));
    }
}

/// Where the file lies, in words that are the same on every machine.
fn place(workspace: &Path, folder: &Path) -> String {
    match workspace.strip_prefix(folder).map(|below| below.components().count()) {
        Ok(0) | Err(_) => "of the workspace".to_owned(),
        Ok(1) => "of the folder above".to_owned(),
        Ok(count) => format!("of the folder {count} above"),
    }
}

#[cfg(test)]
mod tests;
