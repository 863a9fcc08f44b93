//! Rules for manifests: one place for versions and lints, no crate that nobody uses, and a row in
//! docs/dependencies.md for each that is not ours.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use toml::{Table, Value};

use super::Finding;
use super::files::File;

const DEPENDENCIES: &str = "docs/dependencies.md";
const KINDS: &[&str] = &["dependencies", "dev-dependencies", "build-dependencies"];

pub(super) fn check(files: &[File]) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut used = BTreeSet::new();
    let is_manifest =
        |file: &&File| file.name() == "Cargo.toml" && !file.path.starts_with("recordings/");
    for file in files.iter().filter(is_manifest) {
        let manifest: Table =
            file.text.parse().with_context(|| format!("{} is not TOML", file.path))?;
        findings.extend(lints(file, &manifest));
        for (name, value) in dependencies(&manifest) {
            findings.extend(pinned(file, name, value));
            findings.extend(named_in_sources(file, name, files));
            used.insert(name.to_owned());
        }
        if file.path == "Cargo.toml" {
            let rows = files.iter().find(|file| file.path == DEPENDENCIES);
            let rows = rows.map(|file| rows_of(&file.text)).unwrap_or_default();
            findings.extend(documented(file, &third_parties(&manifest), &rows));
        }
    }
    if let Some(root) = files.iter().find(|file| file.path == "Cargo.toml") {
        let manifest: Table = root.text.parse()?;
        findings.extend(unused(root, &third_parties(&manifest), &used));
    }
    Ok(findings)
}

/// Every dependency of a manifest, of whatever kind and for whatever platform.
fn dependencies(manifest: &Table) -> impl Iterator<Item = (&str, &Value)> {
    let platforms = manifest.get("target").and_then(Value::as_table);
    let platforms = platforms.into_iter().flat_map(Table::values).filter_map(Value::as_table);
    std::iter::once(manifest)
        .chain(platforms)
        .flat_map(|table| KINDS.iter().filter_map(|kind| table.get(*kind)?.as_table()))
        .flat_map(|table| table.iter().map(|(name, value)| (name.as_str(), value)))
}

fn lints(file: &File, manifest: &Table) -> Option<Finding> {
    if !manifest.contains_key("package") || is_inherited(manifest.get("lints")) {
        return None;
    }
    let what = "the lints of the workspace do not apply here".to_owned();
    let finding = Finding::new(&file.path, 1, "lints", what);
    Some(finding.remedy("Add [lints] with workspace = true."))
}

fn is_inherited(value: Option<&Value>) -> bool {
    value.and_then(|value| value.get("workspace")).and_then(Value::as_bool) == Some(true)
}

fn pinned(file: &File, name: &str, value: &Value) -> Option<Finding> {
    if is_inherited(Some(value)) {
        return None;
    }
    let what = format!("`{name}` has a version of its own");
    let finding = Finding::new(&file.path, line_of(file, name), "dependency-pin", what);
    Some(finding.remedy("Pin it in [workspace.dependencies] and write workspace = true here."))
}

/// Whether the sources beside the manifest name the crate at all.
fn named_in_sources(file: &File, name: &str, files: &[File]) -> Option<Finding> {
    let word = name.replace('-', "_");
    let root = ["src/main.rs", "tests/", "build.rs"];
    let beside = |source: &&File| {
        let inside = source.path.strip_prefix(file.folder());
        inside.is_some_and(|path| {
            !file.folder().is_empty() || root.iter().any(|place| path.starts_with(place))
        }) && source.has_extension(&["rs"])
    };
    let is_word = |it: char| it.is_alphanumeric() || it == '_';
    let mut sources = files.iter().filter(beside);
    if sources.any(|source| source.text.split(|it| !is_word(it)).any(|it| it == word)) {
        return None;
    }
    let what = format!("`{name}` is a dependency, but no source here names it");
    let finding = Finding::new(&file.path, line_of(file, name), "dependency-unused", what);
    Some(finding.remedy("Remove it."))
}

/// The pins that are not ours.
fn third_parties(manifest: &Table) -> BTreeMap<String, Value> {
    let pins = manifest.get("workspace").and_then(|it| it.get("dependencies"));
    let pins = pins.and_then(Value::as_table).into_iter().flatten();
    pins.filter(|(_, value)| value.get("path").is_none())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn unused(file: &File, pins: &BTreeMap<String, Value>, used: &BTreeSet<String>) -> Vec<Finding> {
    let nobody = pins.keys().filter(|name| !used.contains(*name));
    nobody
        .map(|name| {
            let what = format!("`{name}` is pinned, and no crate depends on it");
            Finding::new(&file.path, line_of(file, name), "dependency-unused", what)
                .remedy("Remove the pin until there is a need.")
        })
        .collect()
}

/// The crates that docs/dependencies.md has a row for: those in backquotes in a first cell.
fn rows_of(text: &str) -> BTreeSet<String> {
    let first_cells = text.lines().filter_map(|line| line.strip_prefix('|')?.split('|').next());
    let quoted = first_cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    quoted.map(str::to_owned).collect()
}

fn documented(
    file: &File,
    pins: &BTreeMap<String, Value>,
    rows: &BTreeSet<String>,
) -> Vec<Finding> {
    let missing = pins.keys().filter(|name| !rows.contains(*name)).map(|name| {
        let what = format!("`{name}` has no row in {DEPENDENCIES}");
        Finding::new(&file.path, line_of(file, name), "dependency-docs", what)
            .remedy("Say there what it is for, why this one, and what it costs.")
    });
    let stale = rows.iter().filter(|name| !pins.contains_key(*name)).map(|name| {
        let what = format!("there is a row for `{name}`, which is not a dependency");
        Finding::new(DEPENDENCIES, 1, "dependency-docs", what).remedy("Remove the row.")
    });
    missing.chain(stale).collect()
}

/// Its last entry in the manifest; in the root that is the pin.
fn line_of(file: &File, name: &str) -> usize {
    let is_entry = |line: &str| {
        let rest = line.trim_start().strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with([' ', '.', '=']))
    };
    let entries = file.text.lines().enumerate().filter(|(_, line)| is_entry(line));
    entries.last().map_or(1, |(at, _)| at + 1)
}
