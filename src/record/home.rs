//! The data folder: `sessions/<id>.db`, `sessions/<id>.lock`, `blobs/`, `limn.db`, `device`.
//! Its owner alone can read it.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use trajectory::{DeviceId, SessionId};

use crate::archive::Archive;
use crate::error::RecordError;
use crate::imports::IMPORT_PREFIX;
use crate::library::Library;
use crate::lock::SessionLock;

/// How many candidates an ambiguous prefix lists.
const CANDIDATES_LISTED_MAX: usize = 5;

/// What `device` is called until it is whole.
const DEVICE_PREFIX: &str = ".device-";

/// `$LIMN_HOME`, opened.
#[derive(Clone, Debug)]
pub struct Home {
    path: PathBuf,
    device: DeviceId,
}

impl Home {
    /// Opens the folder, making what is missing and closing it to everybody but its owner.
    ///
    /// # Errors
    /// When it holds what is not limn's (then nothing is changed), cannot be made or written, or
    /// `device` does not hold an id.
    pub fn open(path: &Path) -> Result<Self, RecordError> {
        let device_file = path.join("device");
        if device_file.exists() {
            read_device(&device_file)?;
        } else {
            refuse_what_is_not_ours(path)?;
        }
        for folder in [path.to_owned(), path.join("sessions"), path.join("blobs")] {
            private_folder(&folder)
                .map_err(|error| RecordError::io("make the data folder", &folder, &error))?;
        }
        let device = device(&device_file)?;
        Ok(Self { path: path.to_owned(), device })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// This installation's id.
    #[must_use]
    pub const fn device(&self) -> DeviceId {
        self.device
    }

    /// The folder of the content-addressed store.
    #[must_use]
    pub fn blobs(&self) -> PathBuf {
        self.path.join("blobs")
    }

    /// The folder of the session files.
    #[must_use]
    pub fn sessions(&self) -> PathBuf {
        self.path.join("sessions")
    }

    /// Where a session's recording is, or would be.
    #[must_use]
    pub fn session_file(&self, id: SessionId) -> PathBuf {
        self.sessions().join(format!("{id}.db"))
    }

    /// The sessions that are there, oldest first. A file that is damaged is among them.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn session_ids(&self) -> Result<Vec<SessionId>, RecordError> {
        let folder = self.sessions();
        let failed = |error: io::Error| RecordError::io("list", &folder, &error);
        let mut ids = Vec::new();
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(".db")).map(str::parse);
            if let Some(Ok(id)) = id {
                ids.push(id);
            }
        }
        ids.sort_unstable();
        Ok(ids)
    }

    /// What lies among the recordings and is nothing of limn's. It is left alone.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn strangers(&self) -> Result<Vec<PathBuf>, RecordError> {
        let folder = self.sessions();
        let failed = |error: io::Error| RecordError::io("list", &folder, &error);
        let mut strangers = Vec::new();
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let is_ours = entry.file_name().to_str().is_some_and(|name| {
                let of_session = name.split_once('.').map(|(id, _)| id.parse::<SessionId>());
                name.starts_with(IMPORT_PREFIX) || matches!(of_session, Some(Ok(_)))
            });
            if !is_ours {
                strangers.push(entry.path());
            }
        }
        strangers.sort_unstable();
        Ok(strangers)
    }

    /// The session that is meant: a unique prefix of its id, or `last` for the newest.
    ///
    /// # Errors
    /// When none fits, or several do.
    pub fn find(&self, prefix_or_last: &str) -> Result<SessionId, RecordError> {
        let ids = self.session_ids()?;
        let not_found =
            || RecordError::NotFound { wanted: prefix_or_last.chars().take(80).collect() };
        if prefix_or_last == "last" {
            let begun = |id: &&SessionId| {
                !matches!(Archive::open(self, **id), Err(RecordError::Empty { .. }))
            };
            return ids.iter().rev().find(begun).copied().ok_or_else(not_found);
        }
        let prefix = prefix_or_last.to_ascii_lowercase();
        if prefix.is_empty() {
            return Err(not_found());
        }
        let fits: Vec<SessionId> =
            ids.into_iter().filter(|id| id.to_string().starts_with(&prefix)).collect();
        match fits.as_slice() {
            [] => Err(not_found()),
            [id] => Ok(*id),
            several => {
                let listed: Vec<String> =
                    several.iter().take(CANDIDATES_LISTED_MAX).map(ToString::to_string).collect();
                Err(RecordError::Ambiguous {
                    prefix,
                    count: several.len(),
                    listed: listed.join(", "),
                })
            }
        }
    }

    /// Deletes a session's recording, and what `limn.db` knows of it.
    ///
    /// # Errors
    /// When it is not there, is being written, or cannot be deleted.
    pub fn remove(&self, id: SessionId) -> Result<(), RecordError> {
        let file = self.session_file(id);
        if !file.exists() {
            return Err(RecordError::NotFound { wanted: id.to_string() });
        }
        let lock = self.lock(id)?;
        Library::forget(self, id)?;
        let own = format!("{id}.");
        let folder = self.sessions();
        let failed = |error: io::Error| RecordError::io("delete", &file, &error);
        let mut rest = Vec::new();
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(&own)) {
                rest.push(entry.path());
            }
        }
        // The recording first, the lock last: whoever finds the recording finds it locked.
        rest.sort_by_key(|path| path.extension().is_some_and(|extension| extension == "lock"));
        for path in rest {
            fs::remove_file(&path).or_else(absent_is_fine).map_err(failed)?;
        }
        drop(lock);
        // Who searched meanwhile may have put back what was forgotten.
        if Library::knows(self, id)? {
            Library::forget(self, id)?;
        }
        Ok(())
    }

    /// Whether a process is writing the session right now.
    #[must_use]
    pub fn is_live(&self, id: SessionId) -> bool {
        SessionLock::is_held(&self.lock_file(id))
    }

    /// Takes the session's lock.
    pub(crate) fn lock(&self, id: SessionId) -> Result<SessionLock, RecordError> {
        SessionLock::take(&self.lock_file(id), id)
    }

    /// Deletes the lock of a session that is not there, while nobody else can hold it.
    pub(crate) fn remove_lock(&self, id: SessionId, lock: SessionLock) {
        // An empty file that stays behind disturbs nobody.
        let _ = fs::remove_file(self.lock_file(id));
        drop(lock);
    }

    fn lock_file(&self, id: SessionId) -> PathBuf {
        self.sessions().join(format!("{id}.lock"))
    }
}

