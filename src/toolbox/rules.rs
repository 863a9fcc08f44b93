//! Rules of approval: what a user allows, wants to be asked about, or denies, by pattern.
//!
//! A pattern is words, separated by blanks. For a shell line they are the words of a command:
//! `git status`, `cargo test *`, `rm -rf *`. For another tool they are its name and, if wanted, a
//! path or an address: `write src/**`, `web_fetch https://docs.rs/*`; the name of the shell tool
//! alone means any line. In a word, `*` is any text without a `/` and `**` any text; as the last
//! word of a command, `*` is all the rest, which may be nothing.
//!
//! Doubt never allows. To be allowed, every command of a line must match, word for word, and
//! nothing in it may be unclear, nor may it write files. To be asked about or denied, it is
//! enough that one command begins like the pattern, by whatever path it is called. Deny wins over
//! ask, and ask over allow.
//!
//! Absent: what a program does with its arguments, so `rm -rf *` says nothing of `rm -fr`; what
//! files already on disk mean to it; the modes of approval, which answer when no rule does.

use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};
use syntax::bash::{self, Line, SimpleCommand, Word};
use trajectory::{Approval, Reading, ToolSpec, Verdict};

use crate::path::lexically;

/// The rules that hold for a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rules {
    /// What runs without a question.
    pub allow: Vec<String>,
    /// What somebody has to answer for first.
    pub ask: Vec<String>,
    /// What never runs.
    pub deny: Vec<String>,
}

/// Of how many files one call may change and still be allowed.
const OBJECTS_MAX: usize = 500;
/// Longer than any path or address that means something.
const TEXT_BYTES_MAX: usize = 8 << 10;
/// Arguments that name what a tool works on.
const OBJECTS: &[&str] =
    &["file_path", "absolute_path", "path", "dir_path", "directory", "workdir", "url", "paths"];
/// Arguments that hold a patch, which names its files.
const PATCHES: &[&str] = &["input", "patch"];

impl Rules {
    /// What the rules say to a call in the workspace at `root`; nothing when none of them fits.
    pub(crate) fn judge(&self, root: &Path, spec: &ToolSpec, arguments: &str) -> Option<Verdict> {
        if self.allow.is_empty() && self.ask.is_empty() && self.deny.is_empty() {
            return None;
        }
        let value: Option<Value> = serde_json::from_str(arguments).ok();
        let fields = value.as_ref().and_then(Value::as_object);
        let by_name =
            |rules: &[String]| rules.iter().find(|rule| is_whole_tool(rule, &spec.name)).cloned();
        let command = fields
            .and_then(|fields| fields.get("command"))
            .and_then(Value::as_str)
            .filter(|_| spec.effect == trajectory::ToolEffect::Executes);
        if let Some(command) = command {
            let line = bash::commands(command);
            let segments = crude(command, &line);
            return verdict(Approval::Denied, by_name(&self.deny))
                .or_else(|| verdict(Approval::Denied, forbidding(&self.deny, &line, &segments)))
                .or_else(|| verdict(Approval::Ask, by_name(&self.ask)))
                .or_else(|| verdict(Approval::Ask, forbidding(&self.ask, &line, &segments)))
                .or_else(|| verdict(Approval::Allowed, by_name(&self.allow)))
                .or_else(|| verdict(Approval::Allowed, allowing(&self.allow, &line)));
        }
        let objects = objects(fields, arguments, spec);
        let touches = |rules: &[String]| touching(rules, &spec.name, root, &objects);
        verdict(Approval::Denied, by_name(&self.deny).or_else(|| touches(&self.deny)))
            .or_else(|| verdict(Approval::Ask, by_name(&self.ask).or_else(|| touches(&self.ask))))
            .or_else(|| verdict(Approval::Allowed, by_name(&self.allow)))
            .or_else(|| {
                verdict(Approval::Allowed, covering(&self.allow, &spec.name, root, &objects))
            })
    }
}

