//! How many tokens a text is about, where nobody has the tokenizer.

/// Two tokens for seven ASCII characters, one for any other: code and prose are a little above the
/// first, Chinese and Japanese a little below the second, so a guess errs to the safe side.
#[must_use]
pub fn estimate(text: &str) -> u64 {
    let ascii = text.bytes().filter(u8::is_ascii).count() as u64;
    let others = text.chars().count() as u64 - ascii;
    (ascii * 2).div_ceil(7) + others
}
