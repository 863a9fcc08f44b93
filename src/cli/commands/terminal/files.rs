//! Paths of the workspace, for `@`.
//!
//! The names are read when somebody first asks, honouring `.gitignore`; from then on the folder is
//! watched, and they are read again when something has changed and somebody asks. Where it cannot be
//! watched they are read again when they are older than a few seconds. Only names are read, nothing
//! is opened.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ignore::WalkBuilder;
use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher};
use tokio::sync::mpsc::Sender;
use tui::{Answer, Update};
use workspace::{Policy, Watch, Workspace};

/// Names that are kept.
const NAMES_MAX: usize = 50_000;

/// Names that are shown.
const SHOWN_MAX: usize = 10;

/// How old names may be where nothing tells of changes.
const AGE_MAX: Duration = Duration::from_secs(5);

/// The names, when they were read, and what tells that they are no longer right.
struct Known {
    names: Arc<Vec<String>>,
    read: Instant,
    watch: Option<Watch>,
}

impl Known {
    fn is_fresh(&self) -> bool {
        match self.watch.as_ref().filter(|watch| watch.blindness().is_none()) {
            Some(watch) => !watch.has_seen(),
            None => self.read.elapsed() < AGE_MAX,
        }
    }
}

/// The names of a folder.
pub(super) struct Files {
    root: PathBuf,
    /// limn's data folder, beside which a watch keeps its own files.
    data: PathBuf,
    known: Arc<Mutex<Option<Known>>>,
}

impl Files {
    pub(super) fn of(root: PathBuf, data: PathBuf) -> Self {
        Self { root, data, known: Arc::default() }
    }

    /// Looks for what fits, beside whatever else goes on, and tells the terminal.
    pub(super) fn answer(&self, wanted: String, updates: Sender<Update>) {
        let (root, data) = (self.root.clone(), self.data.clone());
        let known = Arc::clone(&self.known);
        tokio::task::spawn_blocking(move || {
            let names = names(&root, &data, &known);
            let answer = Answer::Files(wanted.clone(), best(&wanted, &names));
            // Without a terminal nobody asks any more.
            let _ = updates.blocking_send(Update::Answer(answer));
        });
    }
}

fn names(root: &Path, data: &Path, known: &Mutex<Option<Known>>) -> Arc<Vec<String>> {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = known.as_ref().filter(|known| known.is_fresh()) {
        return Arc::clone(&known.names);
    }
    let watch = match known.take() {
        Some(known) => known.watch,
        // A folder that cannot be watched is read again and again.
        None => Workspace::open(root, data, Policy::default(), false)
            .and_then(|workspace| Watch::begin(&workspace))
            .ok(),
    };
    // What changes while the names are read makes them old at once.
    watch.iter().for_each(Watch::forget);
    let names = Arc::new(read(root));
    *known = Some(Known { names: Arc::clone(&names), read: Instant::now(), watch });
    names
}

fn read(root: &Path) -> Vec<String> {
    let walk = WalkBuilder::new(root)
        .require_git(false)
        .hidden(false)
        .filter_entry(|entry| entry.file_name() != ".git")
        .build();
    let files = walk.flatten().filter(|entry| entry.file_type().is_some_and(|kind| !kind.is_dir()));
    let names =
        files.filter_map(|entry| Some(entry.path().strip_prefix(root).ok()?.to_str()?.to_owned()));
    names.take(NAMES_MAX).collect()
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
