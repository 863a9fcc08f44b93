//! Rules that need no grammar: white space, folders, and words that do not belong here.

use super::Finding;
use super::files::File;

/// Recorded and copied material keeps its own white space.
const MATERIAL: &[&str] = &["recordings/", "assets/"];

/// Something that may not stand in any file.
struct Forbidden {
    word: String,
    what: &'static str,
    remedy: &'static str,
}

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let forbidden = forbidden();
    files.iter().flat_map(|file| check_file(file, &forbidden)).collect()
}

fn check_file(file: &File, forbidden: &[Forbidden]) -> Vec<Finding> {
    let mut findings = words(file, forbidden);
    if file.path.starts_with("src/") && file.path.contains("/tests/") {
        let what = "tests of a crate are not in a folder `tests/`".to_owned();
        findings.push(
            Finding::new(&file.path, 1, "tests-folder", what)
                .remedy("Put them in tests.rs beside the module, or in `part/tests.rs`."),
        );
    }
    let material = MATERIAL.iter().any(|folder| file.path.starts_with(folder));
    let styled = file.has_extension(&["rs", "toml", "md", "sh"]) || file.path.starts_with(".ci/");
    if styled && !material {
        findings.extend(white_space(file));
    }
    findings
}

fn white_space(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |line: usize, what: &str, remedy| {
        let finding = Finding::new(&file.path, line, "white-space", what.to_owned());
        findings.push(finding.remedy(remedy));
    };
    for (at, line) in file.text.split('\n').enumerate() {
        if line.ends_with(char::is_whitespace) {
            add(at + 1, "there is white space at the end of the line", "Remove it.");
        }
        if line.contains('\t') {
            add(at + 1, "there is a tab", "Use spaces, and the escape \\t inside strings.");
        }
    }
    if !file.text.is_empty() && (!file.text.ends_with('\n') || file.text.ends_with("\n\n")) {
        let last = file.text.lines().count().max(1);
        add(last, "the file does not end with one newline", "End it with exactly one.");
    }
    findings
}

fn words(file: &File, forbidden: &[Forbidden]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, line) in file.text.lines().enumerate() {
        if file.name() == "Cargo.lock" && line.starts_with("source = \"registry+") {
            continue;
        }
        for rule in forbidden {
            if stands_alone(line, &rule.word) {
                let what = format!("`{}` is {}", rule.word, rule.what);
                let finding = Finding::new(&file.path, at + 1, "forbidden-word", what);
                findings.push(finding.remedy(rule.remedy));
            }
        }
    }
    findings
}

/// Whether the word is there. A path has to begin there too: `/a/` is not in `docs/a/b`.
fn stands_alone(line: &str, word: &str) -> bool {
    let continues = |it: char| it.is_alphanumeric() || "_-.~}".contains(it);
    line.match_indices(word)
        .any(|(at, _)| !word.starts_with('/') || !line[..at].ends_with(continues))
}

/// Written in pieces, so that this file does not break its own rule.
fn forbidden() -> Vec<Forbidden> {
    let path = |name: &str| Forbidden {
        word: format!("/{name}/"),
        what: "an absolute path of one machine",
        remedy: "Use a path from the root of the repository, or a temporary folder.",
    };
    let host = |name: &str, end: &str| Forbidden {
        word: format!("{name}.{end}"),
        what: "the host of a package registry",
        remedy: "Name the package only; where it comes from is the machine's configuration.",
    };
    vec![
        path("work"),
        path("root"),
        host("crates", "io"),
        host("pypi", "org"),
        host("pythonhosted", "org"),
        host("npmjs", "org"),
        host("npmjs", "com"),
        host("deb.debian", "org"),
        host("archive.ubuntu", "com"),
        host("proxy.golang", "org"),
    ]
}
