//! Carrying a change over to a text that differs from what the model thought it was.
//!
//! Three texts: what the file has, what the model took it for (`old`), and what the model wants
//! (`new`). The file and `old` have the same lines but for what was ignored. A line that `new`
//! keeps stays as the file has it, byte for byte. In a line that `new` changes, the words it keeps
//! stay as the file has them. What is new is indented like its surroundings and gets the line ends
//! of the file.

use super::align::{Origin, origins};
use super::indents::{Indents, step};
use super::look_alike::is_blank;
use super::view::{Ignored, View};
use super::words;

/// How much of a file shows how wide its indentation is, bytes.
const STEP_BYTES_MAX: usize = 64 << 10;

/// What is carried over, and by which rules.
pub(crate) struct Change<'a> {
    /// The bytes of the file that are replaced.
    pub(crate) file: &'a [u8],
    /// What the model took them for.
    pub(crate) old: &'a str,
    /// What the model puts there.
    pub(crate) new: &'a str,
    /// They begin with a line.
    pub(crate) starts_line: bool,
    /// What was ignored to find them.
    pub(crate) ignored: Ignored,
    /// Indentation carries meaning in this file.
    pub(crate) strict: bool,
    /// The whole file, for what the bytes alone do not show.
    pub(crate) whole: &'a [u8],
    /// The end of a line that is new.
    pub(crate) line_end: &'static str,
}

/// A line that is not blank, with what lies between it and the one before.
#[derive(Clone, Copy)]
struct Line<'a> {
    gap: &'a str,
    indent: &'a str,
    text: &'a str,
    trailing: &'a str,
}

/// The lines of a text, and what follows the last.
struct Lines<'a> {
    lines: Vec<Line<'a>>,
    tail: &'a str,
}

/// The three texts, and which line of `old` each line of `new` comes from.
struct Three<'a> {
    file: Lines<'a>,
    old: Lines<'a>,
    new: Lines<'a>,
    origins: Vec<Origin>,
}

impl Change<'_> {
    /// What replaces the bytes; `None` when that does not follow from what is known.
    pub(crate) fn carried(&self) -> Option<String> {
        let file = Lines::of(std::str::from_utf8(self.file).ok()?);
        let old = Lines::of(self.old);
        let new = Lines::of(self.new).without(&file, &old);
        let old = Lines::of(self.old).without(&file, &old);
        if old.lines.is_empty() || file.lines.len() != old.lines.len() {
            return None;
        }
        let origins = origins(&old.texts(), &new.texts());
        let three = Three { file, old, new, origins };
        if !self.differences_stay(&three) {
            return None;
        }
        let is_trimmed = self.is_trimmed(&three);
        let indents = self.indents(&three, is_trimmed)?.map(|indents| self.with_steps(indents));
        let mut carried = String::new();
        let mut near = 0;
        for (at, line) in three.new.lines.iter().enumerate() {
            carried.push_str(&self.gap(&three, at, line));
            let origin = three.origin(at);
            near = origin.index().unwrap_or(near);
            let pair = origin.index().and_then(|index| three.pair(index));
            match (pair, &indents) {
                (Some((file, old)), _) if line.indent == old.indent => {
                    carried.push_str(file.indent);
                }
                (_, Some(_)) if is_trimmed && at == 0 => {
                    let first = three.file.lines.first().map_or("", |line| line.indent);
                    carried.push_str(first);
                }
                (_, Some(indents)) => carried.push_str(&indents.carry(line.indent, near)?),
                (_, None) => carried.push_str(line.indent),
            }
            match (origin, pair) {
                (Origin::Kept(_), Some((file, _))) => carried.push_str(file.text),
                (Origin::Replaced(_), Some((file, old))) if file.text != old.text => {
                    carried.push_str(&self.words(file.text, old.text, line.text)?);
                }
                _ => carried.push_str(line.text),
            }
            carried.push_str(match pair {
                Some((file, old)) if line.trailing == old.trailing => file.trailing,
                _ => line.trailing,
            });
        }
        if line_ends(three.old.tail) == line_ends(three.new.tail) {
            carried.push_str(three.file.tail);
        } else {
            carried.push_str(&self.with_line_ends(three.new.tail));
        }
        Some(carried)
    }

    /// Whether every line in which the file and `old` really differ is still there in `new`: what
    /// the model has not seen it cannot mean to take away.
    fn differences_stay(&self, three: &Three<'_>) -> bool {
        let stays = |index: usize| three.origins.iter().any(|origin| origin.index() == Some(index));
        (0..three.old.lines.len()).all(|index| {
            let is_same =
                three.pair(index).is_some_and(|(file, old)| self.is_same(file.text, old.text));
            is_same || stays(index)
        })
    }

    fn is_same(&self, file: &str, old: &str) -> bool {
        let seen = |text: &str| View::of_piece(text.as_bytes(), self.ignored).into_seen();
        file == old || seen(file) == seen(old)
    }

    /// The words of a changed line. Without an answer, the change would take away something that
    /// the model has not seen.
    fn words(&self, file: &str, old: &str, new: &str) -> Option<String> {
        let is_same = self.is_same(file, old);
        words::carried(file, old, new).or_else(|| is_same.then(|| new.to_owned()))
    }

    /// Whether the model left away the indentation of the first line only, and wrote the others
    /// as they are.
    fn is_trimmed(&self, three: &Three<'_>) -> bool {
        let Some((file, old)) = three.pair(0).filter(|_| self.starts_line) else {
            return false;
        };
        if !old.indent.is_empty() || file.indent.is_empty() {
            return false;
        }
        if three.old.lines.len() > 1 {
            return three.pairs().skip(1).all(|(file, old)| file.indent == old.indent);
        }
        let mut others = three.new.lines.iter().skip(1).peekable();
        others.peek().is_some() && others.all(|line| line.indent.starts_with(file.indent))
    }

    /// How indentation is carried over; inside, nothing where it is as the model wrote it.
    fn indents<'a>(&self, three: &Three<'a>, is_trimmed: bool) -> Option<Option<Indents<'a>>> {
        if !self.ignored.indentation {
            return Some(None);
        }
        let pairs = |skipped: usize| -> Vec<(&'a str, &'a str)> {
            let pairs: Vec<(&str, &str)> =
                three.pairs().skip(skipped).map(|(file, old)| (old.indent, file.indent)).collect();
            if pairs.is_empty() { vec![("", "")] } else { pairs }
        };
        if is_trimmed || !self.starts_line {
            return Indents::new(pairs(1), self.strict).map(Some);
        }
        let all = Indents::new(pairs(0), self.strict);
        let first_is_bare = three.old.lines.first().is_some_and(|line| line.indent.is_empty());
        all.or_else(|| Indents::new(pairs(1), self.strict).filter(|_| first_is_bare)).map(Some)
    }

    fn with_steps<'a>(&self, indents: Indents<'a>) -> Indents<'a> {
        let written = step(self.new).or_else(|| step(self.old));
        let head = self.whole.get(..STEP_BYTES_MAX).unwrap_or(self.whole);
        indents.with_steps(written, step(&String::from_utf8_lossy(head)))
    }

    /// What stands before a line: as the file has it, where the model did not change it. Between
    /// two lines from which others were taken away, it is what their own line ends leave.
    fn gap(&self, three: &Three<'_>, at: usize, line: &Line<'_>) -> String {
        let previous = at.checked_sub(1).and_then(|at| three.origin(at).index());
        let between = match (at, three.origin(at).index(), previous) {
            (0, ..) => 0..1,
            (_, Some(index), Some(previous)) if previous < index => previous + 1..index + 1,
            (_, Some(index), None) => index..index + 1,
            _ => return self.with_line_ends(line.gap),
        };
        let joined = |lines: &[Line<'_>]| -> Option<String> {
            let mut joined = String::new();
            for (number, line) in lines.get(between.clone())?.iter().enumerate() {
                let skipped =
                    if number == 0 { Some(0) } else { line.gap.find('\n').map(|it| it + 1) };
                joined.push_str(line.gap.get(skipped?..)?);
            }
            Some(joined)
        };
        match (joined(&three.file.lines), joined(&three.old.lines)) {
            (Some(file), Some(old)) if line_ends(&old) == line_ends(line.gap) => file,
            _ => self.with_line_ends(line.gap),
        }
    }

    /// What is between lines, with the line ends of the file. Blanks on blank lines are not kept
    /// where they do not count.
    fn with_line_ends(&self, text: &str) -> String {
        if self.ignored.trailing {
            return self.line_end.repeat(line_ends(text));
        }
        text.replace("\r\n", "\n").replace('\n', self.line_end)
    }
}

