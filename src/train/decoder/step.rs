//! One more token of each of several texts, in shapes that hardly ever change.
//!
//! A GPU that is asked for a thousand small things waits for the questions. A step asks for the same
//! things at the same places in memory each time, so that they can be recorded as one (a CUDA
//! graph): it reads tokens and positions from tensors that stay, looks at slots that lie side by
//! side and as many tokens of each as the longest of them needs, rounded up ([`Extent`]), and writes
//! what it found into tensors that stay. Whoever runs it says how ([`Step::compute`], or a record of
//! it).
//!
//! A slot between those that are asked has a row too. Its token goes to a place behind all others,
//! which nobody looks at.

use serving::{Answer, Piece};
use tch::{Device, Kind, Tensor};

use crate::decoder::cache::{Said, as_i64};
use crate::decoder::kept::{Kept, Span, Together};
use crate::decoder::{Cache, Decoder, Places};
use crate::error::{Result, TrainError};
use crate::torch::linear;

/// What a step looks at: one that looks at the same is asked for in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Extent {
    /// The first slot.
    pub first: usize,
    /// How many slots, each of which has a row.
    pub slots: usize,
    /// How many tokens of each.
    pub reach: usize,
}

/// No step looks at fewer tokens.
const REACH_MIN: usize = 256;

impl Extent {
    /// The least that a step with these pieces looks at: of slots a power of two, of tokens that or
    /// one and a half of it. `room` is how many slots there are, and tokens in each.
    pub(super) fn of(spans: &[Span], room: (usize, usize)) -> Self {
        let number = |of: i64| usize::try_from(of).unwrap_or(0);
        let slots = spans.iter().map(|span| number(span.slot));
        let (first, last) = (slots.clone().min().unwrap_or(0), slots.max().unwrap_or(0));
        let slots = (last + 1 - first).next_power_of_two().min(room.0);
        let longest = spans.iter().map(|span| number(span.end())).max().unwrap_or(0);
        let whole = longest.next_power_of_two().max(REACH_MIN);
        let reach = if longest <= whole / 4 * 3 { whole / 4 * 3 } else { whole };
        Self { first: first.min(room.0 - slots), slots, reach: reach.max(REACH_MIN).min(room.1) }
    }
}

/// What steps read and write, at places in memory that stay.
#[derive(Debug)]
pub(super) struct Board {
    /// The token of each row, and its place in its slot: `[2, slots]`.
    asked: Tensor,
    /// What comes after each row, in f32: `[slots, vocab]`.
    logits: Tensor,
    /// Slots and places as they are counted: `[slots]` and `[slot_tokens]`.
    slots: Tensor,
    places: Tensor,
    /// What is added to the score of a key that is seen, and of one that is not: `[1]` each.
    seen: Tensor,
    hidden: Tensor,
}

impl Board {
    /// For so many slots of so many tokens; nothing is read that was not written.
    pub(super) fn new(decoder: &Decoder, slots: usize, slot_tokens: usize) -> Result<Self> {
        let (slots, device) = (as_i64(slots), decoder.device());
        let vocab = as_i64(decoder.shape().vocab);
        let counted = |count: i64| -> Result<Tensor> {
            let all: Vec<i64> = (0..count).collect();
            Ok(Tensor::f_from_slice(&all)?.f_to_device(device)?)
        };
        let mark = |mark: f32| -> Result<Tensor> {
            Ok(Tensor::f_from_slice(&[mark])?.f_to_device(device)?.f_to_kind(decoder.kind())?)
        };
        Ok(Self {
            asked: Tensor::f_empty([2, slots], (Kind::Int64, device))?,
            logits: Tensor::f_empty([slots, vocab], (Kind::Float, device))?,
            slots: counted(slots)?,
            places: counted(as_i64(slot_tokens))?,
            seen: mark(0.0)?,
            hidden: mark(f32::NEG_INFINITY)?,
        })
    }

    /// How rows look that are at these places of their slots.
    fn look(&self, extent: Extent, places: &Tensor) -> Result<Together> {
        let (rows, reach) = (as_i64(extent.slots), as_i64(extent.reach));
        let first = as_i64(extent.first);
        let keys = self.places.f_narrow(0, 0, reach)?.f_unsqueeze(0)?;
        let is_hidden = keys.f_gt_tensor(&places.f_unsqueeze(1)?)?;
        let mask = self.hidden.f_where_self(&is_hidden, &self.seen)?;
        Ok(Together {
            first,
            reach,
            slots: self.slots.f_narrow(0, first, rows)?,
            places: places.shallow_clone(),
            mask: mask.f_view([rows, 1, 1, reach])?,
        })
    }
}

