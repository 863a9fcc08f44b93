//! `cargo xtask tidy`: the limits of docs/STYLE.md, read off the files themselves.
//!
//! It looks at every file that git tracks or would track. Limits only ever tighten: what is over
//! one needs a line in [`EXCEPTIONS`], and that line has to go when it is no longer needed.
//! What clippy and rustfmt check is left to them.

mod files;
mod journeys;
mod licences;
mod manifests;
mod rust;
mod text;

#[cfg(test)]
mod tests;

use anyhow::{Result, bail};

use crate::Usage;
use crate::process::root;

pub(crate) const HELP: &str = "\
Usage: cargo xtask tidy

Checks the limits of docs/STYLE.md on all files that git knows or would add: lengths of functions
and files, fields and variants, module docs, where `unsafe` may stand, loose ends, white space,
words that do not belong here, the stories that docs/journeys.md names, manifests, and the licences
of all crates against deny.toml.
Prints file:line, the rule and the remedy for each finding.";

/// Something that is over a limit for a reason.
///
/// Add a line when splitting now would do harm, with the reason; `allowed` is what it measures
/// today, not more. A file may be allowed 800 lines at the most. When the thing has become smaller,
/// tidy asks for the line to be tightened or removed.
struct Exception {
    path: &'static str,
    rule: &'static str,
    allowed: usize,
    #[allow(dead_code, reason = "for the reader")]
    reason: &'static str,
}

const EXCEPTIONS: &[Exception] = &[Exception {
    path: "src/cli/settings/file.rs",
    rule: "struct-fields",
    allowed: 24,
    reason: "A field for each key of the settings file: serde names an unknown key with its line \
             only where all keys are in one struct.",
}];

/// No exception reaches beyond this many lines.
const FILE_LINES_EVER: usize = 800;

/// A place that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    line: usize,
    rule: &'static str,
    /// What is wrong, as a sentence.
    what: String,
    remedy: &'static str,
    /// How much it is, where the rule is a number.
    measured: Option<usize>,
}

impl Finding {
    fn new(path: &str, line: usize, rule: &'static str, what: String) -> Self {
        Self { path: path.to_owned(), line, rule, what, remedy: "", measured: None }
    }

    fn remedy(self, remedy: &'static str) -> Self {
        Self { remedy, ..self }
    }

    fn measured(self, measured: usize) -> Self {
        Self { measured: Some(measured), ..self }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, line, rule, what, remedy, .. } = self;
        write!(formatter, "{path}:{line}: {rule}: {what}\n    {remedy}")
    }
}

pub(crate) fn run(args: &[String]) -> Result<()> {
    if let Some(arg) = args.first() {
        return Err(Usage(format!("tidy takes no `{arg}`; see cargo xtask tidy --help")).into());
    }
    let files = files::list(&root())?;
    let mut findings = text::check(&files);
    findings.extend(rust::check(&files));
    findings.extend(journeys::check(&files));
    findings.extend(manifests::check(&files)?);
    findings.extend(licences::check(&files)?);
    let mut findings = except(findings, EXCEPTIONS);
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => println!("tidy: {} files, nothing to say", files.len()),
        count => bail!("tidy: {count} findings in {} files", files.len()),
    }
    Ok(())
}

/// Takes out what an exception covers, and adds the exceptions that cover too much.
fn except(findings: Vec<Finding>, exceptions: &[Exception]) -> Vec<Finding> {
    let over = |finding: &Finding, exception: &Exception| {
        let ever = if exception.rule == rust::FILE_LINES { FILE_LINES_EVER } else { usize::MAX };
        finding.measured.is_none_or(|measured| measured > exception.allowed.min(ever))
    };
    let about = |finding: &Finding, exception: &Exception| {
        finding.path == exception.path && finding.rule == exception.rule
    };
    let mut left: Vec<Finding> = findings
        .iter()
        .filter(|finding| !exceptions.iter().any(|it| about(finding, it) && !over(finding, it)))
        .cloned()
        .collect();
    for exception in exceptions {
        let most = findings
            .iter()
            .filter(|finding| about(finding, exception))
            .filter_map(|finding| finding.measured)
            .max();
        if most.is_none_or(|most| most < exception.allowed) {
            let what = format!(
                "the exception for `{}` allows {} where {} is measured",
                exception.rule,
                exception.allowed,
                most.map_or_else(|| "nothing over the limit".to_owned(), |most| most.to_string()),
            );
            left.push(
                Finding::new(exception.path, 1, "exception", what)
                    .remedy("Tighten or remove its line in tools/xtask/tidy.rs."),
            );
        }
    }
    left
}
