//! The files of a patch: changed in memory first, then on disk, all or none.
//!
//! Nothing is written before every hunk has found its place, every path is allowed and every new
//! content lies on the disk under no name. Then the names change one after the other; when one
//! does not, those before it get back what they were. Folders that were made go again.
//!
//! Absent: a crash between two names. The observation of the call is missing then, and the next
//! look at the files shows which have changed.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Stat};
use rustix::io::Errno;
use tokio_util::sync::CancellationToken;

use crate::answer::{Failure, size};
use crate::atomic::{self, Prepared, WriteError};
use crate::beneath::{Place, Workspace};
use crate::path::Relative;
use crate::protected::{Access, Refusal};
use crate::read;
use crate::suggest;
use crate::write;

/// The longest file that is patched, bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// The most that is held of all files together, bytes.
const HELD_BYTES_MAX: usize = 128 << 20;

/// A file as it was, and as it will be.
pub(super) struct Staged {
    pub(super) path: Relative,
    identity: Option<(u64, u64, OsString)>,
    place: Option<Place>,
    before: Option<Before>,
    now: Option<Vec<u8>>,
    /// Whose mode it gets.
    like: Option<Stat>,
}

struct Before {
    stat: Stat,
    content: Vec<u8>,
}

/// All files of a patch.
pub(super) struct Stage<'a> {
    workspace: &'a Workspace,
    files: Vec<Staged>,
    held_bytes: usize,
}

impl<'a> Stage<'a> {
    pub(super) fn new(workspace: &'a Workspace) -> Self {
        Self { workspace, files: Vec::new(), held_bytes: 0 }
    }

    /// The content of a file as the patch has left it so far.
    ///
    /// # Errors
    /// When there is no such file, or no tool may change it.
    pub(super) fn content(&mut self, path: &str) -> Result<(usize, Vec<u8>), Failure> {
        let at = self.look_at(path)?;
        match self.files.get(at) {
            Some(Staged { now: Some(content), .. }) => Ok((at, content.clone())),
            Some(Staged { path, .. }) => {
                Err(Failure::Error(suggest::missing(self.workspace, path)))
            }
            None => Err(Failure::Error(format!("{path} does not exist."))),
        }
    }

    /// A file that need not exist, and how many lines it has now.
    pub(super) fn maybe(&mut self, path: &str) -> Result<(usize, Option<usize>), Failure> {
        let at = self.look_at(path)?;
        let now = self.files.get(at).and_then(|file| file.now.as_ref());
        Ok((at, now.map(|content| write::lines(content))))
    }

    /// Gives a file another content.
    pub(super) fn set(&mut self, at: usize, content: Vec<u8>) -> Result<(), Failure> {
        self.held_bytes = self.held_bytes.saturating_add(content.len());
        let file = self.files.get_mut(at).filter(|_| content.len() as u64 <= FILE_BYTES_MAX);
        match file.filter(|_| self.held_bytes <= HELD_BYTES_MAX) {
            Some(file) => file.now = Some(content),
            None => {
                let most = size(FILE_BYTES_MAX);
                return Err(Failure::Error(format!("A file would grow beyond {most}.")));
            }
        }
        Ok(())
    }

    /// Takes a file away.
    pub(super) fn delete(&mut self, at: usize) {
        if let Some(file) = self.files.get_mut(at) {
            file.now = None;
        }
    }

    /// Lets a new file have the mode of another.
    pub(super) fn set_like(&mut self, at: usize, other: usize) {
        let like = self.files.get(other).and_then(|file| Some(file.before.as_ref()?.stat));
        if let Some(file) = self.files.get_mut(at) {
            file.like = like;
        }
    }

    /// The path of a file, and its content before and now.
    pub(super) fn change(&self, at: usize) -> Option<(&Relative, &[u8], &[u8])> {
        let file = self.files.get(at)?;
        let before = file.before.as_ref().map_or(&[][..], |before| &before.content);
        Some((&file.path, before, file.now.as_deref().unwrap_or_default()))
    }

    /// Finds a file, or reads it for the first time.
    fn look_at(&mut self, path: &str) -> Result<usize, Failure> {
        let path = Relative::parse(path, self.workspace)?;
        let place = match self.workspace.place(&path, Access::Change) {
            Ok(place) => Some(place),
            // Its folder is not there: it is made when the patch is sure to fit.
            Err(Refusal::System(Errno::NOENT)) => None,
            Err(Refusal::System(error)) => return Err(Failure::Error(path.explain(error))),
            Err(Refusal::Denied(rule)) => return Err(Failure::Denied(rule.explain(&path))),
        };
        let identity = place.as_ref().and_then(identity);
        let known = self.files.iter().position(|file| match (&file.identity, &identity) {
            (Some(known), Some(identity)) => known == identity,
            _ => file.path == path,
        });
        if let Some(known) = known {
            return Ok(known);
        }
        let before = match &place {
            Some(place) => before(&path, place)?,
            None => None,
        };
        self.held_bytes += before.as_ref().map_or(0, |before| before.content.len());
        if self.held_bytes > HELD_BYTES_MAX {
            return Err(Failure::Error("The files of the patch are too long together.".to_owned()));
        }
        let now = before.as_ref().map(|before| before.content.clone());
        self.files.push(Staged { path, identity, place, before, now, like: None });
        Ok(self.files.len() - 1)
    }

