//! Paths of the workspace, for `@`.
//!
//! The names are read when somebody first asks, honouring `.gitignore`, and again when they are
//! older than a few seconds and are asked for. Only names are read, nothing is opened.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ignore::WalkBuilder;
use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher};
use tokio::sync::mpsc::Sender;
use tui::{Answer, Update};

/// Names that are kept.
const NAMES_MAX: usize = 50_000;

/// Names that are shown.
const SHOWN_MAX: usize = 10;

/// How old names may be.
const AGE_MAX: Duration = Duration::from_secs(5);

/// The names, and when they were read.
type Known = Arc<Mutex<Option<(Instant, Arc<Vec<String>>)>>>;

/// The names of a folder.
pub(super) struct Files {
    root: PathBuf,
    known: Known,
}

impl Files {
    pub(super) fn of(root: PathBuf) -> Self {
        Self { root, known: Known::default() }
    }

    /// Looks for what fits, beside whatever else goes on, and tells the terminal.
    pub(super) fn answer(&self, wanted: String, updates: Sender<Update>) {
        let (root, known) = (self.root.clone(), Arc::clone(&self.known));
        tokio::task::spawn_blocking(move || {
            let names = names(&root, &known);
            let answer = Answer::Files(wanted.clone(), best(&wanted, &names));
            // Without a terminal nobody asks any more.
            let _ = updates.blocking_send(Update::Answer(answer));
        });
    }
}

fn names(root: &Path, known: &Known) -> Arc<Vec<String>> {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((read, names)) = known.as_ref()
        && read.elapsed() < AGE_MAX
    {
        return Arc::clone(names);
    }
    let walk = WalkBuilder::new(root)
        .require_git(false)
        .hidden(false)
        .filter_entry(|entry| entry.file_name() != ".git")
        .build();
    let files = walk.flatten().filter(|entry| entry.file_type().is_some_and(|kind| !kind.is_dir()));
    let names =
        files.filter_map(|entry| Some(entry.path().strip_prefix(root).ok()?.to_str()?.to_owned()));
    let names = Arc::new(names.take(NAMES_MAX).collect::<Vec<_>>());
    *known = Some((Instant::now(), Arc::clone(&names)));
    names
}

/// The names that look most like what is wanted.
fn best(wanted: &str, names: &[String]) -> Vec<String> {
    if wanted.is_empty() {
        return names.iter().take(SHOWN_MAX).cloned().collect();
    }
    let mut matcher = Matcher::new(Config::DEFAULT.match_paths());
    let pattern = Pattern::parse(wanted, CaseMatching::Smart, Normalization::Smart);
    let found = pattern.match_list(names, &mut matcher);
    found.into_iter().take(SHOWN_MAX).map(|(name, _)| name.clone()).collect()
}
