//! How the indentation of a piece is that of the file.
//!
//! The lines of a piece that was found are pairs: what the model wrote before a line, and what
//! the file has there. From them follows what a new line gets. Where it does not follow, there is
//! no answer, and the edit is not made.

/// How wide a step is taken to be when nothing shows it.
const STEP_DEFAULT: usize = 4;
/// The widest level.
const STEP_MAX: usize = 8;
/// How many lines show how wide a level is.
const STEP_LINES_MAX: usize = 2_000;

/// The pairs of a piece.
pub(super) struct Indents<'a> {
    pairs: Vec<(&'a str, &'a str)>,
    /// How many blanks a level is in the model's texts and in the file, where that is known.
    steps: Option<(usize, usize)>,
    strict: bool,
}

impl<'a> Indents<'a> {
    /// Reads the pairs, `(as written, in the file)`. Where indentation carries meaning (`strict`),
    /// each must stand for one and the same.
    pub(super) fn new(pairs: Vec<(&'a str, &'a str)>, strict: bool) -> Option<Self> {
        let differ =
            |one: &(&str, &str), other: &(&str, &str)| (one.0 == other.0) != (one.1 == other.1);
        let mut distinct: Vec<(&str, &str)> = pairs.clone();
        distinct.sort_unstable();
        distinct.dedup();
        let is_open = strict
            && distinct
                .iter()
                .enumerate()
                .any(|(at, one)| distinct.iter().skip(at + 1).any(|other| differ(one, other)));
        (!is_open).then_some(Self { pairs, steps: None, strict })
    }

    /// With the width of a level in the model's texts and in the file.
    pub(super) fn with_steps(self, written: Option<usize>, file: Option<usize>) -> Self {
        Self { steps: written.zip(file), ..self }
    }

    /// What a line gets that was written with `wanted` before it, near the pair with this number.
    pub(super) fn carry(&self, wanted: &str, near: usize) -> Option<String> {
        if self.pairs.iter().all(|pair| pair.0 == pair.1) {
            return Some(wanted.to_owned());
        }
        let known = |at: &usize| self.pairs.get(*at).filter(|pair| pair.0 == wanted);
        let before = (0..=near.min(self.pairs.len())).rev().find_map(|at| known(&at));
        if let Some(pair) = before.or_else(|| (near..self.pairs.len()).find_map(|at| known(&at))) {
            return Some(pair.1.to_owned());
        }
        let inner = self.pairs.iter().filter(|pair| wanted.starts_with(pair.0));
        if let Some((written, file)) = inner.max_by_key(|pair| pair.0.len()) {
            let more = wanted.get(written.len()..).unwrap_or_default();
            return Some(format!("{file}{}", self.translate(more)?));
        }
        let outer = self.pairs.iter().filter(|pair| pair.0.starts_with(wanted));
        let (written, file) = outer.min_by_key(|pair| pair.0.len())?;
        let less = self.translate(written.get(wanted.len()..).unwrap_or_default())?;
        // Nothing stands further out than the margin.
        let margin = (!self.strict).then_some("");
        file.strip_suffix(less.as_str()).or(margin).map(str::to_owned)
    }

    /// Indentation as the file would write it.
    fn translate(&self, written: &str) -> Option<String> {
        let sign = written.chars().next().filter(|sign| written.chars().all(|it| it == *sign));
        let file_has = |sign: char| self.pairs.iter().any(|pair| pair.1.contains(sign));
        let is_bare = !file_has(' ') && !file_has('\t');
        // As far apart everywhere, and in the same direction.
        let shift = |pair: &(&str, &str)| pair.1.len().wrapping_sub(pair.0.len());
        let first = self.pairs.first().map(shift);
        let is_shift = self.pairs.iter().all(|pair| {
            Some(shift(pair)) == first && (pair.1.ends_with(pair.0) || pair.0.ends_with(pair.1))
        });
        if is_shift && (is_bare || sign.is_some_and(file_has)) {
            // One pair alone is a shift as well as a wider level.
            let is_alone = self.pairs.iter().all(|pair| Some(pair) == self.pairs.first());
            let steps = self.steps.filter(|steps| is_alone && sign == Some(' ') && steps.0 > 0);
            return Some(match steps {
                Some((from, to)) if written.len().is_multiple_of(from) => {
                    " ".repeat(written.len() / from * to)
                }
                _ => written.to_owned(),
            });
        }
        let to = if file_has('\t') { '\t' } else { ' ' };
        let (from_count, to_count) = self.ratio(sign?, to).unwrap_or(match (sign?, to) {
            (' ', '\t') => (STEP_DEFAULT, 1),
            ('\t', ' ') => (1, STEP_DEFAULT),
            _ => (1, 1),
        });
        let steps = written.len().checked_div(from_count)?;
        (steps * from_count == written.len()).then(|| to.to_string().repeat(steps * to_count))
    }

    /// How many of one sign stand for how many of another, by the smallest step that the pairs
    /// show.
    fn ratio(&self, from: char, to: char) -> Option<(usize, usize)> {
        let is_only = |text: &str, sign: char| text.chars().all(|other| other == sign);
        let mut pure: Vec<(usize, usize)> = self
            .pairs
            .iter()
            .filter(|(written, file)| is_only(written, from) && is_only(file, to))
            .map(|(written, file)| (written.len(), file.len()))
            .collect();
        pure.sort_unstable();
        pure.dedup();
        let steps = pure.windows(2).filter_map(|pair| match pair {
            [one, other] => Some((other.0 - one.0, other.1.checked_sub(one.1)?)),
            _ => None,
        });
        let usable = |step: &(usize, usize)| step.0 > 0 && step.1 > 0;
        steps.filter(usable).min().or_else(|| pure.iter().copied().find(usable))
    }
}

/// How many blanks a level of a text is, by what most lines that go deeper than the one before
/// add to it.
pub(super) fn step(text: &str) -> Option<usize> {
    let mut counts = [0_usize; STEP_MAX + 1];
    let mut before = 0;
    for line in text.lines().filter(|line| !line.trim().is_empty()).take(STEP_LINES_MAX) {
        let depth = line.len() - line.trim_start_matches(' ').len();
        if let Some(count) = depth.checked_sub(before).and_then(|step| counts.get_mut(step)) {
            *count += 1;
        }
        before = depth;
    }
    let most = counts.iter().enumerate().skip(2).filter(|(_, count)| **count > 0);
    most.max_by_key(|(step, count)| (**count, std::cmp::Reverse(*step))).map(|(step, _)| step)
}
