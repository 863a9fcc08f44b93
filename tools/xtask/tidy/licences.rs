//! The licences of all crates against the list in deny.toml, in both directions.
//!
//! cargo-deny does this and more, but takes minutes to build; this needs only cargo. The list is
//! cargo-deny's own, so that there is one.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use toml::{Table, Value};

use super::Finding;
use super::files::File;
use crate::process::{cargo, output};

const LIST: &str = "deny.toml";

pub(super) fn check(files: &[File]) -> Result<Vec<Finding>> {
    let list = files.iter().find(|file| file.path == LIST).context("there is no deny.toml")?;
    let list: Table = list.text.parse().context("deny.toml is not TOML")?;
    let names = list.get("licenses").and_then(|it| it.get("allow")).and_then(Value::as_array);
    let names = names.context("deny.toml has no [licenses] allow = […]")?;
    let allowed = names.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let args = [
        "tree",
        "--workspace",
        "--locked",
        "--offline",
        "--edges=all",
        "--target=all",
        "--prefix=none",
        "--format={p}\t{l}",
    ];
    let tree = output(&mut cargo(&args))
        .context("the licences of the crates could not be listed; run cargo xtask setup first")?;
    Ok(judge(&crates_of(&tree), &allowed))
}

/// Crate with version → its licence expression.
fn crates_of(tree: &str) -> BTreeMap<String, String> {
    let lines = tree.lines().filter_map(|line| line.split_once('\t'));
    let short = |package: &str| package.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    // Where the same crate was printed before, cargo marks the line.
    lines
        .map(|(package, licence)| (short(package), licence.trim_end_matches(" (*)").to_owned()))
        .collect()
}

/// What may not be used, and what the list allows without need.
pub(super) fn judge(crates: &BTreeMap<String, String>, allowed: &BTreeSet<String>) -> Vec<Finding> {
    let accepted = |allowed: &BTreeSet<String>, text: &str| {
        Expression::parse(text).is_some_and(|expression| expression.holds(allowed))
    };
    let mut findings = Vec::new();
    for (package, licence) in crates {
        if !accepted(allowed, licence) {
            let what = format!("{package} is under `{licence}`, which {LIST} does not allow");
            findings
                .push(Finding::new(LIST, 1, "licence", what).remedy(
                    "Do without the crate, or allow the licence if it asks no more of us.",
                ));
        }
    }
    for name in allowed {
        let others = allowed.iter().filter(|other| *other != name).cloned().collect();
        let needed = |text: &String| accepted(allowed, text) && !accepted(&others, text);
        if !crates.values().any(needed) {
            let what = format!("no crate needs `{name}`");
            findings
                .push(Finding::new(LIST, 1, "licence", what).remedy("Remove it from the list."));
        }
    }
    findings
}

/// An SPDX licence expression.
#[derive(Debug, PartialEq)]
pub(super) enum Expression {
    /// A licence, with its exception if it has one.
    One(String),
    /// All of them apply.
    All(Vec<Expression>),
    /// One may choose.
    Any(Vec<Expression>),
}

impl Expression {
    /// Reads an expression; `/` is an old way to write OR. Nothing for what is not one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let spaced = text.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let (expression, rest) = Self::any(&words)?;
        rest.is_empty().then_some(expression)
    }

    fn any<'a>(words: &'a [&'a str]) -> Option<(Self, &'a [&'a str])> {
        let (first, mut rest) = Self::all(words)?;
        let mut parts = vec![first];
        while let ["OR", after @ ..] = rest {
            let (next, after) = Self::all(after)?;
            parts.push(next);
            rest = after;
        }
        Some((Self::group(parts, Self::Any), rest))
    }

    fn all<'a>(words: &'a [&'a str]) -> Option<(Self, &'a [&'a str])> {
        let (first, mut rest) = Self::one(words)?;
        let mut parts = vec![first];
        while let ["AND", after @ ..] = rest {
            let (next, after) = Self::one(after)?;
            parts.push(next);
            rest = after;
        }
        Some((Self::group(parts, Self::All), rest))
    }

    fn one<'a>(words: &'a [&'a str]) -> Option<(Self, &'a [&'a str])> {
        match words {
            ["(", inner @ ..] => match Self::any(inner)? {
                (expression, [")", rest @ ..]) => Some((expression, rest)),
                _ => None,
            },
            [")" | "OR" | "AND" | "WITH", ..] | [] => None,
            [licence, "WITH", exception, rest @ ..] => {
                Some((Self::One(format!("{licence} WITH {exception}")), rest))
            }
            [licence, rest @ ..] => Some((Self::One((*licence).to_owned()), rest)),
        }
    }

    fn group(mut parts: Vec<Self>, of: fn(Vec<Self>) -> Self) -> Self {
        match parts.pop() {
            Some(only) if parts.is_empty() => only,
            Some(last) => {
                parts.push(last);
                of(parts)
            }
            None => of(parts),
        }
    }

    /// Whether the allowed licences are enough.
    fn holds(&self, allowed: &BTreeSet<String>) -> bool {
        match self {
            Self::One(licence) => allowed.contains(licence),
            Self::All(parts) => parts.iter().all(|part| part.holds(allowed)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(allowed)),
        }
    }
}
