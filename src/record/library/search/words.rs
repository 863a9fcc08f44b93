//! What was typed, in the index's own language; and how a text is handed to the index.

/// What was typed, as words and phrases.
pub(super) struct Words(Vec<Word>);

struct Word {
    text: String,
    is_beginning: bool,
}

impl Words {
    pub(super) fn of(text: &str) -> Self {
        let mut words = Vec::new();
        // Every second piece stands between quotes.
        for (index, piece) in text.split('"').enumerate() {
            if index % 2 == 1 {
                words.push(Word { text: piece.to_owned(), is_beginning: false });
            } else {
                words.extend(piece.split_whitespace().map(|word| Word {
                    text: word.trim_end_matches('*').to_owned(),
                    is_beginning: word.ends_with('*'),
                }));
            }
        }
        // Punctuation is in no index.
        words.retain(|word| word.text.chars().any(char::is_alphanumeric));
        Self(words)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In the index's own language; whatever was typed is text in it.
    pub(super) fn query(&self) -> String {
        let phrase = |word: &Word| {
            let end = if word.is_beginning { " *" } else { "" };
            format!("\"{}\"{end}", spaced(&word.text))
        };
        self.0.iter().map(phrase).collect::<Vec<_>>().join(" AND ")
    }

    /// Where the first of the words stands in a text, bytes; its beginning when it is spelt in
    /// another way there.
    pub(super) fn place_in(&self, text: &str) -> usize {
        let starts = |rest: &str, word: &str| {
            let mut lower = rest.chars().flat_map(char::to_lowercase);
            word.chars().flat_map(char::to_lowercase).all(|it| lower.next() == Some(it))
        };
        let place = |word: &Word| {
            let mut places = text.char_indices().map(|(at, _)| at);
            places.find(|at| starts(&text[*at..], &word.text))
        };
        self.0.iter().find_map(place).unwrap_or(0)
    }
}

/// The text with the letters of scripts that put no spaces between words set apart, so that any run
/// of them can be found.
pub(in crate::library) fn spaced(text: &str) -> String {
    let is_letter_alone = |it: char| {
        matches!(it, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
            | '\u{f900}'..='\u{faff}' | '\u{0e00}'..='\u{0eff}' | '\u{20000}'..='\u{3ffff}')
    };
    if !text.chars().any(is_letter_alone) {
        return text.to_owned();
    }
    let mut apart = String::with_capacity(text.len() * 2);
    for letter in text.chars() {
        apart.push(letter);
        if is_letter_alone(letter) {
            apart.push(' ');
        }
    }
    apart
}
