//! The panel at the side: what happened, what changed, what runs, what is planned.
//!
//! It folds the same events as the conversation does. What a frame costs is what it shows: rows are
//! kept as facts, and made into lines only where they are seen.

mod changes;
mod jobs;
mod timeline;

use crossterm::event::KeyCode;
use trajectory::Event;
use trajectory::event::PlanItem;
use trajectory::{Body, Usage};

pub(crate) use changes::{Changes, Known};
pub(crate) use jobs::{JobRow, JobState, Jobs};
pub(crate) use timeline::{Row, Timeline, Trained};

use crate::attach::Attached;

/// What the panel shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Page {
    /// Every action of the trajectory.
    #[default]
    Timeline,
    /// The files that are others than when the session began.
    Changes,
    /// Commands that run.
    Terminals,
    /// The model's checklist.
    Plan,
}

impl Page {
    pub(crate) const ALL: [Self; 4] = [Self::Timeline, Self::Changes, Self::Terminals, Self::Plan];

    /// Its title.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Timeline => "Timeline",
            Self::Changes => "Changes",
            Self::Terminals => "Terminals",
            Self::Plan => "Plan",
        }
    }

    /// The one so many further on.
    pub(crate) fn next(self, back: bool) -> Self {
        let count = Self::ALL.len();
        let at = Self::ALL.iter().position(|page| *page == self).unwrap_or(0);
        let step = if back { count - 1 } else { 1 };
        Self::ALL.get((at + step) % count).copied().unwrap_or_default()
    }

    /// The one with that word.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|page| page.title().eq_ignore_ascii_case(word))
    }
}

/// What a key does in the panel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Opens it, goes into it, closes it.
    Toggle,
    /// Another page.
    Turn { back: bool },
    /// To another row.
    Move { up: bool, page: bool },
    /// To the first or the last row.
    End { up: bool },
    /// What enter does to a row: go there, look into it, attach to it.
    Enter,
    /// Takes a file back to how it was.
    Revert,
    /// Ends a command.
    Stop,
    /// Back to the prompt; the panel stays.
    Leave,
}

/// The panel.
#[derive(Default)]
pub(crate) struct Panel {
    pub(crate) is_open: bool,
    pub(crate) page: Page,
    pub(crate) timeline: Timeline,
    pub(crate) changes: Changes,
    pub(crate) jobs: Jobs,
    pub(crate) plan: Vec<PlanItem>,
    /// The command that has the keys.
    pub(crate) attached: Option<Attached>,
    /// What would be done once more is pressed.
    pub(crate) asks: Option<Asks>,
    /// Rows of a page that were seen last.
    pub(crate) rows: usize,
}

/// What waits for a second key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    /// Whether a file goes back.
    Revert(String),
    /// Whether a command ends.
    Stop(u32),
}

impl Panel {
    /// Something is on record. Says whether what is shown of the files is out of date.
    pub(crate) fn apply(&mut self, event: &Event) -> bool {
        self.timeline.apply(event);
        self.jobs.apply(event);
        match &event.body {
            Body::Plan(plan) => self.plan.clone_from(&plan.items),
            Body::Observation(_)
            | Body::BackgroundExit(_)
            | Body::UserEdit(_)
            | Body::RoundEnded(_) => return self.is_open && self.page == Page::Changes,
            _ => {}
        }
        false
    }

    /// A request was counted.
    pub(crate) fn counted(&mut self, usage: Usage) {
        self.timeline.counted(usage);
    }

    /// How many rows the page has.
    fn count(&self) -> usize {
        match self.page {
            Page::Timeline => self.timeline.len(),
            Page::Changes => self.changes.len(),
            Page::Terminals => self.jobs.len(),
            Page::Plan => self.plan.len(),
        }
    }

    /// The row that is chosen.
    pub(crate) fn chosen(&self) -> usize {
        let last = self.count().saturating_sub(1);
        match self.page {
            // Whoever has chosen nothing looks at the end.
            Page::Timeline => self.timeline.chosen.unwrap_or(last),
            Page::Changes => self.changes.chosen,
            Page::Terminals => self.jobs.chosen(),
            Page::Plan => 0,
        }
        .min(last)
    }

    pub(crate) fn choose(&mut self, row: usize) {
        let last = self.count().saturating_sub(1);
        let row = row.min(last);
        match self.page {
            Page::Timeline => self.timeline.chosen = (row < last).then_some(row),
            Page::Changes => self.changes.choose(row),
            Page::Terminals => self.jobs.choose(row),
            Page::Plan => {}
        }
    }

    pub(crate) fn go(&mut self, up: bool, page: bool) {
        let step = if page { self.rows.saturating_sub(1).max(1) } else { 1 };
        if self.page == Page::Changes && page {
            return self.changes.scroll(up, step);
        }
        let at = self.chosen();
        self.choose(if up { at.saturating_sub(step) } else { at.saturating_add(step) });
    }

    pub(crate) fn go_to_end(&mut self, up: bool) {
        self.choose(if up { 0 } else { usize::MAX });
    }

    /// Whether a key confirms what was asked.
    pub(crate) fn confirms(key: KeyCode) -> bool {
        matches!(key, KeyCode::Char('y'))
    }
}
