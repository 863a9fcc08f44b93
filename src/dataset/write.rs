//! How an export goes over its sessions: each is opened, put before the gates, and written.

use std::path::Path;

use record::{Archive, Home};
use serde_json::Value;
use trajectory::Sample;
use trajectory::event::Attachment;

use crate::error::DatasetError;
use crate::export::{Format, Order};
use crate::facts::Facts;
use crate::gates::{Gate, Gates};
use crate::images::{Images, Placed};
use crate::ledger::Ledger;
use crate::lines::Lines;
use crate::messages::{self, Messages, Thoughts};
use crate::recording::Recording;
use crate::select::Chosen;
use crate::stats::{self, RowFacts};
use crate::targets::Trainer;
use crate::tokens::OverBudget;

/// One pass over the sessions of an order.
pub(crate) struct Pass<'a> {
    home: &'a Home,
    pub(crate) order: &'a Order,
    pub(crate) folder: &'a Path,
    pub(crate) gates: Gates,
    pub(crate) sessions: Vec<Facts>,
    pub(crate) over_budget: Vec<OverBudget>,
    pub(crate) ledger: Ledger,
}

impl<'a> Pass<'a> {
    pub(crate) fn new(home: &'a Home, order: &'a Order, folder: &'a Path) -> Self {
        Self {
            home,
            order,
            folder,
            gates: Gates::new(&order.recipe.waived),
            sessions: Vec::new(),
            over_budget: Vec::new(),
            ledger: Ledger::default(),
        }
    }

    pub(crate) const fn home(&self) -> &'a Home {
        self.home
    }

    /// The sessions, in the order of their ids, each once.
    pub(crate) fn chosen(&self) -> Vec<&'a Chosen> {
        let mut chosen: Vec<&Chosen> = self.order.sessions.iter().collect();
        chosen.sort_by_key(|chosen| chosen.id);
        chosen.dedup_by_key(|chosen| chosen.id);
        chosen
    }

    /// Opens a session; `None` when a gate keeps it out. What no message holds of it is counted.
    pub(crate) fn open(&mut self, chosen: &Chosen) -> Result<Option<Recording>, DatasetError> {
        let recording = self.open_plain(chosen)?;
        if let Some(recording) = &recording {
            messages::count_losses(&recording.events, &mut self.ledger);
            messages::count_left_out(&recording.events, &recording.samples, &mut self.ledger);
        }
        Ok(recording)
    }

    /// Opens a session and counts nothing; `None` when a gate keeps it out.
    pub(crate) fn open_plain(
        &mut self,
        chosen: &Chosen,
    ) -> Result<Option<Recording>, DatasetError> {
        let mut recording = Recording::open(self.home, chosen)?;
        if !self.gates.pass(&recording.name, &recording.events, &recording.samples) {
            return Ok(None);
        }
        let part = self.order.recipe.splits.of(&recording.facts.group);
        recording.facts.split = part.map(str::to_owned);
        Ok(Some(recording))
    }

    /// Whether a row of so many tokens may be in the dataset; one that is too long is named.
    pub(crate) fn fits(
        &mut self,
        session: &str,
        (sample, row): (usize, usize),
        tokens: usize,
        tokens_max: Option<usize>,
    ) -> bool {
        if tokens_max.is_none_or(|max| tokens <= max) {
            return true;
        }
        self.over_budget.push(OverBudget { session: session.to_owned(), sample, row, tokens });
        let may_stay = self.gates.fail(Gate::Budget, session);
        if !may_stay {
            let note = "Rows of more tokens than were asked for: left out whole, and named in the \
                        manifest.";
            self.ledger.lose("rows_over_budget", 1, note);
        }
        may_stay
    }

    /// The files that rows go into.
    pub(crate) fn lines(&self, format: Format) -> Result<Lines, DatasetError> {
        let recipe = &self.order.recipe;
        Lines::new(self.folder, format, recipe.files, !recipe.splits.parts.is_empty())
    }

    /// After the gates, something has to be left: an empty dataset is nobody's wish.
    pub(crate) fn refuse_nothing(&self) -> Result<(), DatasetError> {
        let kept_out = self.gates.found.iter().filter(|(_, found)| found.waived.is_none());
        let said: Vec<String> = kept_out
            .map(|(gate, found)| format!("{} × {}", found.sessions.len(), gate.as_str()))
            .collect();
        if self.sessions.is_empty() && !said.is_empty() {
            return Err(DatasetError::NothingLeft { what: said.join(", ") });
        }
        Ok(())
    }
}

