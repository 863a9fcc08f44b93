//! Finding what a model meant when its text does not occur exactly.
//!
//! The steps go from the safest to the boldest, and the first that finds anything decides: one
//! place is taken, several are told. Nothing is chosen between places that are equally good, and
//! nothing is replaced that the model has not seen. What the model did not want to change keeps the
//! bytes of the file ([`merge`]).
//!
//! Absent: exact matches, which are [`crate::edit`]'s, and the words for the model.

mod align;
mod anchor;
mod elision;
mod indents;
mod look_alike;
mod merge;
mod needle;
mod view;
mod words;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

pub(crate) use elision::{left_out, left_out_of_new};
pub(crate) use merge::Change;
pub(crate) use view::{Ignored, Place, View};

/// The longest file in which more than an exact match is looked for, bytes. Its views together
/// take sixty times that while they are needed.
pub(crate) const FILE_BYTES_MAX: usize = 1 << 20;
/// The longest piece, bytes.
const PIECE_BYTES_MAX: usize = 256 << 10;
/// How many places are changed that were not found exactly.
const CHANGES_MAX: usize = 500;

/// What a model wants to change.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) old: &'a str,
    pub(crate) new: &'a str,
    /// At every place.
    pub(crate) all: bool,
    /// Indentation carries meaning in this file.
    pub(crate) strict: bool,
}

/// What a text was found by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct How {
    /// What was done to the model's texts.
    reading: Option<&'static str>,
    /// What was ignored.
    ignored: Option<&'static str>,
    /// It was found by its first and last lines.
    by_ends: bool,
}

impl How {
    /// That this was ignored.
    pub(crate) fn ignoring(ignored: Ignored) -> Self {
        Self { ignored: ignored.words(), ..Self::default() }
    }
}

impl std::fmt::Display for How {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.by_ends {
            return f.write_str("by its first and last lines; what differs between them was kept");
        }
        match (self.reading, self.ignored) {
            (Some(reading), Some(ignored)) => write!(f, "without {reading}, ignoring {ignored}"),
            (Some(reading), None) => write!(f, "without {reading}"),
            (None, Some(ignored)) => write!(f, "ignoring {ignored}"),
            (None, None) => f.write_str("exactly"),
        }
    }
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Healed {
    /// These bytes are replaced, in ascending order.
    Found {
        changes: Vec<(Range<usize>, Vec<u8>)>,
        how: How,
    },
    /// It lies at several places, which begin here.
    Several {
        at: Vec<usize>,
        how: How,
    },
    Nothing,
}

/// Looks for a text that does not occur exactly.
pub(crate) fn heal(content: &[u8], wanted: Wanted<'_>) -> Healed {
    let longest = wanted.old.len().max(wanted.new.len());
    if content.len() > FILE_BYTES_MAX || longest > PIECE_BYTES_MAX || content.contains(&0) {
        return Healed::Nothing;
    }
    let plain = std::iter::once((wanted, None));
    let readings = needle::readings(wanted.old, wanted.new);
    let readings = readings.iter().map(|reading| {
        (Wanted { old: &reading.old, new: &reading.new, ..wanted }, Some(reading.words))
    });
    let mut file = Views::of(content);
    for (wanted, reading) in plain.chain(readings) {
        for ignored in Ignored::STEPS {
            let piece = View::of_piece(wanted.old.as_bytes(), ignored);
            let places = file.through(ignored).places(content, &piece);
            let how = How { reading, ignored: ignored.words(), by_ends: false };
            if places.len() > 1 && !wanted.all {
                let at = places.iter().map(|place| place.range.start).collect();
                return Healed::Several { at, how };
            }
            if let Some(changes) = carry(content, wanted, &places, ignored) {
                return Healed::Found { changes, how };
            }
        }
    }
    if wanted.all {
        return Healed::Nothing;
    }
    let range = anchor::place(content, wanted.old);
    let places: Vec<Place> =
        range.map(|range| Place { range, starts_line: true }).into_iter().collect();
    match carry(content, wanted, &places, Ignored::ALL) {
        Some(changes) => Healed::Found { changes, how: How { by_ends: true, ..How::default() } },
        None => Healed::Nothing,
    }
}

/// The changes at all of the places; `None` when there is none, or one does not work out.
fn carry(
    content: &[u8],
    wanted: Wanted<'_>,
    places: &[Place],
    ignored: Ignored,
) -> Option<Vec<(Range<usize>, Vec<u8>)>> {
    if places.is_empty() || places.len() > CHANGES_MAX {
        return None;
    }
    let mut changes: Vec<(Range<usize>, Vec<u8>)> = Vec::new();
    for place in places {
        if changes.last().is_some_and(|(last, _)| last.end > place.range.start) {
            // Two places that overlap cannot both be replaced.
            return None;
        }
        let change = Change {
            file: content.get(place.range.clone())?,
            old: wanted.old,
            new: wanted.new,
            starts_line: place.starts_line,
            ignored,
            strict: wanted.strict,
            whole: content,
            line_end: line_end(content, &place.range),
        };
        changes.push((place.range.clone(), change.carried()?.into_bytes()));
    }
    Some(changes)
}

/// How a line ends that is put there: as the first one does there, else as the first of the file.
pub(crate) fn line_end(content: &[u8], range: &Range<usize>) -> &'static str {
    let first = |bytes: &[u8]| {
        let at = memchr::memchr(b'\n', bytes)?;
        let before = at.checked_sub(1).and_then(|before| bytes.get(before));
        Some(if before == Some(&b'\r') { "\r\n" } else { "\n" })
    };
    let here = content.get(range.clone()).and_then(first);
    here.or_else(|| first(content)).unwrap_or("\n")
}

/// One file through all the views that are asked for.
pub(crate) struct Views<'a> {
    content: &'a [u8],
    views: BTreeMap<Ignored, View>,
}

impl<'a> Views<'a> {
    /// Nothing is looked at yet.
    pub(crate) fn of(content: &'a [u8]) -> Self {
        Self { content, views: BTreeMap::new() }
    }

    /// The file through this view.
    pub(crate) fn through(&mut self, ignored: Ignored) -> &View {
        self.views.entry(ignored).or_insert_with(|| View::of_file(self.content, ignored))
    }
}

/// Whether the indentation of a file carries meaning, or may for all that its name says.
pub(crate) fn is_strict(path: &Path) -> bool {
    const FREE: &[&str] = &[
        "c", "cc", "cpp", "cs", "css", "cxx", "dart", "go", "graphql", "h", "hpp", "htm", "html",
        "java", "js", "json", "jsx", "kt", "less", "lua", "m", "mjs", "mm", "php", "pl", "proto",
        "r", "rb", "rs", "scala", "scss", "sh", "sql", "svelte", "swift", "toml", "ts", "tsx",
        "vue", "xml", "zig",
    ];
    let extension = path.extension().and_then(|it| it.to_str()).unwrap_or_default();
    !FREE.contains(&extension.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests;
