//! docs/journeys.md names stories; each has to be one that runs.

use super::Finding;
use super::files::File;

const LIST: &str = "docs/journeys.md";

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let Some(list) = files.iter().find(|file| file.path == LIST) else { return Vec::new() };
    let stories = files.iter().filter(|file| file.path.starts_with("tests/scenarios/"));
    let stories: Vec<&str> = stories.map(|file| file.text.as_str()).collect();
    let is_there = |name: &str| {
        let head = format!("fn {name}(");
        stories.iter().any(|text| text.contains(&head))
    };
    let mut findings = Vec::new();
    for (at, line) in list.text.lines().enumerate() {
        // The last column of a row; `|` at its end leaves an empty piece behind.
        let Some(column) = line.rsplit('|').nth(1) else { continue };
        for name in column.split('`').skip(1).step_by(2).filter(|name| !is_there(name)) {
            let what = format!("there is no story `{name}` in tests/scenarios");
            findings.push(
                Finding::new(LIST, at + 1, "journey", what)
                    .remedy("Name the story that goes through it now, or write one."),
            );
        }
    }
    findings
}
