//! Text that was cut into pieces, perhaps in the middle of a character.
//!
//! JSON writes a character beyond U+FFFF as two escapes, its surrogates, and a server that cuts
//! its text without looking may send them in two pieces. Neither half is a character, so a piece
//! that holds one is kept as WTF-8 (UTF-8 in which surrogates may stand alone) until the halves
//! meet. A half that never meets its other one becomes U+FFFD.

use std::borrow::Cow;

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Characters.
    Whole(Cow<'a, str>),
    /// WTF-8 in which some surrogates stand alone.
    Cut(Cow<'a, [u8]>),
}

impl Default for Piece<'_> {
    fn default() -> Self {
        Self::Whole(Cow::Borrowed(""))
    }
}

impl<'a> Piece<'a> {
    pub(crate) fn of_wtf8(bytes: Cow<'a, [u8]>) -> Self {
        match bytes {
            Cow::Borrowed(bytes) => std::str::from_utf8(bytes)
                .map_or(Self::Cut(Cow::Borrowed(bytes)), |text| Self::Whole(Cow::Borrowed(text))),
            Cow::Owned(bytes) => String::from_utf8(bytes).map_or_else(
                |error| Self::Cut(Cow::Owned(error.into_bytes())),
                |text| Self::Whole(Cow::Owned(text)),
            ),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Whole(text) => text.is_empty(),
            Self::Cut(bytes) => bytes.is_empty(),
        }
    }

    /// The text that this piece adds to the pieces before it. `high` is the high surrogate that
    /// they end with, and then the one that this piece ends with.
    pub(crate) fn join<'p>(&'p self, high: &mut Option<u16>) -> Cow<'p, str> {
        match self {
            Self::Whole(text) if high.is_none() || text.is_empty() => Cow::Borrowed(text),
            Self::Whole(text) => {
                let mut joined = String::with_capacity(text.len() + 4);
                add_text(text, high, &mut joined);
                Cow::Owned(joined)
            }
            Self::Cut(bytes) => Cow::Owned(join_cut(bytes, high)),
        }
    }

    /// Its bytes.
    pub(crate) fn as_wtf8(&self) -> &[u8] {
        match self {
            Self::Whole(text) => text.as_bytes(),
            Self::Cut(bytes) => bytes,
        }
    }

    /// The text by itself.
    pub(crate) fn to_text(&self) -> String {
        let mut high = None;
        let mut text = self.join(&mut high).into_owned();
        end(&mut high, &mut text);
        text
    }

    /// The text by itself.
    pub(crate) fn into_text(self) -> Cow<'a, str> {
        match self {
            Self::Whole(text) => text,
            Self::Cut(bytes) => {
                let mut high = None;
                let mut text = join_cut(&bytes, &mut high);
                end(&mut high, &mut text);
                Cow::Owned(text)
            }
        }
    }
}

/// No more comes: a half that still waits is replaced.
pub(crate) fn end(high: &mut Option<u16>, text: &mut String) {
    if high.take().is_some() {
        text.push(char::REPLACEMENT_CHARACTER);
    }
}

fn join_cut(bytes: &[u8], high: &mut Option<u16>) -> String {
    let mut joined = String::with_capacity(bytes.len() + 4);
    let mut rest = bytes;
    while let Some((before, surrogate, after)) = split_at_surrogate(rest) {
        add_text(&String::from_utf8_lossy(before), high, &mut joined);
        add_surrogate(surrogate, high, &mut joined);
        rest = after;
    }
    add_text(&String::from_utf8_lossy(rest), high, &mut joined);
    joined
}

fn add_text(text: &str, high: &mut Option<u16>, joined: &mut String) {
    if !text.is_empty() {
        end(high, joined);
        joined.push_str(text);
    }
}

fn add_surrogate(surrogate: u16, high: &mut Option<u16>, joined: &mut String) {
    if surrogate < 0xdc00 {
        end(high, joined);
        *high = Some(surrogate);
        return;
    }
    // A low one alone decodes to the replacement, too.
    let units = high.take().into_iter().chain([surrogate]);
    joined
        .extend(char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)));
}

/// What stands before the first surrogate, the surrogate, and what stands behind it.
fn split_at_surrogate(bytes: &[u8]) -> Option<(&[u8], u16, &[u8])> {
    memchr::memchr_iter(0xed, bytes).find_map(|at| {
        let (before, rest) = bytes.split_at_checked(at)?;
        match rest {
            [_, second @ 0xa0..=0xbf, third @ 0x80..=0xbf, after @ ..] => {
                let bits = (u16::from(second & 0x3f) << 6) | u16::from(third & 0x3f);
                Some((before, 0xd000 | bits, after))
            }
            _ => None,
        }
    })
}
