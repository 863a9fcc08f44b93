//! Carrying a change over inside one line, word by word.

use super::align::{Origin, origins};
use super::look_alike::{self, is_blank};

/// A word or a sign, with the white space before it.
#[derive(Clone, Copy)]
struct Word<'a> {
    space: &'a str,
    text: &'a str,
}

/// The line `new`, in which every word and every space that it keeps of `old` is as the file has
/// it. `None` when the words of the file and of `old` are not pairs, or when `new` changes a word
/// in which they differ.
pub(super) fn carried(file: &str, old: &str, new: &str) -> Option<String> {
    let (file, old, new) = (words(file), words(old), words(new));
    if file.len() != old.len() {
        return None;
    }
    let texts = |words: &[Word<'_>]| -> Vec<String> {
        words.iter().map(|word| word.text.to_owned()).collect()
    };
    let origins = origins(&texts(&old), &texts(&new));
    let is_kept = |index: usize| origins.contains(&Origin::Kept(index));
    let differs = |(index, (file, old)): (usize, (&Word<'_>, &Word<'_>))| {
        plain(file.text) != plain(old.text) && !is_kept(index)
    };
    if file.iter().zip(&old).enumerate().any(differs) {
        return None;
    }
    let mut carried = String::new();
    for (at, (word, origin)) in new.iter().zip(&origins).enumerate() {
        let pair = origin.index().and_then(|index| Some((file.get(index)?, old.get(index)?)));
        match pair {
            Some((file, old)) if word.space == old.space => {
                carried.push_str(file.space);
            }
            _ if at > 0 => carried.push_str(word.space),
            _ => {}
        }
        match (origin, pair) {
            (Origin::Kept(_), Some((file, _))) => carried.push_str(file.text),
            _ => carried.push_str(word.text),
        }
    }
    Some(carried)
}

/// A word as it reads, whichever of several look-alike characters it is written with.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        match look_alike::plain(character) {
            Some(other) => plain.push_str(other),
            None => plain.push(character),
        }
    }
    look_alike::composed(&plain)
}

fn words(line: &str) -> Vec<Word<'_>> {
    let is_letter = |character: char| {
        character.is_alphanumeric() || character == '_' || look_alike::continues(character)
    };
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        let visible = rest.trim_start_matches(is_blank);
        let space = rest.get(..rest.len() - visible.len()).unwrap_or_default();
        let Some(first) = visible.chars().next() else {
            return words;
        };
        let after = if is_letter(first) {
            visible.trim_start_matches(is_letter)
        } else {
            let after = visible.get(first.len_utf8()..).unwrap_or_default();
            after.trim_start_matches(look_alike::continues)
        };
        let text = visible.get(..visible.len() - after.len()).unwrap_or_default();
        words.push(Word { space, text });
        rest = after;
    }
}
