//! What the user allows while a session runs, though its policy does not: a host to be spoken to, a
//! file to be read.
//!
//! A grant is made in two steps, so that it can be put on record before it is in force: what it
//! would be ([`Toolbox::grant`]), and that it is ([`Toolbox::put_in_force`]). Only a user makes one;
//! no tool leads here. What is hidden stays so, and what commands see of the file system is laid
//! out when they begin: a file is opened to the file tools alone.

use std::path::{Path, PathBuf};

use sandbox::{HostPattern, Preset, Target, Tier};
use trajectory::event::Grant;

use crate::Toolbox;
use crate::beneath::GRANTED_MAX;
use crate::path::lexically;

/// Tools that read one file, and the argument that names it.
const READS: &[(&str, &str)] = &[("read", "file_path"), ("read_file", "absolute_path")];

/// How the scope of a file begins.
const READ: &str = "read ";

impl Toolbox {
    /// The grant that lets this session speak to a host, written as in the settings, or read a
    /// file, named from the root or from the home.
    ///
    /// # Errors
    /// A sentence for the user, when it is neither or needs no grant.
    pub fn grant(&self, what: &str) -> Result<Grant, String> {
        match what.starts_with(['/', '~']) {
            true => self.grant_file(what),
            false => self.grant_host(what),
        }
    }

    /// The file that a call of a tool would read if the user allowed it, as [`Toolbox::grant`] takes
    /// it; nothing where that would open nothing.
    #[must_use]
    pub fn grantable(&self, tool: &str, arguments: &str) -> Option<String> {
        let (_, key) = READS.iter().find(|(name, _)| *name == tool)?;
        let fields: serde_json::Value = serde_json::from_str(arguments).ok()?;
        let path = lexically(&self.workspace().join(fields.get(key)?.as_str()?));
        let grant = self.grant_file(path.to_str()?).ok()?;
        grant.scope.strip_prefix(READ).map(str::to_owned)
    }

    /// Does what a grant says.
    pub fn put_in_force(&self, grant: &Grant) {
        match (grant.scope.strip_prefix(READ), grant.scope.parse()) {
            (Some(path), _) => drop(self.parts.workspace.open_file(Path::new(path))),
            (None, Ok(host)) => self.parts.gate.allow(host),
            // It was made by nobody here.
            (None, Err(_)) => {}
        }
    }

    fn grant_host(&self, host: &str) -> Result<Grant, String> {
        let (sandbox, gate) = (&self.parts.sandbox, &self.parts.gate);
        if sandbox.policy().preset == Preset::Off {
            return Err("This session has no sandbox, so every host can be reached.".to_owned());
        }
        let pattern: HostPattern = host.parse().map_err(|what| format!("{what}."))?;
        let scope = pattern.to_string();
        // A pattern for many hosts is decided about by no single one.
        let decision =
            Target::parse(&scope, Some(443)).map(|target| gate.network().decide(&target));
        let rule = match decision {
            Some(Ok(rule)) => return Err(format!("{scope} can be reached already ({rule}).")),
            Some(Err(refusal)) => refusal.rule,
            None => "sandbox.allow_hosts".to_owned(),
        };
        let who = match sandbox.tier() {
            Tier::Landlock => "web tools reach it from now on; commands have no network here",
            _ => "commands and web tools reach it from now on",
        };
        let shown = format!("[The user allows {scope} until limn is closed: {who}.]");
        Ok(Grant { rule, scope, call: None, shown })
    }

    fn grant_file(&self, text: &str) -> Result<Grant, String> {
        let home = || std::env::var_os("HOME").map(PathBuf::from);
        let path = match text.strip_prefix("~/") {
            Some(rest) => {
                home().ok_or("There is no home. Write the path from the root on.")?.join(rest)
            }
            None => PathBuf::from(text),
        };
        let path =
            path.canonicalize().map_err(|error| format!("{text} cannot be opened: {error}."))?;
        let shown = path.to_str().filter(|shown| !shown.chars().any(char::is_control));
        let shown = shown.ok_or_else(|| format!("{text} has a name that cannot be shown."))?;
        if !path.is_file() {
            return Err(format!(
                "{shown} is no file. Open a folder when a session begins, with `--readable {shown}`."
            ));
        }
        if path.starts_with(self.workspace()) || self.parts.workspace.is_beyond(&path) {
            return Err(format!("{shown} is open to the file tools already, as far as it may be."));
        }
        let policy = self.parts.sandbox.policy();
        if policy.hidden.iter().any(|hidden| path.starts_with(hidden)) {
            return Err(format!("{shown} is hidden from this session; nothing opens it."));
        }
        if !self.parts.workspace.has_room() {
            return Err(format!(
                "{GRANTED_MAX} files are open already. Begin a session with `--readable` for the \
                 folder."
            ));
        }
        let rule =
            "the file tools reach the workspace, and what is readable or writable".to_owned();
        let scope = format!("{READ}{shown}");
        let shown =
            format!("[The user lets you read {shown} until limn is closed, with the file tools.]");
        Ok(Grant { rule, scope, call: None, shown })
    }
}

#[cfg(test)]
mod tests;
