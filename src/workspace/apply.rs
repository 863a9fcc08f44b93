//! The steps of a restore, in their order: what goes, what comes, the modes, the disk.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use blob::Hash;

use crate::diff::Change;
use crate::error::Error;
use crate::hands::Hands;
use crate::manifest::Manifest;
use crate::node::{Entry, Kind};
use crate::restore::{Left, Why};

/// Verified content that waits to be written.
pub(crate) type Cache = HashMap<Hash, Vec<u8>>;

/// How what is there is compared with what should be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// By the times of a checkpoint that was just taken.
    Times,
    /// By content: part of it may be done.
    Content,
}

/// Makes the changes. Returns what is not as it was expected, and was left alone.
pub(crate) fn apply(
    hands: &mut Hands<'_>,
    changes: &[Change],
    cache: &Cache,
    check: Check,
) -> Result<Vec<Left>, Error> {
    let mut alone: BTreeMap<&Path, Why> = BTreeMap::new();
    for change in changes.iter().rev() {
        take_away(hands, change, check, &mut alone)?;
    }
    for change in changes {
        put(hands, change, cache, check, &mut alone)?;
    }
    for change in changes.iter().rev() {
        if let Some(after) = change.after.as_ref().filter(|after| after.is_folder())
            && !alone.contains_key(change.path.as_path())
        {
            hands.set_mode(&change.path, after.mode)?;
        }
    }
    Ok(alone.into_iter().map(|(path, why)| Left { path: path.to_owned(), why }).collect())
}

/// Removes what is gone, and what is in the way of something of another kind.
fn take_away<'a>(
    hands: &mut Hands<'_>,
    change: &'a Change,
    check: Check,
    alone: &mut BTreeMap<&'a Path, Why>,
) -> Result<(), Error> {
    let Change { path, before, after } = change;
    let Some(before) = before else { return Ok(()) };
    let will_be_folder = after.as_ref().map(Entry::is_folder);
    if will_be_folder == Some(before.is_folder()) {
        return Ok(());
    }
    // Who died over it may have got that far.
    if will_be_folder == Some(true) && hands.is_folder(path)? {
        return Ok(());
    }
    if !is_as_expected(hands, change, check)? {
        alone.insert(path, Why::Meanwhile);
    } else if !hands.remove(path, before.is_folder())? {
        alone.insert(path, Why::NotEmpty);
    }
    Ok(())
}

/// Puts something in its place.
fn put<'a>(
    hands: &mut Hands<'_>,
    change: &'a Change,
    cache: &Cache,
    check: Check,
    alone: &mut BTreeMap<&'a Path, Why>,
) -> Result<(), Error> {
    let Change { path, before, after } = change;
    let Some(after) = after else { return Ok(()) };
    if alone.contains_key(path.as_path()) {
        return Ok(());
    }
    let has_no_place = path.ancestors().skip(1).any(|above| alone.contains_key(above));
    let in_place = before.as_ref().is_none_or(|it| it.is_folder() == after.is_folder());
    if has_no_place || (in_place && !is_as_expected(hands, change, check)?) {
        alone.insert(path, Why::Meanwhile);
        return Ok(());
    }
    match (&after.kind, before.as_ref().map(|before| &before.kind)) {
        (Kind::Folder { .. }, _) => hands.make_folder(path),
        (kind, Some(before)) if kind == before => hands.set_mode(path, after.mode),
        (Kind::Link { target }, _) => hands.make_link(path, target),
        (Kind::File { hash, .. }, _) => {
            hands.make_file(path, after, cache.get(hash).map(Vec::as_slice))
        }
    }
}

/// Whether what lies there is what is to be replaced. A folder is as good as any other.
fn is_as_expected(hands: &Hands<'_>, change: &Change, check: Check) -> Result<bool, Error> {
    let Change { path, before, after } = change;
    let is_folder = |entry: &Option<Entry>| entry.as_ref().is_some_and(Entry::is_folder);
    if is_folder(before) || (before.is_none() && is_folder(after)) {
        return Ok(hands.is_folder(path)? || hands.look(path)?.is_none());
    }
    match check {
        Check::Times => hands.seems(path, before.as_ref()),
        // It may have been taken away already to make room.
        Check::Content => Ok(hands.is(path, before.as_ref())?
            || (before.is_some() && after.is_some() && hands.look(path)?.is_none())),
    }
}

/// The last steps: modes, and the disk.
pub(crate) fn finish(
    hands: &mut Hands<'_>,
    from: &Manifest,
    to: &Manifest,
    changes: &[Change],
) -> Result<(), Error> {
    hands.close_folders()?;
    if from.mode != to.mode {
        hands.set_mode(Path::new(""), to.mode)?;
    }
    let folders: HashSet<&Path> =
        changes.iter().filter_map(|change| change.path.parent()).collect();
    for folder in folders {
        hands.sync_folder(folder);
    }
    Ok(())
}
