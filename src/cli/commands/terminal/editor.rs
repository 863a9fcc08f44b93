//! The user's own editor, for a longer prompt.

use std::io::Write;
use std::process::Command;

/// Lets the user write a text on in `$VISUAL`, `$EDITOR`, or `vi`.
pub(super) fn edit(text: &str) -> Result<String, String> {
    let failed = |what: &dyn std::fmt::Display| {
        format!("The editor could not be used: {what}. Set EDITOR to one that works.")
    };
    let set = |name| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let editor = set("VISUAL").or_else(|| set("EDITOR")).unwrap_or_else(|| "vi".to_owned());
    let mut file = tempfile::Builder::new()
        .prefix("limn-prompt-")
        .suffix(".md")
        .tempfile()
        .map_err(|error| failed(&error))?;
    file.write_all(text.as_bytes()).and_then(|()| file.flush()).map_err(|error| failed(&error))?;
    // The variable holds a command line, as everywhere.
    let status = Command::new("sh")
        .args(["-c", &format!("{editor} \"$1\""), "sh"])
        .arg(file.path())
        .status()
        .map_err(|error| failed(&error))?;
    if !status.success() {
        return Err(failed(&format!("{editor} ended with {status}")));
    }
    std::fs::read_to_string(file.path()).map_err(|error| failed(&error))
}
