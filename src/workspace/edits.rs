//! What the user changed, told: the files that differ between two checkpoints between which nobody
//! else was at work.
//!
//! Git's own folder, what git ignores, what checkpoints leave out and what is hidden from the agent
//! are no edits: there lie build outputs, caches and secrets. Few changes are told with their
//! differences, many by name, and very many by their number.

use std::fmt::Write;
use std::path::PathBuf;

use trajectory::event::{ChangeKind, FileChange, UserEdit};

use crate::diff::{Change, diff, file_changes};
use crate::error::Error;
use crate::ignored::Ignored;
use crate::manifest::Manifest;
use crate::place::Workspace;
use crate::plan::LeftOut;

/// As many files are told with what changed in them.
const WITH_DIFF_MAX: usize = 20;
/// As many are on record; the rest is counted.
const LISTED_MAX: usize = 200;
/// As many are named to the model.
const NAMED_MAX: usize = 50;
/// What the model is shown of differences, bytes.
const SHOWN_BYTES_MAX: usize = 16 << 10;

impl Workspace {
    /// What the user changed between two checkpoints; none when that is nothing. Of what lies at or
    /// in a `hidden` path nothing is told: absolute paths without links, as a policy has them.
    ///
    /// # Errors
    /// When a part of either is missing from the store, or damaged.
    pub fn user_edit(
        &self,
        from: &Manifest,
        to: &Manifest,
        hidden: &[PathBuf],
    ) -> Result<Option<UserEdit>, Error> {
        let changes = self.edited_by_hand(from, to, hidden)?;
        let count = changes.len();
        if count == 0 {
            return Ok(None);
        }
        let mut listed = changes;
        listed.truncate(LISTED_MAX);
        let with_diff = if count <= WITH_DIFF_MAX { listed.len() } else { 0 };
        let (near, far) = listed.split_at(with_diff);
        let mut changes = file_changes(&self.store, near)?;
        changes.extend(far.iter().map(|change| FileChange {
            path: change.path.to_string_lossy().into_owned(),
            change: change.kind(),
            diff: None,
        }));
        let shown = shown(&changes, count);
        let more = count.saturating_sub(changes.len()) as u64;
        Ok(Some(UserEdit { changes, more, shown }))
    }

    fn edited_by_hand(
        &self,
        from: &Manifest,
        to: &Manifest,
        hidden: &[PathBuf],
    ) -> Result<Vec<Change>, Error> {
        let mut changes = diff(&self.store, from, to)?;
        if changes.is_empty() {
            return Ok(changes);
        }
        let left_out = LeftOut::of(&[from, to]);
        let mut ignored = Ignored::of(&self.root);
        let is_hidden = |path: &PathBuf| {
            let path = self.root.join(path);
            hidden.iter().any(|hidden| path.starts_with(hidden))
        };
        changes.retain(|change| {
            // Its files are changes of their own; an empty one is nothing to tell.
            !change.is_folder()
                && !change.path.iter().any(|name| name == ".git")
                && !is_hidden(&change.path)
                && !left_out.covers(&change.path)
                && !ignored.covers(&change.path, false)
        });
        Ok(changes)
    }
}

/// What the model is shown.
fn shown(changes: &[FileChange], count: usize) -> String {
    let mut shown = match count {
        1 => "The user changed a file of the workspace:".to_owned(),
        count => format!("The user changed {count} files of the workspace:"),
    };
    let mut room = SHOWN_BYTES_MAX;
    for change in changes.iter().take(NAMED_MAX) {
        let word = match change.change {
            ChangeKind::Created => "created",
            ChangeKind::Modified => "modified",
            ChangeKind::Deleted => "deleted",
        };
        // Writing to a string cannot fail.
        let path = change.path.replace(char::is_control, "?");
        let _ = write!(shown, "\n- {path} ({word})");
        // What is gone is known by its name.
        let diff = change.diff.as_ref().filter(|_| change.change != ChangeKind::Deleted);
        if let Some(diff) = diff.filter(|diff| diff.len() <= room) {
            room -= diff.len();
            let _ = write!(shown, "\n```diff\n{}\n```", diff.trim_end());
        }
    }
    if let Some(more) = count.checked_sub(NAMED_MAX).filter(|more| *more > 0) {
        let _ = write!(shown, "\n- and {more} more");
    }
    shown
}

#[cfg(test)]
mod tests;
