//! Characters that models take for each other.
//!
//! A model that copies text writes the plain character where the file has the typographic one, or
//! the other way round, and neither of them shows on its page. The table holds only pairs that no
//! reader tells apart; letters of other alphabets are not in it, since there the difference is
//! often the point.

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_normalizer::properties::CanonicalCombiningClassMapBorrowed;

/// How a character is read: as these ones, perhaps as none. `None` when it stands for itself.
pub(super) fn plain(character: char) -> Option<&'static str> {
    let plain = match character {
        '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}' | '\u{2032}' => "'",
        '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{201f}' | '\u{2033}' => "\"",
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}' => "-",
        '\u{2026}' => "...",
        '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => " ",
        invisible if is_invisible(invisible) => "",
        _ => return None,
    };
    Some(plain)
}

/// Whether the character takes no room: zero-width ones, soft hyphens, a byte order mark.
pub(super) fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{fe0e}' | '\u{fe0f}'
    )
}

/// Whether nobody sees the character.
pub(super) fn is_blank(character: char) -> bool {
    character.is_whitespace() || is_invisible(character)
}

/// Whether the character belongs to the one before it: an accent, or a part of a Korean syllable.
pub(super) fn continues(character: char) -> bool {
    let class = CanonicalCombiningClassMapBorrowed::new().get_u8(character);
    class != 0 || matches!(character, '\u{1161}'..='\u{11ff}')
}

/// A letter with its accents in the composed form, whichever way it was written.
pub(super) fn composed(cluster: &str) -> String {
    ComposingNormalizerBorrowed::new_nfc().normalize(cluster).into_owned()
}