impl<'a> Three<'a> {
    fn origin(&self, at: usize) -> Origin {
        self.origins.get(at).copied().unwrap_or(Origin::Inserted)
    }

    /// A line of the file with what the model took it for.
    fn pair(&self, index: usize) -> Option<(Line<'a>, Line<'a>)> {
        Some((*self.file.lines.get(index)?, *self.old.lines.get(index)?))
    }

    fn pairs(&self) -> impl Iterator<Item = (Line<'a>, Line<'a>)> {
        self.file.lines.iter().copied().zip(self.old.lines.iter().copied())
    }
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let mut lines = Vec::new();
        let (mut at, mut from) = (0, 0);
        for line in text.split_inclusive('\n') {
            let body = line.trim_end_matches(is_blank);
            if !body.is_empty() {
                let ended = line.trim_end_matches(['\r', '\n']).len();
                let visible = body.trim_start_matches(is_blank);
                lines.push(Line {
                    gap: text.get(from..at).unwrap_or_default(),
                    indent: body.get(..body.len() - visible.len()).unwrap_or_default(),
                    text: visible,
                    trailing: line.get(body.len()..ended).unwrap_or_default(),
                });
                from = at + ended.max(body.len());
            }
            at += line.len();
        }
        Self { lines, tail: text.get(from..).unwrap_or_default() }
    }

    /// The lines without the blank lines at both ends that `old` has and the file has not: they
    /// were ignored, and lie outside of what is replaced.
    fn without(self, file: &Self, old: &Self) -> Self {
        let count = |lines: &Self| {
            let first = lines.lines.first().map_or(0, |line| line_ends(line.gap));
            (first, line_ends(lines.tail))
        };
        let (file, old) = (count(file), count(old));
        let Self { mut lines, mut tail } = self;
        for _ in file.0..old.0 {
            let gap = lines.first_mut().map_or(&mut tail, |first| &mut first.gap);
            *gap = gap.split_once('\n').map_or(*gap, |(_, rest)| rest);
        }
        for _ in file.1..old.1 {
            tail = tail.rsplit_once('\n').map_or(tail, |(rest, _)| rest);
            tail = tail.strip_suffix('\r').unwrap_or(tail);
        }
        Self { lines, tail }
    }

    fn texts(&self) -> Vec<&'a str> {
        self.lines.iter().map(|line| line.text).collect()
    }
}

fn line_ends(text: &str) -> usize {
    memchr::memchr_iter(b'\n', text.as_bytes()).count()
}