/// A step that is to be made.
#[derive(Debug)]
pub struct Step<'a> {
    decoder: &'a Decoder,
    cache: &'a Cache,
    extent: Extent,
}

impl Step<'_> {
    /// What it looks at.
    #[must_use]
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// Computes it. Computed again, it comes to the same.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn compute(&self) -> Result<()> {
        let _guard = tch::no_grad_guard();
        let (decoder, cache) = (self.decoder, self.cache);
        let asked = cache.board.asked.f_narrow(1, 0, self.rows())?;
        let (ids, at) = (asked.f_select(0, 0)?, asked.f_select(0, 1)?);
        let places = Places::elsewhere(cache.angles.select(&at)?);
        let look = cache.board.look(self.extent, &at)?;
        let mut stream = decoder.embed(&ids)?;
        for (layer, (keys, values)) in decoder.layers().iter().zip(&cache.layers) {
            let new = layer.project.forward(&stream, &places)?;
            let found = Kept { keys, values }.look_together(&new, &look)?;
            stream = layer.feed.forward(&layer.close.forward(&stream, &found)?)?;
        }
        let normal = decoder.norm().forward(&stream)?;
        Ok(self.logits()?.f_copy_(&linear(&normal, decoder.head().value(), None)?)?)
    }

    /// What it says comes after each row: `[slots, vocab]` in f32, in the memory where it is
    /// computed.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn logits(&self) -> Result<Tensor> {
        Ok(self.cache.board.logits.f_narrow(0, 0, self.rows())?)
    }

    fn rows(&self) -> i64 {
        as_i64(self.extent.slots)
    }

    /// Writes down what is asked.
    fn ask(&self, spans: &[Span], ids: &[i64]) -> Result<()> {
        let behind = as_i64(self.cache.slot_tokens());
        let (mut tokens, mut places) =
            (vec![0; self.extent.slots], vec![behind; self.extent.slots]);
        for (span, id) in spans.iter().zip(ids) {
            let row = self.row(span)?;
            (tokens[row], places[row]) = (*id, span.before);
        }
        let asked = Tensor::f_from_slice(&[tokens, places].concat())?.f_view([2, self.rows()])?;
        Ok(self.cache.board.asked.f_narrow(1, 0, self.rows())?.f_copy_(&asked)?)
    }

    /// The row of a span.
    fn row(&self, span: &Span) -> Result<usize> {
        let row = usize::try_from(span.slot).ok().and_then(|it| it.checked_sub(self.extent.first));
        row.filter(|row| *row < self.extent.slots).ok_or_else(|| {
            TrainError::Torch(format!("slot {} is not in {:?}", span.slot, self.extent))
        })
    }
}

impl Decoder {
    /// Computes as [`Decoder::advance`] does where each piece is one token, in the way that `run`
    /// makes the step.
    ///
    /// # Errors
    /// As [`Decoder::advance`], when a piece is not one token, and what `run` says.
    pub fn step(
        &self,
        cache: &mut Cache,
        pieces: &[Piece<'_>],
        run: &mut dyn FnMut(&Step<'_>) -> Result<()>,
    ) -> Result<Vec<Answer>> {
        let _guard = tch::no_grad_guard();
        let spans = cache.spans(pieces)?;
        if let Some(span) = spans.iter().find(|span| span.count() != 1) {
            let told = format!("a step takes one token of a text, and not {}", span.count());
            return Err(TrainError::Torch(told));
        }
        let ids = self.ids(pieces)?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let extent = Extent::of(&spans, (cache.slots(), cache.slot_tokens()));
        let step = Step { decoder: self, cache, extent };
        step.ask(&spans, &ids)?;
        run(&step)?;
        let said = Said::new(step.logits()?, pieces)?;
        let answer = |(piece, span): (&Piece<'_>, &Span)| said.answer(piece, step.row(span)?);
        let answers = pieces.iter().zip(&spans).map(answer).collect::<Result<_>>()?;
        cache.reach(pieces, &spans);
        Ok(answers)
    }

    /// Whether this is computed as a step: a processor would compute for naught where texts are of
    /// different lengths, and has nothing to wait for.
    pub(super) fn steps(&self, pieces: &[Piece<'_>]) -> bool {
        self.device() != Device::Cpu && pieces.iter().all(|piece| piece.tokens.len() == 1)
    }
}
