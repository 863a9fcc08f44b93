//! Edits as models get them wrong, and what must come of each.
//!
//! The cases are data: `corpus/*.toml`, one file for each kind of mistake. A case says what the
//! file is afterwards, or what the refusal says. `cargo test -p toolbox corpus -- --nocapture`
//! prints how many are healed, beside what exact matching alone would do.

use serde::Deserialize;

use crate::tests::Bench;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Corpus {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    path: String,
    before: String,
    old: String,
    new: String,
    #[serde(default)]
    all: bool,
    after: Option<String>,
    refused: Option<String>,
}

const KINDS: &[(&str, &str)] = &[
    ("indentation", include_str!("corpus/indentation.toml")),
    ("white space", include_str!("corpus/white_space.toml")),
    ("line ends", include_str!("corpus/line_ends.toml")),
    ("unicode", include_str!("corpus/unicode.toml")),
    ("escapes", include_str!("corpus/escapes.toml")),
    ("line numbers", include_str!("corpus/numbers.toml")),
    ("stale", include_str!("corpus/stale.toml")),
    ("ambiguous", include_str!("corpus/ambiguous.toml")),
    ("elisions", include_str!("corpus/elisions.toml")),
    ("several regions", include_str!("corpus/regions.toml")),
    ("different code", include_str!("corpus/different.toml")),
];

#[derive(Default)]
struct Score {
    /// Edits whose meaning is sure.
    meant: usize,
    healed: usize,
    by_exact_match: usize,
    /// Edits that must be refused.
    open: usize,
    refused: usize,
    refused_by_exact_match: usize,
}

#[test]
fn each_edit_of_the_corpus_comes_out_as_it_must() {
    let mut wrong = Vec::new();
    let mut whole = Score::default();
    println!("{:<16} {:>12} {:>12} {:>16}", "", "healed", "exact only", "rightly refused");
    for (kind, text) in KINDS {
        let corpus: Corpus = toml::from_str(text).unwrap_or_else(|error| panic!("{kind}: {error}"));
        let mut score = Score::default();
        for case in &corpus.case {
            if let Err(told) = judge(case, &mut score) {
                wrong.push(format!("{kind}: {}: {told}", case.name));
            }
        }
        score.print(kind);
        whole.add(&score);
    }
    whole.print("in all");
    println!(
        "without healing {} of {} would be refused as well",
        whole.refused_by_exact_match, whole.open
    );
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(whole.meant + whole.open >= 80);
}

impl Score {
    fn add(&mut self, other: &Self) {
        self.meant += other.meant;
        self.healed += other.healed;
        self.by_exact_match += other.by_exact_match;
        self.open += other.open;
        self.refused += other.refused;
        self.refused_by_exact_match += other.refused_by_exact_match;
    }

    fn print(&self, kind: &str) {
        let of = |part: usize, all: usize| format!("{part}/{all}");
        println!(
            "{kind:<16} {:>12} {:>12} {:>16}",
            of(self.healed, self.meant),
            of(self.by_exact_match, self.meant),
            of(self.refused, self.open)
        );
    }
}

fn judge(case: &Case, score: &mut Score) -> Result<(), String> {
    let bench = Bench::new();
    bench.put(&case.path, &case.before);
    let arguments = serde_json::json!({
        "file_path": case.path,
        "old_string": case.old,
        "new_string": case.new,
        "replace_all": case.all,
    });
    let outcome = bench.run("edit", &arguments);
    let is_ok = outcome.status == trajectory::event::CallStatus::Ok;
    let now = bench.get(&case.path);
    let exactly = exactly(case);
    match (&case.after, &case.refused) {
        (Some(after), None) => {
            score.meant += 1;
            score.by_exact_match += usize::from(exactly.as_deref() == Some(after));
            if !is_ok {
                return Err(format!("was refused: {}", outcome.shown));
            }
            if now != *after {
                return Err(format!("became\n{now:?}, not\n{after:?} ({})", outcome.shown));
            }
            score.healed += 1;
        }
        (None, Some(refused)) => {
            score.open += 1;
            score.refused_by_exact_match += usize::from(exactly.is_none());
            if is_ok {
                return Err(format!("was not refused: {}\n{now}", outcome.shown));
            }
            if !outcome.shown.contains(refused.as_str()) {
                return Err(format!("was refused with {:?}, not {refused:?}", outcome.shown));
            }
            if now != case.before {
                return Err("was refused, and the file changed".to_owned());
            }
            score.refused += 1;
        }
        _ => return Err("says neither or both of `after` and `refused`".to_owned()),
    }
    Ok(())
}

/// The file after an edit that forgives nothing.
fn exactly(case: &Case) -> Option<String> {
    match (case.before.matches(&case.old).count(), case.all) {
        (0, _) => None,
        (1, _) | (_, true) => Some(case.before.replace(&case.old, &case.new)),
        _ => None,
    }
}
