//! What a command says when it ran into the policy, told in the policy's words.
//!
//! Programs report what the system answered: a read-only file system, a name that cannot be
//! resolved. A model that reads only this looks for the fault in the wrong place. Nothing here
//! decides anything: a wrong guess costs a line.

use std::path::{Component, Path, PathBuf};

use super::Refusal;
use super::host::{Host, Network, Target};
use super::places::HOMES;
use super::rules::{Policy, Preset, covers};

/// Only the end of an output is searched: that is where the reason stands.
const LINES_MAX: usize = 60;
const LINE_CHARS_MAX: usize = 500;

/// Words of programs that could not write.
const WRITE: &[&str] = &["read-only file system", "permission denied", "erofs", "eacces"];

/// Words of programs that could not find what is there.
const READ: &[&str] = &["no such file or directory", "permission denied", "enoent", "eacces"];

/// Words of programs that could not get through.
const CONNECT: &[&str] = &[
    "could not resolve",
    "couldn't resolve",
    "name resolution",
    "name or service not known",
    "unable to resolve",
    "enotfound",
    "eai_again",
    "failed to lookup address",
    "no such host",
    "temporary failure resolving",
    "network is unreachable",
    "enetunreach",
    "tunnel connection failed",
    "connect tunnel failed",
    "tunneling socket could not be established",
    "proxy connect aborted",
    "403 from proxy",
];

impl Policy {
    /// Why a command failed, when what it printed says that this policy was the reason. `cwd` is
    /// where it ran, `reaches_hosts` whether its tier can let it through to a single host.
    #[must_use]
    pub fn explain(&self, output: &str, cwd: &Path, reaches_hosts: bool) -> Option<Refusal> {
        if self.preset == Preset::Off {
            return None;
        }
        let lines: Vec<&str> = output.lines().rev().take(LINES_MAX).collect();
        let shown = |line: &&str| -> String { line.chars().take(LINE_CHARS_MAX).collect() };
        let lines: Vec<String> = lines.iter().map(shown).collect();
        lines
            .iter()
            .find_map(|line| self.explain_file(line, cwd))
            .or_else(|| self.explain_network(&lines, reaches_hosts))
    }

    fn explain_file(&self, line: &str, cwd: &Path) -> Option<Refusal> {
        let lower = line.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        if says(WRITE) {
            // What may not even be read is told as that.
            let found = paths(line, cwd).into_iter().find(|path| !self.may_write(path));
            if let Some(path) = found.filter(|path| self.may_read(path)) {
                return Some(self.not_written(&path));
            }
        }
        if says(READ) {
            let found = paths(line, cwd).into_iter().find(|path| !self.may_read(path));
            return found.filter(|path| !self.is_home(path)).map(|path| self.not_read(&path));
        }
        None
    }

    /// A home itself is there, though empty.
    fn is_home(&self, path: &Path) -> bool {
        self.closed.iter().any(|home| home == path)
            || HOMES.iter().any(|home| path == Path::new(home))
    }

    /// The refusal for something that was to be written.
    #[must_use]
    pub fn not_written(&self, path: &Path) -> Refusal {
        let shown = path.display();
        if covers(&self.frozen, path) {
            return Refusal {
                rule: format!(
                    "{shown} is read-only: limn or git would act on what is written there"
                ),
                remedy: "ask the user to change it".into(),
            };
        }
        if self.preset == Preset::ReadOnly && path.starts_with(&self.workspace) {
            return Refusal {
                rule: "the workspace is read-only in this session".into(),
                remedy: "write into /tmp, or ask the user for `--preset workspace`".into(),
            };
        }
        Refusal {
            rule: format!("{shown} is outside what this session may write"),
            remedy: format!(
                "write in the workspace or /tmp, or ask the user for `--writable {shown}`"
            ),
        }
    }

    /// The refusal for something that was to be read.
    #[must_use]
    pub fn not_read(&self, path: &Path) -> Refusal {
        let shown = path.display();
        if covers(&self.hidden, path) {
            return Refusal {
                rule: format!("{shown} is hidden from this session"),
                remedy: "ask the user for what you need of it".into(),
            };
        }
        Refusal {
            rule: format!("{shown} lies in a home folder, which this session does not see"),
            remedy: format!("ask the user for `--readable {shown}`"),
        }
    }

    fn explain_network(&self, lines: &[String], reaches_hosts: bool) -> Option<Refusal> {
        let at = lines.iter().position(|line| {
            let lower = line.to_lowercase();
            CONNECT.iter().any(|word| lower.contains(word))
        })?;
        if !reaches_hosts {
            return Some(Refusal {
                rule: "commands have no network here, whatever is allowed".into(),
                remedy: "ask the user: `limn doctor` says what a tier with a network needs".into(),
            });
        }
        // The host stands in the line itself, or in one near it.
        let near = lines.get(at..).unwrap_or_default().iter().take(10);
        let near: Vec<&String> = near.chain(lines.iter().take(at).rev().take(5)).collect();
        for line in &near {
            for target in targets(line).iter().filter(|target| !is_file(target, &near)) {
                if let Err(refusal) = self.network.decide(target) {
                    return Some(refusal);
                }
            }
        }
        (self.network == Network::Off).then(|| Refusal {
            rule: "network is off for this session".into(),
            remedy: "allow a host with `/allow HOST`, `--allow-host HOST` or sandbox.allow_hosts"
                .into(),
        })
    }
}

/// The paths that a line names, those that are relative seen from `cwd`.
fn paths(line: &str, cwd: &Path) -> Vec<PathBuf> {
    let apart = |c: char| c.is_whitespace() || "'\"`‘’“”(),;=<>".contains(c);
    let words = line.split(apart).map(|word| word.trim_end_matches([':', '.']));
    words
        .filter(|word| word.contains('/') && !word.contains("://"))
        .map(|word| plain(&cwd.join(word)))
        .collect()
}

/// A path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

/// Whether what looks like a host is the name of a file: it stands after one slash.
fn is_file(target: &Target, lines: &[&String]) -> bool {
    let Host::Name(name) = &target.host else { return false };
    let (file, host) = (format!("/{name}"), format!("//{name}"));
    lines.iter().any(|line| line.contains(&file) && !line.contains(&host))
}

/// The hosts that a line names: of URLs, else of words that look like one.
fn targets(line: &str) -> Vec<Target> {
    let apart = |c: char| c.is_whitespace() || "'\"`‘’“”(),;<>".contains(c);
    let mut found = Vec::new();
    for word in line.split(apart) {
        if let Some((scheme, rest)) = word.split_once("://") {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let host = authority.rsplit('@').next().unwrap_or_default();
            let port = if scheme.ends_with("https") { 443 } else { 80 };
            found.extend(Target::parse(host.trim_end_matches([':', '.']), Some(port)));
        }
    }
    if found.is_empty() {
        let words = line.split(apart).map(|word| word.trim_matches([':', '.', '[', ']']));
        let named = words.filter(|word| word.contains('.') && !word.contains('/'));
        let targets = named.filter_map(|word| Target::parse(word, Some(443)));
        found.extend(targets.filter(|target| matches!(target.host, Host::Name(_))));
    }
    found
}