/// Programs that only print what they are given, whatever their arguments.
const HARMLESS: &[&str] = &["cat", "du", "echo", "file", "grep", "head", "ls", "pwd", "stat", "wc"];

/// Programs that run or become whatever their arguments say: a rule for their beginning would be a
/// rule for everything.
const RUNNERS: &[&str] = &[
    "awk", "bash", "busybox", "chroot", "dash", "doas", "docker", "env", "exec", "eval", "find",
    "fish", "ksh", "lua", "nice", "node", "nohup", "perl", "php", "podman", "python", "python3",
    "ruby", "sh", "ssh", "su", "sudo", "time", "timeout", "watch", "xargs", "zsh",
];

/// What a command line would do, as far as reading it can tell.
#[must_use]
pub fn reading(command: &str) -> Reading {
    let line = bash::commands(command);
    let word = |word: &Word| word.literal().map_or_else(|| "…".to_owned(), str::to_owned);
    let words = |command: &SimpleCommand| -> String {
        command.words.iter().map(word).collect::<Vec<_>>().join(" ")
    };
    Reading {
        runs: line.commands.iter().map(words).collect(),
        writes: line.writes.iter().map(word).collect(),
        unclear: line.opaque,
    }
}

/// Rules that would allow a line and the like of it, one for each of its commands: their beginning
/// where a word says what they do, else the whole command. Nothing for a line that no rule can
/// allow.
#[must_use]
pub fn like(command: &str) -> Vec<String> {
    let line = bash::commands(command);
    if line.opaque.is_some() || !line.writes.is_empty() {
        return Vec::new();
    }
    let mut rules: Vec<String> = Vec::new();
    for command in line.commands.iter().filter(|command| !command.is_wrapper) {
        let words: Option<Vec<&str>> =
            command.words.iter().map(|word| word.literal().map(AsRef::as_ref)).collect();
        let Some(rule) = words.and_then(|words| of_command(&words)) else { return Vec::new() };
        if !rules.contains(&rule) {
            rules.push(rule);
        }
    }
    rules
}

