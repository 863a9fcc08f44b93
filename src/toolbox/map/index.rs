//! What each file defines and mentions, kept by its time and size.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::AtFlags;
use syntax::Language;

use crate::map::Atlas;
use crate::walk::{Found, open_file};

/// How many files are kept.
const FILES_MAX: usize = 100_000;
/// The longest file that is read, bytes. What is longer is seldom written by hand.
const FILE_BYTES_MAX: u64 = 512 << 10;
/// How much one round reads at most, bytes.
const ROUND_BYTES_MAX: u64 = 1 << 30;
/// How long one round reads; what is left is for the next.
const ROUND_TIME_MAX: Duration = Duration::from_secs(12);
/// How many definitions and mentions are kept of all files together: about 300 MB at worst.
const KEPT_MAX: usize = 10_000_000;

/// A definition.
#[derive(Debug)]
pub(crate) struct Symbol {
    pub(crate) name: u32,
    pub(crate) line: usize,
    pub(crate) signature: Box<str>,
}

/// What one file defines and mentions; names are numbers.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) symbols: Box<[Symbol]>,
    /// Names, each with how often.
    pub(crate) references: Box<[(u32, u32)]>,
}

/// What a file looked like when it was read: its time in nanoseconds, and its size.
type Stamp = (i128, u64);

struct Entry {
    stamp: Stamp,
    /// The last round that came by.
    round: u64,
    file: Arc<File>,
}

/// All files that are known.
#[derive(Default)]
pub(crate) struct Index {
    files: HashMap<PathBuf, Entry>,
    /// Names are of a language: what Rust calls `map` no line of Python means.
    names: HashMap<Language, HashMap<Arc<str>, u32>>,
    texts: Vec<Arc<str>>,
    round: u64,
    kept: usize,
    read_bytes: u64,
    began: Option<Instant>,
    /// How many files the round did not get to.
    pub(crate) unread: u64,
    /// How many files were parsed, ever.
    pub(crate) parsed: u64,
}

impl Index {
    /// Begins a round; answers with its number.
    pub(crate) fn begin(&mut self) -> u64 {
        self.round += 1;
        (self.read_bytes, self.unread) = (0, 0);
        self.began = Some(Instant::now());
        if self.files.is_empty() {
            // Names are only ever added; with the last file they go.
            (self.names, self.texts, self.kept) = (HashMap::new(), Vec::new(), 0);
        }
        self.round
    }

    /// Forgets files below a folder that a whole round did not come by.
    pub(crate) fn forget(&mut self, start: &Path, round: u64) {
        let mut kept = self.kept;
        self.files.retain(|path, entry| {
            let stays = entry.round >= round || !path.starts_with(start);
            if !stays {
                kept -= entry.file.symbols.len() + entry.file.references.len();
            }
            stays
        });
        self.kept = kept;
    }

    pub(crate) fn len(&self) -> usize {
        self.files.len()
    }

    /// The files below a folder, sorted by path.
    pub(crate) fn below<'a>(&'a self, start: &Path) -> Vec<(&'a Path, &'a File)> {
        let files = self.files.iter().filter(|(path, _)| path.starts_with(start));
        let mut files: Vec<_> = files.map(|(path, entry)| (path.as_path(), &*entry.file)).collect();
        files.sort_by_key(|(path, _)| *path);
        files
    }

    /// How many names there are.
    pub(crate) fn names(&self) -> usize {
        self.texts.len()
    }

    /// The text of a name.
    pub(crate) fn text(&self, name: u32) -> &str {
        self.texts.get(name as usize).map_or("", |text| text)
    }

    fn name(&mut self, language: Language, text: &str) -> u32 {
        let names = self.names.entry(language).or_default();
        if let Some(name) = names.get(text) {
            return *name;
        }
        let name = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        let text: Arc<str> = text.into();
        self.texts.push(Arc::clone(&text));
        names.insert(text, name);
        name
    }

    /// Whether a file is known as it is now; then it is marked as seen.
    fn is_known(&mut self, path: &Path, stamp: Stamp, round: u64) -> bool {
        match self.files.get_mut(path) {
            Some(entry) if entry.stamp == stamp => {
                entry.round = round;
                true
            }
            _ => false,
        }
    }

    fn has_room(&mut self, bytes: u64) -> bool {
        self.read_bytes += bytes;
        let has_room = self.read_bytes <= ROUND_BYTES_MAX
            && self.kept < KEPT_MAX
            && self.files.len() < FILES_MAX
            && self.began.is_none_or(|began| began.elapsed() < ROUND_TIME_MAX);
        self.unread += u64::from(!has_room);
        has_room
    }

    fn keep(&mut self, path: PathBuf, stamp: Stamp, round: u64, outline: syntax::Outline) {
        let language = Language::by_name(&path).map_or(Language::Json, Language::family);
        let symbols = outline.symbols.into_iter().map(|symbol| Symbol {
            name: self.name(language, &symbol.name),
            line: symbol.line,
            signature: symbol.signature.into(),
        });
        let symbols: Box<[Symbol]> = symbols.collect();
        let references = outline
            .references
            .iter()
            .map(|(name, times)| (self.name(language, name), *times))
            .collect();
        let file = File { symbols, references };
        self.parsed += 1;
        self.kept += file.symbols.len() + file.references.len();
        let old = self.files.insert(path, Entry { stamp, round, file: Arc::new(file) });
        if let Some(old) = old {
            self.kept -= old.file.symbols.len() + old.file.references.len();
        }
    }
}

impl Atlas {
    /// Looks at a file that a walk came by, and reads it unless it is known as it is.
    pub(crate) fn visit(&self, found: &Found<'_>, round: u64) {
        let has_symbols = |language| language != Language::Json;
        if found.is_link || !Language::by_name(&found.path).is_some_and(has_symbols) {
            return;
        }
        let Ok(stat) = rustix::fs::statat(found.directory, found.name, AtFlags::SYMLINK_NOFOLLOW)
        else {
            return;
        };
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        if size > FILE_BYTES_MAX {
            return;
        }
        // What these numbers are is the platform's choice.
        #[allow(clippy::unnecessary_cast)]
        let nanoseconds = stat.st_mtime as i128 * 1_000_000_000 + stat.st_mtime_nsec as i128;
        let stamp = (nanoseconds, size);
        {
            let mut index = self.index();
            if index.is_known(&found.path, stamp, round) || !index.has_room(size) {
                return;
            }
        }
        let Ok(file) = open_file(found.directory, found.name) else {
            return;
        };
        let mut source = String::new();
        if file.take(FILE_BYTES_MAX).read_to_string(&mut source).is_err() {
            // Not UTF-8: not what a grammar reads.
            return;
        }
        let outline = syntax::outline(&found.path, &source).unwrap_or_default();
        self.index().keep(found.path.clone(), stamp, round, outline);
    }
}