/// Writes `messages.jsonl`, in the form of a trainer or in our own.
pub(crate) fn messages(
    pass: &mut Pass<'_>,
    target: &Messages,
) -> Result<Vec<RowFacts>, DatasetError> {
    let format = target.format();
    let mut lines = pass.lines(format)?;
    let mut images = Images::new(pass.folder);
    for chosen in pass.chosen() {
        let Some(mut recording) = pass.open(chosen)? else { continue };
        let thoughts = messages::thoughts(&recording.events);
        for (number, sample) in recording.samples.iter().enumerate() {
            let mut place = Placing {
                sample,
                archive: &recording.archive,
                images: &mut images,
                trainer: target.trainer,
                unseen: Unseen::default(),
            };
            for (row, part) in target.rows.of(sample).iter().enumerate() {
                if !is_short_enough(pass, target, (&recording, &thoughts), part, (number, row))? {
                    continue;
                }
                let key = (recording.name.as_str(), number, row);
                let mut place =
                    |attachment: &Attachment, ledger: &mut Ledger| place.place(attachment, ledger);
                let ledger = &mut pass.ledger;
                let line = messages::row(key, part, target.trainer, &thoughts, &mut place, ledger)?;
                let Some(line) = line else { continue };
                lines.put(recording.facts.split.as_deref(), &recording.name, &line)?;
                recording.facts.rows += 1;
            }
        }
        pass.sessions.push(recording.facts);
    }
    images.finish()?;
    lines.finish(|row| stats::read(format, row))
}

/// Whether a row is within the budget, if there is one. A row that would not be written for
/// another reason has no length.
fn is_short_enough(
    pass: &mut Pass<'_>,
    target: &Messages,
    (recording, thoughts): (&Recording, &Thoughts<'_>),
    row: &Sample,
    place: (usize, usize),
) -> Result<bool, DatasetError> {
    let Some(budget) = &target.budget else { return Ok(true) };
    let (mut nowhere, mut unsaid) =
        (|_: &Attachment, _: &mut Ledger| Ok(Placed::NotShown), Ledger::default());
    let key = (recording.name.as_str(), place.0, place.1);
    let line = messages::row(key, row, target.trainer, thoughts, &mut nowhere, &mut unsaid)?;
    if line.is_none() {
        return Ok(true);
    }
    let holds_reasoning = target.trainer.is_none_or(Trainer::holds_reasoning);
    let tokens = budget.count(recording, (place.0, row), thoughts, holds_reasoning)?;
    Ok(pass.fits(&recording.name, place, tokens, budget.tokens_max))
}

/// What becomes of the images of a sample.
struct Placing<'a> {
    sample: &'a Sample,
    archive: &'a Archive,
    images: &'a mut Images,
    trainer: Option<Trainer>,
    unseen: Unseen,
}

impl Placing<'_> {
    fn place(
        &mut self,
        attachment: &Attachment,
        ledger: &mut Ledger,
    ) -> Result<Placed, DatasetError> {
        if self.unseen.holds(attachment, self.sample, self.archive)? {
            let note = "Images that the model was not shown: it was sent a line of text.";
            ledger.lose("images_not_shown", 1, note);
            return Ok(Placed::NotShown);
        }
        if self.trainer.is_some_and(|trainer| !trainer.holds_images()) {
            let note = "Images: this form has a line of text in their place.";
            ledger.lose("images", 1, note);
            return Ok(Placed::NotShown);
        }
        self.images.place(self.archive, attachment, ledger)
    }
}

/// The request that a sample ends with: what of its images was text there.
#[derive(Default)]
pub(crate) struct Unseen {
    body: Option<Vec<u8>>,
}

impl Unseen {
    /// Whether a line of text was sent in the place of this attachment.
    pub(crate) fn holds(
        &mut self,
        attachment: &Attachment,
        sample: &Sample,
        archive: &Archive,
    ) -> Result<bool, DatasetError> {
        let body = match &self.body {
            Some(body) => body,
            None => {
                let last = sample.messages.iter().rev().find_map(|message| message.request);
                let body = last.map(|request| archive.request_body(request, 1)).transpose()?;
                self.body.insert(body.unwrap_or_default())
            }
        };
        // As it stands inside a JSON text, alone or with others.
        let line = Value::from(attachment.placeholder()).to_string();
        let line = line.trim_matches('"');
        Ok(memchr::memmem::find(body, line.as_bytes()).is_some())
    }
}