fn of_command(words: &[&str]) -> Option<String> {
    // What a pattern cannot spell is not offered.
    let is_plain = |word: &str| !word.is_empty() && !word.contains(['*', ' ', '\t', '\n']);
    let (name, rest) = words.split_first().filter(|_| words.iter().all(|word| is_plain(word)))?;
    if HARMLESS.contains(name) {
        return Some(format!("{name} *"));
    }
    let is_verb = |word: &&&str| {
        word.starts_with(|first: char| first.is_ascii_lowercase())
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let is_runner = RUNNERS.contains(&name.rsplit('/').next().unwrap_or(name));
    match rest.first().filter(is_verb) {
        Some(verb) if !is_runner => Some(format!("{name} {verb} *")),
        _ => Some(words.join(" ")),
    }
}

fn verdict(decision: Approval, rule: Option<String>) -> Option<Verdict> {
    rule.map(|rule| Verdict { decision, rule })
}

fn is_whole_tool(rule: &str, name: &str) -> bool {
    let words: Vec<&str> = rule.split_whitespace().collect();
    matches!(words.as_slice(), [tool] | [tool, "*" | "**"] if *tool == name)
}

/// The rules that together allow all of a line.
fn allowing(rules: &[String], line: &Line) -> Option<String> {
    if line.opaque.is_some() || !line.writes.is_empty() || line.commands.is_empty() {
        return None;
    }
    let mut used: Vec<&str> = Vec::new();
    for command in line.commands.iter().filter(|command| !command.is_wrapper) {
        let rule = rules.iter().find(|rule| is_command(rule, command))?;
        if !used.contains(&rule.as_str()) {
            used.push(rule);
        }
    }
    (!used.is_empty()).then(|| used.join(", "))
}

/// Whether a command is exactly what the pattern says.
fn is_command(rule: &str, command: &SimpleCommand) -> bool {
    let pattern: Vec<&str> = rule.split_whitespace().collect();
    let (pattern, takes_rest) = match pattern.split_last() {
        Some((&"*", before)) if !before.is_empty() => (before, true),
        _ => (pattern.as_slice(), false),
    };
    let length = command.words.len();
    let fits = if takes_rest { length >= pattern.len() } else { length == pattern.len() };
    // A name without stars: `*` for any program would be too easy to write by mistake.
    let is_named = pattern.first().is_some_and(|name| !name.contains('*'));
    fits && is_named
        && pattern
            .iter()
            .zip(&command.words)
            .all(|(pattern, word)| word.literal().is_some_and(|text| matches(pattern, text)))
}

/// The first rule that some command of a line begins like.
fn forbidding(rules: &[String], line: &Line, segments: &[Vec<String>]) -> Option<String> {
    let literals = line.commands.iter().map(|command| {
        command.words.iter().map(|word| word.literal().unwrap_or("\0").to_owned()).collect()
    });
    let commands: Vec<Vec<String>> = literals.chain(segments.iter().cloned()).collect();
    rules.iter().find(|rule| commands.iter().any(|words| begins_like(rule, words))).cloned()
}

fn begins_like(rule: &str, words: &[String]) -> bool {
    let mut pattern: Vec<&str> = rule.split_whitespace().collect();
    if pattern.len() > 1 && pattern.last() == Some(&"*") {
        pattern.pop();
    }
    let name = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
    let mut pairs = pattern.iter().zip(words);
    let Some((first, word)) = pairs.next() else {
        return false;
    };
    words.len() >= pattern.len()
        && (matches(first, word) || matches(first, &name(word)))
        && pairs.all(|(pattern, word)| matches(pattern, word))
}

/// Of a line that is not understood, what a cursory look takes for commands: more than there are,
/// which does no harm where it is about denying.
fn crude(command: &str, line: &Line) -> Vec<Vec<String>> {
    const PIECES_MAX: usize = 2_000;
    if line.opaque.is_none() {
        return Vec::new();
    }
    let ends = |character: char| ";&|()`\n{}".contains(character);
    let words = |piece: &str| -> Vec<String> {
        let unquoted: String =
            piece.chars().filter(|character| !"'\"\\$".contains(*character)).collect();
        unquoted.split_whitespace().take(20).map(str::to_owned).collect()
    };
    let pieces = command.split(ends).map(words).filter(|words| !words.is_empty());
    pieces.take(PIECES_MAX).collect()
}

/// What a call of another tool works on: paths and addresses.
fn objects(fields: Option<&Map<String, Value>>, arguments: &str, spec: &ToolSpec) -> Vec<String> {
    let texts = |value: &Value| -> Vec<String> {
        match value {
            Value::String(text) => vec![text.clone()],
            Value::Array(values) => {
                values.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            _ => Vec::new(),
        }
    };
    let named = |names: &[&str]| -> Vec<String> {
        let values = names.iter().filter_map(|name| fields?.get(*name));
        values.flat_map(texts).collect()
    };
    let mut patches = named(PATCHES);
    if spec.grammar.is_some() && fields.is_none() {
        patches.push(arguments.to_owned());
    }
    let patched = patches.iter().flat_map(|patch| patch.lines()).filter_map(|line| {
        let heading = line.trim().strip_prefix("*** ")?;
        let (action, path) = heading.split_once(':')?;
        let is_file = matches!(action, "Add File" | "Update File" | "Delete File" | "Move to");
        is_file.then(|| path.trim().to_owned())
    });
    let mut objects: Vec<String> = patched.collect();
    objects.extend(named(OBJECTS));
    objects
}

/// A path as rules write it: relative to the workspace when it lies inside by its letters.
fn spelled(root: &Path, object: &str) -> String {
    if object.contains("://") {
        return object.to_owned();
    }
    let whole = lexically(&root.join(object));
    whole.strip_prefix(root).unwrap_or(&whole).to_string_lossy().into_owned()
}

/// Where a path leads, when links take it elsewhere than its letters say.
fn real(root: &Path, object: &str) -> Option<String> {
    if object.contains("://") {
        return None;
    }
    let whole = lexically(&root.join(object));
    for above in whole.ancestors() {
        if let (Ok(real), Ok(rest)) = (above.canonicalize(), whole.strip_prefix(above)) {
            let real = real.join(rest);
            return (real != whole)
                .then(|| real.strip_prefix(root).unwrap_or(&real).to_string_lossy().into_owned());
        }
        if above.symlink_metadata().is_ok() {
            // A link that leads nowhere yet.
            return Some(String::new());
        }
    }
    None
}

/// The object's part of a rule for this tool.
fn object_of<'a>(rule: &'a str, name: &str) -> Option<&'a str> {
    let (tool, object) = rule.trim().split_once(char::is_whitespace)?;
    (tool == name).then(|| object.trim())
}

