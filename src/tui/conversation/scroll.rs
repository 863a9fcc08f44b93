//! Where the conversation is looked at.
//!
//! The place is a block and a row of it, not a number of rows from the top: so a frame lays out
//! what it shows and nothing else, a resize stays where it was, and what comes at the end does not
//! move what is being read.

use ratatui::text::Line;

use super::{Block, Context, Conversation, Entry};

/// Blocks whose rows are kept; those that were shown longest ago give way.
const LAID_OUT_MAX: usize = 300;

/// Where the first row is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    entry: usize,
    /// Counted with the empty row before the block.
    row: usize,
}

/// The part of the conversation that is seen.
#[derive(Default)]
pub(super) struct Scroll {
    /// None: the end is followed.
    top: Option<Place>,
    /// What was seen first when it was drawn last.
    drawn: Place,
    /// Where the end is not followed only as long as something is being marked.
    held: Option<Place>,
    rows: usize,
    /// The blocks whose first rows are seen, by the rows where those stand.
    firsts: Vec<(usize, usize)>,
    /// Blocks with rows, in the order in which they were last shown.
    laid_out: Vec<usize>,
    /// While a question is asked about a block.
    asked: Option<Asked>,
}

/// Where a question has led the user who looked elsewhere.
#[derive(Clone, Copy, Debug)]
struct Asked {
    /// What was seen before; none where the end was followed.
    before: Option<Place>,
    /// The block that it is about.
    shown: Place,
}

/// A row to draw.
pub(crate) struct Row {
    /// The block it is of.
    pub(crate) entry: usize,
    /// Whether it is the block's first.
    pub(crate) is_first: bool,
    /// Whether it is the empty one before the block.
    pub(crate) is_gap: bool,
    pub(crate) line: Line<'static>,
}

/// To where one can jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// To the block before or behind.
    Block,
    /// To a prompt.
    Round,
    /// To something that went wrong.
    Error,
    /// To a change of a file.
    Edit,
}

impl Scroll {
    /// The block whose first row stands in that row of what is seen.
    pub(super) fn first_row_of(&self, row: usize) -> Option<usize> {
        self.firsts.iter().find(|(at, _)| *at == row).map(|(_, entry)| *entry)
    }

    /// What is looked at stays the same, whatever went before it.
    pub(super) fn renumber(&mut self, gone: &[usize], entries: usize) {
        let moved = |place: Place| {
            let now = renumbered(place.entry, gone);
            let row = if now.is_some() { place.row } else { 0 };
            // What is gone gives way to what came behind it.
            let behind = place.entry - gone.partition_point(|it| *it < place.entry);
            Place { entry: now.unwrap_or(behind).min(entries.saturating_sub(1)), row }
        };
        if self.top.is_some() {
            self.top = self.top.map(moved);
            self.held = self.held.and(self.top);
        }
        self.asked = self.asked.map(|Asked { before, shown }| Asked {
            before: before.map(moved),
            shown: moved(shown),
        });
        self.laid_out = self.laid_out.iter().filter_map(|at| renumbered(*at, gone)).collect();
    }
}

/// The number of an entry once those are gone; none when it is one of them.
pub(super) fn renumbered(at: usize, gone: &[usize]) -> Option<usize> {
    gone.binary_search(&at).err().map(|before| at - before)
}

impl Conversation {
    /// The rows to draw, from the top; at most so many.
    pub(crate) fn visible(&mut self, rows: usize, context: Context<'_>) -> Vec<Row> {
        self.scroll.rows = rows;
        let top = match self.scroll.top {
            Some(top) => top,
            None => self.back_from_end(rows, context),
        };
        self.scroll.drawn = top;
        let mut seen: Vec<Row> = Vec::new();
        for entry in top.entry..self.entries.len() {
            let skipped = if entry == top.entry { top.row } else { 0 };
            let gap = self.gap(entry);
            let laid_out = self.lay_out(entry, context);
            let blank = (skipped.min(gap)..gap).map(|_| Row {
                entry,
                is_first: false,
                is_gap: true,
                line: Line::default(),
            });
            // A row that is passed over is not copied either, however many there are.
            let from = skipped.saturating_sub(gap);
            let rest = laid_out.get(from..).unwrap_or_default().iter();
            let lines = (from..).zip(rest).map(|(at, line)| Row {
                entry,
                is_first: at == 0,
                is_gap: false,
                line: line.clone(),
            });
            let more: Vec<Row> = blank.chain(lines).take(rows - seen.len()).collect();
            seen.extend(more);
            if seen.len() >= rows {
                break;
            }
        }
        // The end came up from below, as when something was folded.
        if seen.len() < rows && self.scroll.top.is_some() && top > Place::default() {
            // What is asked about does not go out of sight when more comes below it.
            let kept = self.scroll.top.take().filter(|_| self.scroll.asked.is_some());
            let seen = self.visible(rows, context);
            self.scroll.top = kept;
            return seen;
        }
        self.forget_old();
        let firsts = seen.iter().enumerate().filter(|(_, row)| row.is_first);
        self.scroll.firsts = firsts.map(|(at, row)| (at, row.entry)).collect();
        seen
    }

