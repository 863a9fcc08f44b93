//! All blobs of a store: counted, checked, copied, and deleted when nobody names them any more.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::SystemTime;

use crate::hash::Hash;
use crate::store::{Store, StoreError, private_folder};

/// What a sweep found, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Blobs that stay.
    pub kept: u64,
    /// Their bytes on disk.
    pub kept_bytes: u64,
    /// Blobs that were deleted.
    pub removed: u64,
    /// Their bytes on disk.
    pub removed_bytes: u64,
}

impl Store {
    /// Deletes every blob that is not in `keep` and was last put before `older_than`, and what
    /// writers that were killed left behind. Files of another kind are left alone.
    ///
    /// # Errors
    /// When a folder cannot be read or a file not deleted; what was deleted by then is gone.
    pub fn sweep(&self, keep: &HashSet<Hash>, older_than: SystemTime) -> Result<Swept, StoreError> {
        let mut swept = Swept::default();
        self.each_file(&mut |path, name, metadata| {
            let is_kept = match name {
                Name::Blob(hash) => keep.contains(&hash),
                Name::Leftover => false,
            };
            let is_young = metadata.modified().map_or(true, |modified| modified >= older_than);
            if is_kept || is_young {
                swept.kept += 1;
                swept.kept_bytes += metadata.len();
                return Ok(());
            }
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            swept.removed += 1;
            swept.removed_bytes += metadata.len();
            Ok(())
        })?;
        Ok(swept)
    }

    /// Deletes these blobs, as far as they are there; how many, and their bytes on disk.
    ///
    /// # Errors
    /// When a file cannot be deleted; what was deleted by then is gone.
    pub fn remove<'a>(
        &self,
        hashes: impl IntoIterator<Item = &'a Hash>,
    ) -> Result<(u64, u64), StoreError> {
        let (mut blobs, mut bytes) = (0, 0);
        for hash in hashes {
            let path = self.path_of(hash);
            let remove = || {
                let length = fs::symlink_metadata(&path)?.len();
                fs::remove_file(&path).map(|()| length)
            };
            match remove() {
                Ok(length) => (blobs, bytes) = (blobs + 1, bytes + length),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(StoreError::Io { doing: "delete", path, error }),
            }
        }
        Ok((blobs, bytes))
    }

    /// How many blobs there are, and their bytes on disk.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn size(&self) -> Result<(u64, u64), StoreError> {
        let (mut blobs, mut bytes) = (0, 0);
        self.each_file(&mut |_, name, metadata| {
            blobs += u64::from(matches!(name, Name::Blob(_)));
            bytes += metadata.len();
            Ok(())
        })?;
        Ok((blobs, bytes))
    }

    /// Reads every blob and compares it with its name: how many there are, and what is wrong with
    /// which.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn check(&self) -> Result<(u64, Vec<StoreError>), StoreError> {
        let (mut blobs, mut wrong) = (0, Vec::new());
        self.each_file(&mut |_, name, _| {
            if let Name::Blob(hash) = name {
                blobs += 1;
                wrong.extend(self.copy_to(&hash, u64::MAX, &mut io::sink()).err());
            }
            Ok(())
        })?;
        Ok((blobs, wrong))
    }

    /// Copies every blob that is not there into another store, whole or not at all; how many, and
    /// their bytes on disk.
    ///
    /// # Errors
    /// When a folder cannot be read, or the other store not written.
    pub fn copy_missing_to(&self, other: &Path) -> Result<(u64, u64), StoreError> {
        let there = Self::new(other.to_owned());
        let (mut blobs, mut bytes) = (0, 0);
        self.each_file(&mut |path, name, metadata| {
            let Name::Blob(hash) = name else { return Ok(()) };
            let to = there.path_of(&hash);
            if to.is_file() {
                return Ok(());
            }
            let folder = to.parent().unwrap_or(other);
            private_folder(folder)?;
            let mut file = tempfile::Builder::new()
                .permissions(fs::Permissions::from_mode(0o600))
                .tempfile_in(folder)?;
            io::copy(&mut fs::File::open(path)?, file.as_file_mut())?;
            file.as_file().sync_all()?;
            file.persist(&to).map_err(|error| error.error)?;
            blobs += 1;
            bytes += metadata.len();
            Ok(())
        })?;
        Ok((blobs, bytes))
    }

    fn each_file(
        &self,
        take: &mut dyn FnMut(&Path, Name, &fs::Metadata) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        for entry in listed(self.root())? {
            let Some(first) = entry.file_name().to_str().map(str::to_owned) else { continue };
            let path = entry.path();
            if first.starts_with(".tmp") {
                visit(&path, Name::Leftover, take)?;
                continue;
            }
            if first.len() != 2 || !path.is_dir() {
                continue;
            }
            for entry in listed(&path)? {
                let Some(rest) = entry.file_name().to_str().map(str::to_owned) else { continue };
                let name = match format!("{first}{rest}").parse() {
                    Ok(hash) => Name::Blob(hash),
                    Err(_) if rest.starts_with(".tmp") => Name::Leftover,
                    Err(_) => continue,
                };
                visit(&entry.path(), name, take)?;
            }
        }
        Ok(())
    }
}

enum Name {
    Blob(Hash),
    /// What a killed writer left.
    Leftover,
}

fn visit(
    path: &Path,
    name: Name,
    take: &mut dyn FnMut(&Path, Name, &fs::Metadata) -> io::Result<()>,
) -> Result<(), StoreError> {
    let visit = || match fs::symlink_metadata(path) {
        // Another process has given it its name, or has deleted it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        metadata => take(path, name, &metadata?),
    };
    visit().map_err(|error| StoreError::Io { doing: "sweep", path: path.to_owned(), error })
}

/// What is in a folder; nothing when there is no such folder.
fn listed(folder: &Path) -> Result<Vec<fs::DirEntry>, StoreError> {
    let list = || match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.collect::<io::Result<Vec<_>>>(),
    };
    list().map_err(|error| StoreError::Io { doing: "list", path: folder.to_owned(), error })
}