/// The first rule that one of the objects matches.
fn touching(rules: &[String], name: &str, root: &Path, objects: &[String]) -> Option<String> {
    let fits = |rule: &&String| {
        object_of(rule, name).is_some_and(|pattern| {
            objects.iter().any(|object| {
                matches(pattern, &spelled(root, object))
                    || real(root, object).is_some_and(|real| matches(pattern, &real))
            })
        })
    };
    rules.iter().find(fits).cloned()
}

/// The rules that all objects together match, links and all.
fn covering(rules: &[String], name: &str, root: &Path, objects: &[String]) -> Option<String> {
    if objects.len() > OBJECTS_MAX {
        return None;
    }
    let mut used: Vec<&str> = Vec::new();
    for object in objects {
        if real(root, object).is_some() {
            return None;
        }
        let path = spelled(root, object);
        let rule = rules
            .iter()
            .find(|rule| object_of(rule, name).is_some_and(|pattern| matches(pattern, &path)))?;
        if !used.contains(&rule.as_str()) {
            used.push(rule);
        }
    }
    (!used.is_empty()).then(|| used.join(", "))
}

/// Whether a text is what the pattern says: `*` for any text without a `/`, `**` for any.
fn matches(pattern: &str, text: &str) -> bool {
    if text.len() > TEXT_BYTES_MAX {
        return false;
    }
    let pattern = pattern.as_bytes();
    // Which beginnings of the pattern the text so far is; one byte after the other.
    let mut states = vec![false; pattern.len() + 1];
    if let Some(first) = states.first_mut() {
        *first = true;
    }
    pass_stars(pattern, &mut states);
    for byte in text.bytes() {
        let mut next = vec![false; pattern.len() + 1];
        for (at, _) in states.iter().enumerate().filter(|(_, reached)| **reached) {
            let is_double = pattern.get(at) == Some(&b'*')
                && (pattern.get(at + 1) == Some(&b'*')
                    || at.checked_sub(1).and_then(|at| pattern.get(at)) == Some(&b'*'));
            let stays = pattern.get(at) == Some(&b'*') && (is_double || byte != b'/');
            if stays && let Some(state) = next.get_mut(at) {
                *state = true;
            }
            if pattern.get(at) == Some(&byte)
                && byte != b'*'
                && let Some(state) = next.get_mut(at + 1)
            {
                *state = true;
            }
        }
        pass_stars(pattern, &mut next);
        states = next;
    }
    states.last().copied().unwrap_or(false)
}

/// A star may be nothing.
fn pass_stars(pattern: &[u8], states: &mut [bool]) {
    for at in 0..pattern.len() {
        if pattern.get(at) == Some(&b'*')
            && states.get(at) == Some(&true)
            && let Some(state) = states.get_mut(at + 1)
        {
            *state = true;
        }
    }
}

#[cfg(test)]
mod tests;
