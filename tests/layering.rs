//! The arrows between the crates, as a table that has to be changed before the code may.
//!
//! It reads `[dependencies]` in `src/*/Cargo.toml`. What a crate needs for its own tests is its own
//! business and not looked at. A row allows; it does not ask that the arrow be used.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use toml::Table;

/// Who may name whom, lowest first. Adding an arrow is a decision about the architecture: say why
/// in docs/ARCHITECTURE.md, where the picture is.
const ARROWS: &[(&str, &[&str])] = &[
    ("trajectory", &[]),
    ("screen", &[]),
    ("blob", &[]),
    ("workspace", &["trajectory", "blob"]),
    ("chat", &["trajectory"]),
    ("syntax", &[]),
    ("agent", &["trajectory"]),
    ("model", &["trajectory"]),
    ("record", &["trajectory", "blob"]),
    ("sandbox", &["trajectory", "screen"]),
    ("toolbox", &["trajectory", "sandbox", "syntax", "workspace"]),
    ("dataset", &["trajectory", "record", "chat", "blob"]),
    ("training", &["trajectory", "chat"]),
    ("serving", &["trajectory", "chat"]),
    ("limn-train", &["trajectory", "chat", "training", "serving"]),
    ("tui", &["trajectory", "screen"]),
    (
        "session",
        &["trajectory", "agent", "model", "toolbox", "sandbox", "workspace", "record", "chat"],
    ),
    (
        "cli",
        &[
            "trajectory",
            "record",
            "model",
            "sandbox",
            "toolbox",
            "agent",
            "chat",
            "dataset",
            "training",
            "session",
            "workspace",
            "blob",
            "tui",
        ],
    ),
    ("limn", &["cli", "sandbox"]),
];

/// Third-party crates that decide something big: only these crates of ours may name them, so that
/// the decision can be changed in one place.
const OWNED: &[(&str, &[&str])] = &[
    ("alacritty_terminal", &["screen"]),
    ("async-openai", &["model"]),
    ("axum", &["serving"]),
    ("clap", &["cli"]),
    ("crossterm", &["tui"]),
    ("minijinja", &["chat"]),
    ("hyper", &["serving"]),
    ("landlock", &["sandbox"]),
    ("llguidance", &["serving"]),
    ("portable-pty", &["sandbox"]),
    ("ratatui", &["tui"]),
    ("reqwest", &["model", "toolbox"]),
    ("rusqlite", &["record"]),
    ("seccompiler", &["sandbox"]),
    ("tch", &["limn-train"]),
    ("tokenizers", &["chat"]),
    ("tree-sitter", &["syntax"]),
    ("tree-sitter-bash", &["syntax"]),
];

/// Where failing property tests leave their cases; git ignores it.
const NOT_A_CRATE: &str = "proptest-regressions";

/// The crates of this repository by name, each with all that it depends on outside its tests.
type Crates = BTreeMap<String, Vec<String>>;

