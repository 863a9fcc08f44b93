//! A folder of a checkpoint: what lies in it, in one blob.
//!
//! A folder that did not change is the same blob, so checkpoints share all but the folders on the
//! way to a change. Beside the blob's own hash a folder has a *content hash*, which leaves the times
//! out: two trees that differ in nothing else have the same one.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use blob::{Hash, Hasher};

use crate::bytes::{Malformed, Reader, put_bytes, put_hash, put_number, put_signed};

const MARK: &[u8] = b"limn folder 1\n";
const CONTENT_MARK: &[u8] = b"limn content 1\n";

/// All bits of a mode that are not the type.
pub(crate) const MODE_BITS: u32 = 0o7777;

const FOLDER: u8 = 0;
const FILE: u8 = 1;
const LINK: u8 = 2;

/// What lies in a folder under one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name, as bytes: file systems know no encoding.
    pub name: Vec<u8>,
    /// Permissions, with set-user-id and its like. Links have none.
    pub mode: u32,
    /// When its content was last changed, nanoseconds since the Unix epoch; folders have none.
    pub mtime_ns: i64,
    /// What it is.
    pub kind: Kind,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder {
        /// The blob that lists it.
        node: Hash,
        /// The hash of all in it, without times.
        content: Hash,
    },
    /// A regular file.
    File {
        /// Its length, bytes.
        size: u64,
        /// The blob that is its content.
        hash: Hash,
    },
    /// A symbolic link.
    Link {
        /// Where it leads, as it is written.
        target: Vec<u8>,
    },
}

impl Entry {
    /// Whether two entries are the same but for their times.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        let same = match (&self.kind, &other.kind) {
            (Kind::Folder { content, .. }, Kind::Folder { content: other, .. }) => content == other,
            (kind, other) => kind == other,
        };
        same && self.mode == other.mode && self.name == other.name
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &OsStr {
        OsStr::from_bytes(&self.name)
    }
}

/// The blob of a folder; its entries are sorted by name.
pub(crate) fn encode(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(MARK.len() + 5 + entries.len() * 64);
    out.extend_from_slice(MARK);
    put_number(&mut out, entries.len() as u64);
    for entry in entries {
        put_bytes(&mut out, &entry.name);
        match &entry.kind {
            Kind::Folder { node, content } => {
                out.push(FOLDER);
                put_number(&mut out, entry.mode.into());
                put_hash(&mut out, node);
                put_hash(&mut out, content);
            }
            Kind::File { size, hash } => {
                out.push(FILE);
                put_number(&mut out, entry.mode.into());
                put_signed(&mut out, entry.mtime_ns);
                put_number(&mut out, *size);
                put_hash(&mut out, hash);
            }
            Kind::Link { target } => {
                out.push(LINK);
                put_signed(&mut out, entry.mtime_ns);
                put_bytes(&mut out, target);
            }
        }
    }
    out
}

/// The hash of a folder without its times.
pub(crate) fn content(entries: &[Entry]) -> Hash {
    let mut out = Vec::with_capacity(entries.len() * 64);
    out.extend_from_slice(CONTENT_MARK);
    for entry in entries {
        put_bytes(&mut out, &entry.name);
        match &entry.kind {
            Kind::Folder { content, .. } => {
                out.push(FOLDER);
                put_number(&mut out, entry.mode.into());
                put_hash(&mut out, content);
            }
            Kind::File { size, hash } => {
                out.push(FILE);
                put_number(&mut out, entry.mode.into());
                put_number(&mut out, *size);
                put_hash(&mut out, hash);
            }
            Kind::Link { target } => {
                out.push(LINK);
                put_bytes(&mut out, target);
            }
        }
    }
    let mut hasher = Hasher::default();
    hasher.update(&out);
    hasher.finish()
}

/// Reads the blob of a folder. Names that would lead elsewhere are refused.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<Entry>, Malformed> {
    let mut reader = Reader::new(bytes, MARK)?;
    let count = reader.count()?;
    let mut entries: Vec<Entry> = Vec::with_capacity(count.min(4096));
    for _ in 0..count {
        let name = reader.bytes()?;
        if name.is_empty()
            || name == b"."
            || name == b".."
            || name.iter().any(|b| [0, b'/'].contains(b))
        {
            return Err(Malformed("a name in it is none"));
        }
        if entries.last().is_some_and(|last| last.name.as_slice() >= name) {
            return Err(Malformed("its names are not in order"));
        }
        let kind = reader.byte()?;
        let mode = if kind == LINK { 0 } else { mode(&mut reader)? };
        let mtime_ns = if kind == FOLDER { 0 } else { reader.signed()? };
        let kind = match kind {
            FOLDER => Kind::Folder { node: reader.hash()?, content: reader.hash()? },
            FILE => Kind::File { size: reader.number()?, hash: reader.hash()? },
            LINK => Kind::Link { target: target(reader.bytes()?)? },
            _ => return Err(Malformed("it holds something of an unknown kind")),
        };
        entries.push(Entry { name: name.to_vec(), mode, mtime_ns, kind });
    }
    reader.end()?;
    Ok(entries)
}

fn target(bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
    if bytes.is_empty() || bytes.contains(&0) {
        return Err(Malformed("a link in it leads nowhere"));
    }
    Ok(bytes.to_vec())
}

pub(crate) fn mode(reader: &mut Reader<'_>) -> Result<u32, Malformed> {
    let mode = u32::try_from(reader.number()?).unwrap_or(u32::MAX);
    if mode & !MODE_BITS == 0 { Ok(mode) } else { Err(Malformed("a mode in it is none")) }
}

#[cfg(test)]
mod tests;