    /// Stands still where the end is followed, or follows it again where nobody went elsewhere.
    pub(crate) fn hold(&mut self, is_held: bool) {
        let scroll = &mut self.scroll;
        if is_held && scroll.top.is_none() {
            scroll.held = Some(scroll.drawn);
            scroll.top = scroll.held;
        } else if !is_held
            && let Some(held) = scroll.held.take()
            && scroll.top == Some(held)
        {
            scroll.top = None;
        }
    }

    /// Whether the end is in sight and stays there.
    #[cfg(test)]
    pub(crate) const fn follows(&self) -> bool {
        self.scroll.top.is_none()
    }

    /// Whether the user has gone elsewhere than to the end, or to what is asked about.
    pub(crate) fn is_elsewhere(&self) -> bool {
        let shown = self.scroll.asked.map(|asked| asked.shown);
        self.scroll.top.is_some() && self.scroll.top != shown
    }

    /// Brings the block that is asked about into sight from its first row on, and keeps it there.
    pub(super) fn keep_in_sight(&mut self, at: usize) {
        let shown = Place { entry: at, row: self.gap(at) };
        let before = self.scroll.asked.map_or(self.scroll.top, |asked| asked.before);
        self.scroll.asked = Some(Asked { before, shown });
        self.scroll.top = Some(shown);
    }

    /// Goes back to what was seen before a question, unless the user has gone elsewhere meanwhile.
    pub(super) fn let_go(&mut self) {
        if let Some(asked) = self.scroll.asked.take()
            && self.scroll.top == Some(asked.shown)
        {
            self.scroll.top = asked.before;
        }
    }

    /// Goes to the end, and stays there.
    pub(crate) fn go_to_end(&mut self) {
        self.scroll.top = None;
        self.chosen = None;
    }

    /// Goes to the beginning.
    pub(crate) fn go_to_start(&mut self) {
        self.scroll.top = Some(Place::default());
    }

    /// How many rows are in sight.
    pub(crate) const fn page(&self) -> usize {
        self.scroll.rows
    }

    /// Goes up by so many rows.
    pub(crate) fn up(&mut self, rows: usize, context: Context<'_>) {
        let seen = self.scroll.rows;
        let last = self.back_from_end(seen, context);
        let mut top = self.scroll.top.map_or(last, |top| top.min(last));
        let mut left = rows;
        while left > top.row && top.entry > 0 {
            left -= top.row + 1;
            top.entry -= 1;
            top.row = self.height(top.entry, context).saturating_sub(1);
        }
        top.row = top.row.saturating_sub(left);
        self.scroll.top = Some(top);
    }

    /// Goes down by so many rows; at the end, follows it.
    pub(crate) fn down(&mut self, rows: usize, context: Context<'_>) {
        let Some(mut top) = self.scroll.top else { return };
        top.row += rows;
        while top.entry < self.entries.len() {
            let height = self.height(top.entry, context);
            if top.row < height {
                break;
            }
            top.row -= height;
            top.entry += 1;
        }
        let last = self.back_from_end(self.scroll.rows, context);
        self.scroll.top = (top < last).then_some(top);
    }

    /// Chooses the next block of a kind, upwards or downwards, and brings it into sight.
    pub(crate) fn jump(&mut self, step: Step, up: bool, context: Context<'_>) -> bool {
        let fits = |entry: &Entry| match step {
            Step::Block => {
                !matches!(entry.block, Block::Note { kind: crate::entry::NoteKind::End, .. })
            }
            Step::Round => matches!(entry.block, Block::User { .. }),
            Step::Error => entry.is_error(),
            Step::Edit => matches!(&entry.block, Block::Card(card) if card.diff().is_some()),
        };
        let found = self.search(up, fits, context);
        found.is_some_and(|at| {
            self.choose(at, context);
            true
        })
    }

    /// Chooses the block of an event, or of the call that it is about, or what stood before it.
    pub(crate) fn go_to_event(&mut self, seq: u64, call: Option<u32>, context: Context<'_>) {
        let of_call = |entry: &Entry| call.is_some_and(|call| entry.is_call(call));
        let found = self.entries.iter().rposition(of_call);
        let found = found.or_else(|| self.entries.iter().rposition(|entry| entry.seq <= seq));
        if let Some(at) = found {
            self.choose(at, context);
        }
    }

