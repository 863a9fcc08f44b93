//! The head of a checkpoint: its top folder, what it counts, and what it left out.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use blob::{Hash, Store};

use crate::bytes::{Malformed, Reader, put_bytes, put_hash, put_number};
use crate::error::Error;
use crate::node::{self, Entry};
use crate::policy::Reason;

const MARK: &[u8] = b"limn checkpoint 1\n";

/// No folder is listed in more, bytes.
pub(crate) const NODE_BYTES_MAX: u64 = 256 << 20;

/// What is left out is listed up to this many; a restore from a longer list deletes nothing.
pub(crate) const SKIPPED_LISTED_MAX: usize = 10_000;

/// Something that is not in a checkpoint, or not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Skipped {
    /// Relative to the workspace.
    pub path: PathBuf,
    /// Why.
    pub reason: Reason,
}

/// The head of a checkpoint. Its hash is the checkpoint's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The mode of the workspace's own folder.
    pub mode: u32,
    /// The blob that lists the workspace's own folder.
    pub node: Hash,
    /// The hash of all in it, without times: equal for equal trees.
    pub content: Hash,
    /// Regular files.
    pub files: u64,
    /// Folders.
    pub folders: u64,
    /// Symbolic links.
    pub links: u64,
    /// The bytes of all files.
    pub bytes: u64,
    /// Files that had other names too. A restore makes each a file of its own.
    pub hard_linked: u64,
    /// What is not in it, sorted.
    pub skipped: Vec<Skipped>,
    /// How many more were left out than are listed.
    pub skipped_more: u64,
}

impl Manifest {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(MARK);
        put_number(&mut out, self.mode.into());
        put_hash(&mut out, &self.node);
        put_hash(&mut out, &self.content);
        for number in [self.files, self.folders, self.links, self.bytes, self.hard_linked] {
            put_number(&mut out, number);
        }
        put_number(&mut out, self.skipped.len() as u64);
        for skipped in &self.skipped {
            put_bytes(&mut out, skipped.path.as_os_str().as_bytes());
            out.push(skipped.reason.number());
        }
        put_number(&mut out, self.skipped_more);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes, MARK)?;
        let mode = node::mode(&mut reader)?;
        let (node, content) = (reader.hash()?, reader.hash()?);
        let (files, folders, links) = (reader.number()?, reader.number()?, reader.number()?);
        let (bytes, hard_linked) = (reader.number()?, reader.number()?);
        let mut skipped: Vec<Skipped> = Vec::new();
        for _ in 0..reader.count()? {
            let path = PathBuf::from(OsStr::from_bytes(reader.bytes()?));
            let reason = Reason::from_number(reader.byte()?);
            let reason = reason.ok_or(Malformed("it left something out for no known reason"))?;
            skipped.push(Skipped { path, reason });
        }
        let skipped_more = reader.number()?;
        reader.end()?;
        Ok(Self {
            mode,
            node,
            content,
            files,
            folders,
            links,
            bytes,
            hard_linked,
            skipped,
            skipped_more,
        })
    }

    /// Reads a checkpoint's head from the store.
    ///
    /// # Errors
    /// When it is not there, or damaged.
    pub fn load(store: &Store, tree: &Hash) -> Result<Self, Error> {
        let bytes = store.get(tree, NODE_BYTES_MAX)?.ok_or(Error::Missing { hash: *tree })?;
        Self::decode(&bytes).map_err(|Malformed(problem)| Error::Malformed { hash: *tree, problem })
    }
}

/// Reads what a folder of a checkpoint holds.
pub(crate) fn load_node(store: &Store, node: &Hash) -> Result<Vec<Entry>, Error> {
    let bytes = store.get(node, NODE_BYTES_MAX)?.ok_or(Error::Missing { hash: *node })?;
    node::decode(&bytes).map_err(|Malformed(problem)| Error::Malformed { hash: *node, problem })
}
