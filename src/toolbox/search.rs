//! A search below a folder of the workspace: what `glob` and `grep` have in common, and the
//! sentences about what was looked at.

use rustix::io::Errno;
use tokio_util::sync::CancellationToken;

use crate::answer::{Failure, count};
use crate::beneath::Workspace;
use crate::path::Relative;
use crate::pattern::Pattern;
use crate::protected::Refusal;
use crate::suggest;
use crate::walk::{Found, Seen, walk};

/// Where is searched, and in which files.
pub(crate) struct Search<'a> {
    pub(crate) workspace: &'a Workspace,
    pub(crate) start: Relative,
    /// The files that count; all, where there is no pattern.
    wanted: Option<Pattern>,
    pub(crate) cancel: &'a CancellationToken,
}

impl<'a> Search<'a> {
    /// A search below `path`, or the whole workspace, in files whose names match `pattern`.
    ///
    /// # Errors
    /// A sentence for the model about the path or the pattern.
    pub(crate) fn new(
        workspace: &'a Workspace,
        path: Option<&str>,
        pattern: Option<&str>,
        cancel: &'a CancellationToken,
    ) -> Result<Self, String> {
        let start = Relative::parse(path.unwrap_or("."), workspace)?;
        let wanted = pattern.map(|pattern| Pattern::parse(pattern, workspace)).transpose()?;
        Ok(Self { workspace, start, wanted, cancel })
    }

    /// Walks; `visit` is called for each file that counts, with the state of its thread.
    ///
    /// # Errors
    /// As [`walk`]; [`unwalked`] says it to the model.
    pub(crate) fn walk<S>(
        &self,
        state: impl Fn() -> S + Sync,
        visit: impl Fn(&mut S, Found<'_>) + Sync,
    ) -> Result<Seen, Refusal> {
        let start = self.start.as_path();
        walk(self.workspace, start, self.cancel, state, |state, found| {
            if self.wanted.as_ref().is_none_or(|wanted| wanted.is_match(&found.path, start)) {
                visit(state, found);
            }
        })
    }

    /// Why the walk did not take place.
    pub(crate) fn unwalked(&self, refusal: Refusal) -> Failure {
        unwalked(self.workspace, &self.start, refusal)
    }
}

/// What was looked at, when nothing was found: enough to see why.
pub(crate) fn looked_at(seen: Seen) -> String {
    let mut parts = vec![format!("{} looked at", count_of(seen.files, "file"))];
    if seen.ignored > 0 {
        parts.push(format!("{} ignored by .gitignore", count_of(seen.ignored, "entry")));
    }
    if seen.unread > 0 {
        parts.push(format!("{} not readable", count_of(seen.unread, "directory")));
    }
    if seen.is_cut {
        parts.push("stopped early: too much to look at".to_owned());
    }
    parts.join(", ")
}

/// That a search did not look at everything, when that is so.
pub(crate) fn cut(seen: Seen) -> Option<String> {
    let files = count_of(seen.files, "file");
    let cut = format!("[stopped after {files}: too much to look at; narrow it with path]\n");
    seen.is_cut.then_some(cut)
}

fn count_of(number: u64, noun: &str) -> String {
    match noun {
        "entry" if number != 1 => format!("{number} entries"),
        "directory" if number != 1 => format!("{number} directories"),
        noun => count(usize::try_from(number).unwrap_or(usize::MAX), noun),
    }
}

/// Why a folder could not be walked.
pub(crate) fn unwalked(workspace: &Workspace, path: &Relative, refusal: Refusal) -> Failure {
    match refusal {
        Refusal::Denied(rule) => Failure::Denied(rule.explain(path)),
        Refusal::System(Errno::CANCELED) => {
            Failure::Cancelled("Cancelled while searching.".to_owned())
        }
        Refusal::System(Errno::NOENT) => Failure::Error(suggest::missing(workspace, path)),
        Refusal::System(Errno::NOTDIR) => {
            Failure::Error(format!("{path} is not a directory; use read."))
        }
        Refusal::System(error) => Failure::Error(path.explain(error)),
    }
}
