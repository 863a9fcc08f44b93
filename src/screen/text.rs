//! What a model is shown of a command's output.

/// All that a command printed, as text, within a budget.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// The lines, joined by line feeds, without one at the end.
    pub text: String,
    /// What was left out, when something was; the text says so where it was.
    pub truncation: Option<Truncation>,
}

/// How much of the output a text leaves out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Truncation {
    /// Whole lines left out.
    pub lines_omitted: u64,
    /// Characters left out, those of the lines and of lines that were cut; a line's end counts as
    /// one.
    pub chars_omitted: u64,
}

/// A number with its thousands apart: `12,345`.
#[must_use]
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn counted(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", thousands(number))
}

/// The line that stands for lines left out.
pub(crate) fn lines_marker(lines: u64, chars: u64) -> String {
    format!("[… {} ({}) left out …]", counted(lines, "line"), counted(chars, "character"))
}

/// What stands for the middle of a line that was cut.
pub(crate) fn chars_marker(chars: u64) -> String {
    format!("[… {} left out …]", counted(chars, "character"))
}