#[test]
fn every_arrow_is_in_the_table() -> Result<(), Box<dyn Error>> {
    let wrong = judge(&crates()?, &tools()?);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn every_folder_in_src_is_a_crate() -> Result<(), Box<dyn Error>> {
    for folder in folders("src")? {
        assert!(
            folder.join("Cargo.toml").is_file() || folder.ends_with(NOT_A_CRATE),
            "{} is in src/ and is no crate; every folder in src/ is one",
            folder.display()
        );
    }
    Ok(())
}

#[test]
fn an_arrow_that_is_added_is_refused() {
    let wrong = judge(&with("record", &["trajectory", "session"]), &[]);
    assert_eq!(wrong, ["record names session: no such arrow is allowed in tests/layering.rs"]);
}

#[test]
fn a_crate_without_a_row_is_refused() {
    let wrong = judge(&with("gateway", &[]), &[]);
    assert_eq!(wrong, ["gateway has no row in tests/layering.rs: say there what it may name"]);
}

#[test]
fn a_row_without_a_crate_is_refused() {
    let mut crates = with("agent", &[]);
    crates.remove("agent");
    let wrong = judge(&crates, &[]);
    assert_eq!(wrong, ["agent has a row in tests/layering.rs and is no crate: remove the row"]);
}

#[test]
fn a_tool_is_never_part_of_the_product() {
    let wrong = judge(&with("model", &["mock-server"]), &["mock-server".to_owned()]);
    assert_eq!(wrong, ["model names mock-server of tools/: only tests and xtask may"]);
}

#[test]
fn an_owned_crate_stays_with_its_owner() {
    let wrong = judge(&with("dataset", &["rusqlite", "serde"]), &[]);
    assert_eq!(wrong, ["dataset names rusqlite, which only record may"]);
    assert_eq!(judge(&with("record", &["rusqlite"]), &[]), [""; 0]);
}

#[test]
fn every_kind_of_dependency_but_that_of_tests_counts() -> Result<(), Box<dyn Error>> {
    let manifest: Table = "
        [dependencies]
        one = '1'
        renamed = { package = 'two', version = '1' }
        [build-dependencies]
        three = '1'
        [target.'cfg(unix)'.dependencies]
        four = '1'
        [dev-dependencies]
        not = '1'
    "
    .parse()?;
    let mut names = dependencies(&manifest);
    names.sort();
    assert_eq!(names, ["four", "one", "three", "two"]);
    Ok(())
}

/// The crates of the table, none naming another, but for this one.
fn with(name: &str, dependencies: &[&str]) -> Crates {
    let mut crates: Crates =
        ARROWS.iter().map(|(name, _)| ((*name).to_owned(), Vec::new())).collect();
    crates.insert(name.to_owned(), dependencies.iter().map(ToString::to_string).collect());
    crates
}

/// Every way in which these crates go against the tables, a sentence each.
fn judge(crates: &Crates, tools: &[String]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, dependencies) in crates {
        let Some((_, allowed)) = ARROWS.iter().find(|(row, _)| row == name) else {
            wrong.push(format!(
                "{name} has no row in tests/layering.rs: say there what it may name"
            ));
            continue;
        };
        for dependency in dependencies {
            wrong.extend(judge_arrow(name, dependency, allowed, crates, tools));
        }
    }
    for (row, _) in ARROWS {
        if !crates.contains_key(*row) {
            wrong.push(format!(
                "{row} has a row in tests/layering.rs and is no crate: remove the row"
            ));
        }
    }
    wrong
}

fn judge_arrow(
    name: &str,
    dependency: &String,
    allowed: &[&str],
    crates: &Crates,
    tools: &[String],
) -> Option<String> {
    if tools.contains(dependency) {
        return Some(format!("{name} names {dependency} of tools/: only tests and xtask may"));
    }
    if crates.contains_key(dependency) && !allowed.contains(&dependency.as_str()) {
        return Some(format!(
            "{name} names {dependency}: no such arrow is allowed in tests/layering.rs"
        ));
    }
    let (_, owners) = OWNED.iter().find(|(owned, _)| owned == dependency)?;
    let only = owners.join(" and ");
    (!owners.contains(&name)).then(|| format!("{name} names {dependency}, which only {only} may"))
}

fn crates() -> Result<Crates, Box<dyn Error>> {
    let mut crates = Crates::new();
    let manifests = folders("src")?.into_iter().map(|folder| folder.join("Cargo.toml"));
    for path in manifests.chain([root().join("Cargo.toml")]).filter(|path| path.is_file()) {
        let (name, manifest) = read(&path)?;
        crates.insert(name, dependencies(&manifest));
    }
    Ok(crates)
}

fn tools() -> Result<Vec<String>, Box<dyn Error>> {
    let manifests = folders("tools")?.into_iter().map(|folder| folder.join("Cargo.toml"));
    manifests.map(|path| Ok(read(&path)?.0)).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn folders(inside: &str) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let entries = fs::read_dir(root().join(inside))?.collect::<Result<Vec<_>, _>>()?;
    Ok(entries.into_iter().map(|entry| entry.path()).filter(|path| path.is_dir()).collect())
}

fn read(path: &Path) -> Result<(String, Table), Box<dyn Error>> {
    let manifest: Table = fs::read_to_string(path)?.parse()?;
    let name = manifest
        .get("package")
        .and_then(|package| package.get("name"))
        .and_then(toml::Value::as_str)
        .ok_or_else(|| format!("{} has no package name", path.display()))?;
    Ok((name.to_owned(), manifest))
}

/// What a crate is built from: normal and build dependencies, for every platform, by the name of
/// the package.
fn dependencies(manifest: &Table) -> Vec<String> {
    let platforms = manifest.get("target").and_then(toml::Value::as_table);
    let platforms = platforms.into_iter().flat_map(Table::values);
    let tables =
        std::iter::once(manifest).chain(platforms.filter_map(toml::Value::as_table)).flat_map(
            |table| ["dependencies", "build-dependencies"].map(|kind| table.get(kind)?.as_table()),
        );
    tables
        .flatten()
        .flat_map(|table| {
            table.iter().map(|(name, value)| {
                let package = value.get("package").and_then(toml::Value::as_str);
                package.unwrap_or(name).to_owned()
            })
        })
        .collect()
}
