//! What of the differences a restore makes up for, and what it leaves alone.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::diff::{Change, is_git_object};
use crate::manifest::Manifest;
use crate::node::Entry;
use crate::restore::{Left, Why};

/// Paths that a checkpoint knows nothing of.
pub(crate) struct LeftOut(HashSet<PathBuf>);

impl LeftOut {
    pub(crate) fn of(manifests: &[&Manifest]) -> Self {
        let skipped = manifests.iter().flat_map(|manifest| &manifest.skipped);
        Self(
            skipped
                .filter(|skipped| skipped.reason.is_left_out())
                .map(|skipped| skipped.path.clone())
                .collect(),
        )
    }

    pub(crate) fn covers(&self, path: &Path) -> bool {
        !self.0.is_empty() && path.ancestors().any(|above| self.0.contains(above))
    }

    fn lies_below(&self, path: &Path) -> bool {
        self.0.iter().any(|left| left.starts_with(path))
    }
}

/// What of the differences is to be done, and what is left alone.
pub(crate) fn plan(
    all: Vec<Change>,
    before: &Manifest,
    target: &Manifest,
    kept: &[Change],
) -> (Vec<Change>, Vec<Left>) {
    let left_out = LeftOut::of(&[before, target]);
    // What is not listed cannot be told from what is to be deleted.
    let is_cut = target.skipped_more > 0;
    let edited: HashMap<&Path, &Change> =
        kept.iter().map(|change| (change.path.as_path(), change)).collect();
    let mut left: Vec<Left> = Vec::new();
    let mut changes = Vec::new();
    for change in all {
        let path = change.path.as_path();
        if change.after.is_none() && is_git_object(path) {
            continue;
        }
        let folder_goes = change.before.as_ref().is_some_and(Entry::is_folder)
            && change.after.as_ref().is_some_and(|after| !after.is_folder());
        let is_left_out = left_out.covers(path)
            || (is_cut && change.after.is_none())
            || (folder_goes && left_out.lies_below(path));
        let above_gone = |path: &Path| {
            edited.get(path).is_some_and(|edit| !edit.after.as_ref().is_some_and(Entry::is_folder))
        };
        let is_edited = !edited.is_empty()
            && (edited.contains_key(path)
                || path.ancestors().skip(1).any(above_gone)
                || (folder_goes && edited.keys().any(|edit| edit.starts_with(path))));
        // What lies in a place that is left alone has none.
        let has_no_place = path
            .ancestors()
            .skip(1)
            .any(|above| left.iter().any(|left| left.path == above && change.after.is_some()));
        if is_edited {
            left.push(Left { path: change.path, why: Why::Edited });
        } else if is_left_out || has_no_place {
            left.push(Left { path: change.path, why: Why::LeftOut });
        } else {
            changes.push(change);
        }
    }
    (changes, left)
}
