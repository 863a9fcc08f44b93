//! What a restore is about to do, on disk before it does anything: whoever comes next finishes it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use blob::Hash;

use crate::bytes::{Malformed, Reader, put_bytes, put_hash, put_number};
use crate::error::{Error, io_error};

const MARK: &[u8] = b"limn restore 1\n";

/// A restore under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Journal {
    /// The checkpoint that was taken before it.
    pub(crate) from: Hash,
    /// The checkpoint that it leads to.
    pub(crate) to: Hash,
    /// Paths that it leaves alone.
    pub(crate) left: Vec<PathBuf>,
}

impl Journal {
    pub(crate) fn path(state: &Path) -> PathBuf {
        state.join("restore")
    }

    /// Puts it on disk, durably.
    pub(crate) fn write(&self, state: &Path) -> Result<(), Error> {
        let mut out = MARK.to_vec();
        put_hash(&mut out, &self.from);
        put_hash(&mut out, &self.to);
        put_number(&mut out, self.left.len() as u64);
        for path in &self.left {
            put_bytes(&mut out, path.as_os_str().as_bytes());
        }
        let sum = Hash::of(&out);
        put_hash(&mut out, &sum);
        let path = Self::path(state);
        let write = || -> io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(state)?;
            file.write_all(&out)?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            File::open(state)?.sync_all()
        };
        write().map_err(io_error("write", &path))
    }

    /// What was under way when somebody died; `None` when nothing was.
    pub(crate) fn read(state: &Path) -> Result<Option<Self>, Error> {
        let path = Self::path(state);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes.map_err(io_error("read", &path))?,
        };
        let parsed = Self::parse(&bytes).map_err(|Malformed(problem)| {
            let error = io::Error::new(io::ErrorKind::InvalidData, problem);
            io_error("read", &path)(error)
        })?;
        Ok(Some(parsed))
    }

    fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let at = bytes.len().checked_sub(32).ok_or(Malformed("it is cut short"))?;
        let (bytes, sum) = bytes.split_at(at);
        if Hash::of(bytes).as_bytes() != sum {
            return Err(Malformed("it is damaged"));
        }
        let mut reader = Reader::new(bytes, MARK)?;
        let (from, to) = (reader.hash()?, reader.hash()?);
        let mut left = Vec::new();
        for _ in 0..reader.count()? {
            left.push(PathBuf::from(OsStr::from_bytes(reader.bytes()?)));
        }
        reader.end()?;
        Ok(Self { from, to, left })
    }

    /// The restore is over.
    pub(crate) fn remove(state: &Path) -> Result<(), Error> {
        let path = Self::path(state);
        let remove = || -> io::Result<()> {
            fs::remove_file(&path)?;
            File::open(state)?.sync_all()
        };
        remove().map_err(io_error("delete", &path))
    }
}
