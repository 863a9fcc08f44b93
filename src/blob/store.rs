//! Blobs in a folder: `ab/cdef…` under the root, written whole or not at all.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::codec::{Codec, CodecError, Encoder, decode};
use crate::hash::{Hash, Hasher};

/// Codec, then the unpacked length as eight little-endian bytes; the packed bytes follow.
pub(crate) const HEADER_BYTES: usize = 9;

/// A blob file that is longer is unpacked piece by piece.
const WHOLE_BYTES_MAX: u64 = 4 << 20;

/// Why a blob cannot be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system says no.
    #[error("Cannot {doing} {path}: {error}.")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// The bytes are not those that were stored.
    #[error("{path} is damaged: {problem} Restore it from a backup, or delete it.")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

/// A folder of blobs. Any number of processes may use it at once.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// A store in this folder, which is made when the first blob is put.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where a blob lies, whether or not it is there.
    #[must_use]
    pub fn path_of(&self, hash: &Hash) -> PathBuf {
        let name = hash.to_string();
        let (folder, file) = name.split_at(2);
        self.root.join(folder).join(file)
    }

    /// Whether the blob is there; its bytes are not checked.
    #[must_use]
    pub fn contains(&self, hash: &Hash) -> bool {
        self.path_of(hash).is_file()
    }

    /// Stores bytes and says what they are called. When this returns they are on disk, durably.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn put(&self, bytes: &[u8]) -> Result<Hash, StoreError> {
        let hash = Hash::of(bytes);
        let path = self.path_of(&hash);
        if path.is_file() {
            return Ok(hash);
        }
        let failed = |doing, path: &Path| {
            let path = path.to_owned();
            move |error| StoreError::Io { doing, path, error }
        };
        let folder = path.parent().unwrap_or(&self.root);
        private_folder(folder).map_err(failed("make", folder))?;
        let write = || -> io::Result<()> {
            let mut file = tempfile::Builder::new()
                .permissions(fs::Permissions::from_mode(0o600))
                .tempfile_in(folder)?;
            let packed = Encoder::new().encode(bytes);
            file.write_all(&[packed.codec.as_number()])?;
            file.write_all(&packed.raw_len.to_le_bytes())?;
            file.write_all(&packed.data)?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            File::open(folder)?.sync_all()
        };
        write().map_err(failed("write", &path))?;
        Ok(hash)
    }

    /// The bytes of a blob, checked against its name; `None` when it is not there.
    ///
    /// # Errors
    /// When the file cannot be read, is longer than `max` bytes unpacked, or is not what its name
    /// says.
    pub fn get(&self, hash: &Hash, max: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path_of(hash);
        let io = |error| StoreError::Io { doing: "read", path: path.clone(), error };
        let damaged = |problem: String| StoreError::Damaged { path: path.clone(), problem };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(error)),
        };
        // A packed blob is never longer than its raw form and the header.
        let bound = max.saturating_add(HEADER_BYTES as u64 + 1);
        let mut bytes = Vec::new();
        file.take(bound).read_to_end(&mut bytes).map_err(io)?;
        let Some((header, data)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Err(damaged("it is cut short.".to_owned()));
        };
        let [codec, length @ ..] = *header;
        let codec = Codec::from_number(i64::from(codec))
            .ok_or_else(|| damaged(format!("nothing is packed with codec {codec}.")))?;
        let raw = decode(codec, u64::from_le_bytes(length), data, max)
            .map_err(|error: CodecError| damaged(error.to_string()))?;
        if Hash::of(&raw) == *hash {
            Ok(Some(raw))
        } else {
            Err(damaged("its bytes do not match its name.".to_owned()))
        }
    }

    /// Copies a blob out without holding a long one in memory; `None` when it is not there. Only
    /// when this returns without an error are the bytes those that were stored.
    ///
    /// # Errors
    /// When the file cannot be read, is longer than `max` bytes unpacked, or is not what its name
    /// says, or when `out` takes no more.
    pub fn copy_to(
        &self,
        hash: &Hash,
        max: u64,
        out: &mut dyn Write,
    ) -> Result<Option<u64>, StoreError> {
        let path = self.path_of(hash);
        let io = |doing| {
            let path = path.clone();
            move |error| StoreError::Io { doing, path, error }
        };
        if fs::metadata(&path).map_or(0, |metadata| metadata.len()) <= WHOLE_BYTES_MAX {
            let Some(bytes) = self.get(hash, max)? else { return Ok(None) };
            out.write_all(&bytes).map_err(io("copy out"))?;
            return Ok(Some(bytes.len() as u64));
        }
        let damaged = |problem: &str| {
            let problem = problem.to_owned();
            StoreError::Damaged { path: path.clone(), problem }
        };
        let mut file = File::open(&path).map_err(io("read"))?;
        let mut header = [0; HEADER_BYTES];
        file.read_exact(&mut header).map_err(io("read"))?;
        let [codec, length @ ..] = header;
        let length = u64::from_le_bytes(length);
        if length > max {
            return Err(damaged("it claims to be longer than is allowed here."));
        }
        let mut from: Box<dyn Read> = match Codec::from_number(i64::from(codec)) {
            Some(Codec::Raw) => Box::new(file),
            Some(Codec::Zstd) => Box::new(zstd::stream::Decoder::new(file).map_err(io("read"))?),
            None => return Err(damaged("nobody knows how it is packed.")),
        };
        let mut hasher = Hasher::default();
        let mut copied = 0;
        let mut piece = vec![0; 256 << 10];
        loop {
            let count = from.read(&mut piece).map_err(|error| damaged(&format!("{error}.")))?;
            let read = piece.get(..count).unwrap_or_default();
            copied += count as u64;
            if count == 0 || copied > length {
                break;
            }
            hasher.update(read);
            out.write_all(read).map_err(io("copy out"))?;
        }
        if copied == length && hasher.finish() == *hash {
            Ok(Some(copied))
        } else {
            Err(damaged("its bytes do not match its name."))
        }
    }
}

/// Makes a folder that its owner alone can enter, whatever the umask.
pub(crate) fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}