    /// Brings the row of the chosen block that holds a text of an event into sight, however long the
    /// block is.
    pub(crate) fn go_to_row(&mut self, seq: u64, text: &str, context: Context<'_>) {
        let Some(at) = self.chosen else { return };
        // What came of a call stands below what was called.
        let is_below = self.entries.get(at).is_some_and(|entry| entry.seq < seq);
        let wanted = text.to_lowercase();
        let holds = |line: &Line<'_>| {
            let text = line.to_string().to_lowercase();
            (!is_below || text.trim_start().starts_with('│')) && text.contains(&wanted)
        };
        let found = self.lay_out(at, context).iter().position(holds).unwrap_or(0);
        let rows = self.scroll.rows.max(1);
        let last = self.back_from_end(rows, context);
        // With something of what stands before it.
        let place = Place { entry: at, row: (found + self.gap(at)).saturating_sub(rows / 3) };
        self.scroll.top = (place < last).then_some(place);
    }

    pub(super) fn search(
        &mut self,
        up: bool,
        fits: impl Fn(&Entry) -> bool,
        context: Context<'_>,
    ) -> Option<usize> {
        let count = self.entries.len();
        let chosen = self.chosen.filter(|at| self.is_in_sight(*at, context));
        let from = chosen.or_else(|| {
            // From what is in sight, when nothing there is chosen.
            let top = self.scroll.top?;
            Some(if up { top.entry + 1 } else { top.entry })
        });
        let from = from.unwrap_or(count);
        let at = |index: &usize| self.entries.get(*index).is_some_and(&fits);
        if up { (0..from.min(count)).rev().find(at) } else { (from + 1..count).find(at) }
    }

    /// Whether some row of a block is seen.
    fn is_in_sight(&mut self, at: usize, context: Context<'_>) -> bool {
        let rows = self.scroll.rows.max(1);
        let top = match self.scroll.top {
            Some(top) => top,
            None => self.back_from_end(rows, context),
        };
        let mut seen = 0;
        for entry in top.entry..at {
            if seen >= rows + top.row {
                return false;
            }
            seen += self.height(entry, context);
        }
        at >= top.entry && seen < rows + top.row
    }

    pub(super) fn choose(&mut self, at: usize, context: Context<'_>) {
        self.chosen = Some(at);
        let rows = self.scroll.rows.max(1);
        let last = self.back_from_end(rows, context);
        let top = self.scroll.top.unwrap_or(last);
        let mut below = 0;
        let mut entry = top.entry;
        while entry < at && below <= rows + top.row {
            below += self.height(entry, context);
            entry += 1;
        }
        let end = (below + self.height(at, context)).saturating_sub(top.row);
        // What the loop gave up on is further down than what is seen.
        if entry == at && end <= rows && (at > top.entry || top.row == 0) {
            return;
        }
        let wanted = Place { entry: at, row: 0 };
        self.scroll.top = (wanted < last).then_some(wanted);
    }

    /// Brings a row of the chosen block into sight, where it is not.
    pub(super) fn show_row(&mut self, at: usize, row: usize, context: Context<'_>) {
        let rows = self.scroll.rows.max(1);
        let last = self.back_from_end(rows, context);
        let top = self.scroll.top.unwrap_or(last);
        let row = self.gap(at) + row;
        let mut above = 0;
        for entry in top.entry..at {
            if above >= top.row + rows {
                break;
            }
            above += self.height(entry, context);
        }
        let is_seen = if at == top.entry {
            row >= top.row && row < top.row + rows
        } else {
            at > top.entry && above + row < top.row + rows
        };
        if !is_seen {
            // In the middle, so that what stands around it is seen too.
            let wanted = Place { entry: at, row: row.saturating_sub(rows / 2) };
            self.scroll.top = (wanted < last).then_some(wanted);
        }
    }

    /// The place from which the last rows are in sight.
    fn back_from_end(&mut self, rows: usize, context: Context<'_>) -> Place {
        let mut left = rows;
        for entry in (0..self.entries.len()).rev() {
            let height = self.height(entry, context);
            if height >= left {
                return Place { entry, row: height - left };
            }
            left -= height;
        }
        Place::default()
    }

    fn height(&mut self, entry: usize, context: Context<'_>) -> usize {
        self.gap(entry) + self.lay_out(entry, context).len()
    }

    pub(super) fn gap(&self, entry: usize) -> usize {
        let before = entry.checked_sub(1).and_then(|before| self.entries.get(before));
        match (before, self.entries.get(entry)) {
            (Some(before), Some(entry)) => entry.gap_after(before),
            _ => 0,
        }
    }

    pub(super) fn lay_out(&mut self, entry: usize, context: Context<'_>) -> &[Line<'static>] {
        let laid_out = &mut self.scroll.laid_out;
        if laid_out.last() != Some(&entry) {
            laid_out.push(entry);
        }
        match self.entries.get_mut(entry) {
            Some(entry) => entry.rows(context),
            None => &[],
        }
    }

    /// Rows of what is no longer looked at are forgotten.
    fn forget_old(&mut self) {
        if self.scroll.laid_out.len() <= 4 * LAID_OUT_MAX {
            return;
        }
        let mut kept: Vec<usize> = Vec::new();
        for entry in self.scroll.laid_out.iter().rev() {
            if kept.len() < LAID_OUT_MAX && !kept.contains(entry) {
                kept.push(*entry);
            }
        }
        for entry in std::mem::take(&mut self.scroll.laid_out) {
            if !kept.contains(&entry)
                && let Some(entry) = self.entries.get_mut(entry)
            {
                entry.forget();
            }
        }
        kept.reverse();
        self.scroll.laid_out = kept;
    }

    /// The blocks, for whoever draws their signs.
    pub(crate) fn entry(&self, at: usize) -> Option<&Entry> {
        self.entries.get(at)
    }
}