    /// Does on disk what was done in memory.
    pub(super) fn commit(mut self, cancel: &CancellationToken) -> Result<(), Failure> {
        self.files
            .retain(|file| file.before.as_ref().map(|before| &before.content) != file.now.as_ref());
        let mut folders = Vec::new();
        let done = self.make_places(&mut folders).and_then(|()| put(&self.files, cancel));
        if done.is_err() {
            for folder in folders.iter().rev() {
                remove_folder(self.workspace, folder);
            }
        }
        done
    }

    /// Makes the folders of new files; those that were not there are noted.
    fn make_places(&mut self, made: &mut Vec<PathBuf>) -> Result<(), Failure> {
        for file in self.files.iter_mut().filter(|file| file.place.is_none()) {
            let above = file.path.as_path().parent().unwrap_or(Path::new(""));
            let mut missing: Vec<PathBuf> = above
                .ancestors()
                .take_while(|above| {
                    matches!(self.workspace.open_directory(above), Err(Errno::NOENT))
                })
                .map(Path::to_path_buf)
                .collect();
            missing.reverse();
            made.extend(missing);
            let place = self.workspace.place(&file.path, Access::Create);
            file.place = Some(place.map_err(|refusal| match refusal {
                Refusal::Denied(rule) => Failure::Denied(rule.explain(&file.path)),
                Refusal::System(error) => write::explain(&file.path, WriteError::System(error)),
            })?);
        }
        Ok(())
    }
}

fn identity(place: &Place) -> Option<(u64, u64, OsString)> {
    let stat = rustix::fs::fstat(&place.directory).ok()?;
    // What these numbers are is the platform's choice; they are only compared.
    #[allow(clippy::cast_sign_loss, clippy::unnecessary_cast)]
    let (device, inode) = (stat.st_dev as u64, stat.st_ino as u64);
    Some((device, inode, place.name.clone()))
}

fn before(path: &Relative, place: &Place) -> Result<Option<Before>, Failure> {
    let file = match place.open() {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(Failure::Error(path.explain(error))),
    };
    let (file, stat) = read::regular(path, file)?;
    let content = read::whole(file, FILE_BYTES_MAX)
        .map_err(|error| format!("{path} could not be read: {error}."))?
        .ok_or_else(|| format!("{path} is longer than {}; use shell.", size(FILE_BYTES_MAX)))?;
    Ok(Some(Before { stat, content }))
}

/// Puts all contents in their places, or none.
fn put(files: &[Staged], cancel: &CancellationToken) -> Result<(), Failure> {
    let failed = |file: &Staged, error| write::explain(&file.path, error);
    let mut ready = Vec::new();
    for file in files {
        let (Some(place), Some(now)) = (&file.place, &file.now) else {
            continue;
        };
        let like = file.like.as_ref().or(file.before.as_ref().map(|before| &before.stat));
        let prepared = Prepared::new(place, like, now).map_err(|error| failed(file, error))?;
        ready.push((file, prepared));
    }
    let mut done = Vec::new();
    let mut result = Ok(());
    for (file, prepared) in ready {
        result = prepared.take_place(cancel).map_err(|error| failed(file, error));
        if result.is_err() {
            break;
        }
        done.push(file);
    }
    // What goes, goes last: it is the step that fails least.
    for file in files.iter().filter(|file| file.now.is_none()) {
        if result.is_err() {
            break;
        }
        result = remove(file).map_err(|error| failed(file, error.into()));
        if result.is_ok() {
            done.push(file);
        }
    }
    let Err(failure) = result else {
        return Ok(());
    };
    let stuck: Vec<String> = done
        .iter()
        .rev()
        .filter(|file| put_back(file).is_err())
        .map(|file| file.path.to_string())
        .collect();
    Err(if stuck.is_empty() { failure } else { half_done(failure, &stuck) })
}

fn remove(file: &Staged) -> Result<(), Errno> {
    let place = file.place.as_ref().ok_or(Errno::NOENT)?;
    if place.is_alone {
        // The folder that it would be taken from is not open.
        return Err(Errno::PERM);
    }
    rustix::fs::unlinkat(&place.directory, place.name.as_os_str(), AtFlags::empty())
}

fn put_back(file: &Staged) -> Result<(), WriteError> {
    let place = file.place.as_ref().ok_or(Errno::NOENT)?;
    match &file.before {
        // Whoever cancelled wants all of it back.
        Some(Before { stat, content }) => {
            atomic::replace(place, Some(stat), content, &CancellationToken::new())
        }
        None => Ok(remove(file)?),
    }
}

fn half_done(failure: Failure, stuck: &[String]) -> Failure {
    let (Failure::Error(told) | Failure::Denied(told) | Failure::Cancelled(told)) = failure;
    Failure::Error(format!("{told} These could not be put back: {}.", stuck.join(", ")))
}

fn remove_folder(workspace: &Workspace, folder: &Path) {
    let (Some(name), above) = (folder.file_name(), folder.parent().unwrap_or(Path::new(""))) else {
        return;
    };
    if let Ok(directory) = workspace.open_directory(above) {
        // It stays when somebody has put something into it.
        let _ = rustix::fs::unlinkat(&directory, name, AtFlags::REMOVEDIR);
    }
}

#[cfg(test)]
mod tests;