fn absent_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// A folder without `device` becomes a data folder only when nothing but ours is in it: somebody
/// else's is not closed to everybody.
fn refuse_what_is_not_ours(path: &Path) -> Result<(), RecordError> {
    let failed = |error: io::Error| RecordError::io("open the data folder", path, &error);
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        // Another process may be making it right now.
        let ours = name.to_str().is_some_and(|name| {
            ["device", "sessions", "blobs", "workspaces", "snapshots"].contains(&name)
                || [DEVICE_PREFIX, "limn.db"].iter().any(|prefix| name.starts_with(prefix))
        });
        if !ours {
            return Err(RecordError::NotAHome { path: path.to_owned() });
        }
    }
    Ok(())
}

/// Makes a folder for its owner alone, or closes the one that is there.
pub(crate) fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let permissions = fs::metadata(path)?.permissions();
    if permissions.mode() & 0o777 != 0o700 {
        // A home that somebody mounted read-only can still be read.
        fs::set_permissions(path, Permissions::from_mode(0o700))
            .or_else(|error| if permissions.mode() & 0o077 == 0 { Ok(()) } else { Err(error) })?;
    }
    Ok(())
}

/// The id in this file; made once, by whoever comes first.
fn device(path: &Path) -> Result<DeviceId, RecordError> {
    let folder = path.parent().unwrap_or(path);
    if !path.exists() {
        let write = || -> io::Result<()> {
            let mut file = tempfile::Builder::new()
                .prefix(DEVICE_PREFIX)
                .permissions(Permissions::from_mode(0o600))
                .tempfile_in(folder)?;
            writeln!(file, "{}", DeviceId::new())?;
            file.as_file().sync_all()?;
            match file.persist_noclobber(path) {
                Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => {
                    Err(error.error)
                }
                _ => Ok(()),
            }
        };
        write().map_err(|error| RecordError::io("write the device id to", path, &error))?;
    }
    read_device(path)
}

fn read_device(path: &Path) -> Result<DeviceId, RecordError> {
    let failed = |error: io::Error| RecordError::io("read the device id in", path, &error);
    let mut text = String::new();
    File::open(path).and_then(|file| file.take(100).read_to_string(&mut text)).map_err(failed)?;
    text.trim().parse().map_err(|error| RecordError::damaged(path, "a device id", error))
}
