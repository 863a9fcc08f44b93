//! Keys and values of what was said before, so that the next token costs one token.
//!
//! There are slots, each with room for one text. The room for all of them is taken at the beginning
//! and never moves, and so are the angles of all positions: what is needed of them is found by
//! numbers alone, as a recorded step asks for ([`step`](super::step)).
//!
//! A call brings pieces of several texts: one token, or a chunk of a prompt. All their rows go
//! through each linear layer together; attention looks at each piece's own slot, at everything
//! before a token and at nothing after it.

use serving::{Answer, Piece, Want};
use tch::{Device, Kind, Tensor};
use training::shape::ModelShape;

use crate::decoder::kept::{Kept, Span};
use crate::decoder::rotary::Angles;
use crate::decoder::step::Board;
use crate::decoder::{Decoder, Places};
use crate::error::{Result, TrainError};
use crate::torch::{forget, linear};

/// Memory is asked for with every so many tokens of a text.
const TAKEN_AHEAD: usize = 64;

/// The keys and values of several texts, layer by layer.
#[derive(Debug)]
pub struct Cache {
    /// `[slots, kv_heads, slot_tokens + 1, head_dim]` each. Behind the tokens of a slot there is a
    /// place that nobody looks at.
    pub(super) layers: Vec<(Tensor, Tensor)>,
    /// The tokens that each slot holds.
    lengths: Vec<usize>,
    /// For so many tokens each slot may have memory already, where it is taken as they come.
    taken: Vec<usize>,
    /// The bytes that a token takes.
    token_bytes: u64,
    slot_tokens: usize,
    /// Of all positions of a slot.
    pub(super) angles: Angles,
    /// Of steps.
    pub(super) board: Board,
    /// Whether what is forgotten is wiped. A step looks beyond the end of a text with a weight of
    /// zero, and zero times what is no number is none: no text may leave that to the next one.
    pub(super) wipes: bool,
}

impl Cache {
    /// Room for so many texts of so many tokens of a model.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn new(decoder: &Decoder, slots: usize, slot_tokens: usize) -> Result<Self> {
        let (shape, kind, device) = (decoder.shape(), decoder.kind(), decoder.device());
        let sizes = [slots, shape.kv_heads, slot_tokens + 1, shape.head_dim].map(as_i64);
        let room = || match device {
            // Of the processor's memory what is written is taken, and not before; nothing is read
            // that was not written.
            Device::Cpu => Tensor::f_empty(sizes, (kind, device)),
            _ => Tensor::f_zeros(sizes, (kind, device)),
        };
        let positions: Vec<i64> = (0..=as_i64(slot_tokens)).collect();
        Ok(Self {
            layers: (0..shape.layers).map(|_| Ok((room()?, room()?))).collect::<Result<_>>()?,
            lengths: vec![0; slots],
            taken: vec![0; slots],
            token_bytes: Self::bytes(shape, kind, 1, 1),
            slot_tokens,
            angles: Angles::new(&shape.rope, shape.head_dim, &positions, kind, device)?,
            board: Board::new(decoder, slots, slot_tokens)?,
            wipes: device != Device::Cpu,
        })
    }

    /// The bytes that a cache takes when all its slots are full.
    #[must_use]
    pub fn bytes(shape: &ModelShape, kind: Kind, slots: usize, slot_tokens: usize) -> u64 {
        let numbers = [slots, slot_tokens, shape.layers, 2, shape.kv_width()];
        let bytes = kind.elt_size_in_bytes() as u64;
        numbers.iter().fold(bytes, |product, number| product.saturating_mul(*number as u64))
    }

    /// The texts that it holds at once.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.lengths.len()
    }

    /// The tokens that a slot has room for.
    #[must_use]
    pub fn slot_tokens(&self) -> usize {
        self.slot_tokens
    }

    /// The tokens that are in a slot.
    #[must_use]
    pub fn length(&self, slot: usize) -> usize {
        self.lengths.get(slot).copied().unwrap_or(0)
    }

    /// Forgets all of a slot but its first so many tokens.
    pub fn truncate(&mut self, slot: usize, tokens: usize) {
        let length = self.length(slot);
        if tokens < length {
            self.lengths[slot] = tokens;
            if self.wipes {
                // A device that does not take this says so with whatever is computed next.
                let _ = self.wipe(as_i64(slot), as_i64(tokens), as_i64(length));
            }
        }
    }

    /// The bytes of memory that a slot would take to hold so many tokens, where it is taken as tokens
    /// come; none where they go over what others left.
    #[must_use]
    pub fn growth(&self, slot: usize, tokens: usize) -> u64 {
        let taken = self.taken.get(slot).copied().unwrap_or(usize::MAX);
        self.token_bytes.saturating_mul(stepped(tokens).saturating_sub(taken) as u64)
    }

    /// Forgets a slot, and gives its memory back where it was taken as tokens came. Whether there was
    /// any.
    pub fn give_back(&mut self, slot: usize) -> bool {
        let Some(taken) = self.taken.get_mut(slot).filter(|taken| !self.wipes && **taken > 0)
        else {
            return false;
        };
        *taken = 0;
        self.lengths[slot] = 0;
        for room in self.layers.iter().flat_map(|(keys, values)| [keys, values]) {
            // A slot lies in one piece, so there is nothing that could fail.
            let _ = room.f_select(0, as_i64(slot)).map_err(Into::into).and_then(forget);
        }
        true
    }

    /// Puts zeros where tokens were.
    fn wipe(&self, slot: i64, from: i64, to: i64) -> Result<()> {
        let _guard = tch::no_grad_guard();
        for room in self.layers.iter().flat_map(|(keys, values)| [keys, values]) {
            let _ = room.f_select(0, slot)?.f_narrow(1, from, to - from)?.f_zero_()?;
        }
        Ok(())
    }

    /// Makes a slot hold the first so many tokens of another, and nothing else.
    ///
    /// # Errors
    /// When there is no such slot, or it holds fewer.
    pub fn copy(&mut self, from: usize, to: usize, tokens: usize) -> Result<()> {
        if to >= self.slots() || self.length(from) < tokens {
            let told = format!("slot {from} has no {tokens} tokens that slot {to} could hold");
            return Err(TrainError::Torch(told));
        }
        if from != to {
            // What fails half-way leaves nothing that could be taken for a text.
            self.lengths[to] = 0;
            self.taken[to] = self.taken[to].max(stepped(tokens));
            let _guard = tch::no_grad_guard();
            let part = |of: &Tensor, slot: usize| {
                of.f_select(0, as_i64(slot))?.f_narrow(1, 0, as_i64(tokens))
            };
            for (keys, values) in &self.layers {
                part(keys, to)?.f_copy_(&part(keys, from)?)?;
                part(values, to)?.f_copy_(&part(values, from)?)?;
            }
        }
        self.lengths[to] = tokens;
        Ok(())
    }

    /// Pieces are in their slots.
    pub(super) fn reach(&mut self, pieces: &[Piece<'_>], spans: &[Span]) {
        for (piece, span) in pieces.iter().zip(spans) {
            let ends = (self.lengths.get_mut(piece.slot), self.taken.get_mut(piece.slot));
            if let (Some(length), Some(taken)) = ends {
                *length = usize::try_from(span.end()).unwrap_or(*length);
                *taken = stepped(*length).max(*taken);
            }
        }
    }

    /// Where the tokens of pieces go, piece by piece.
    pub(super) fn spans(&self, pieces: &[Piece<'_>]) -> Result<Vec<Span>> {
        let mut taken = vec![false; self.slots()];
        let mut start = 0;
        let span = |piece: &Piece<'_>| -> Result<Span> {
            let told = |what: String| Err(TrainError::Torch(what));
            let slot = piece.slot;
            let Some(is_taken) = taken.get_mut(slot) else {
                return told(format!("there is no slot {slot}"));
            };
            if std::mem::replace(is_taken, true) {
                return told(format!("two pieces are for slot {slot}"));
            }
            let (before, rows) = (self.length(slot), piece.tokens.len());
            if rows == 0 || rows > self.slot_tokens - before {
                let room = self.slot_tokens - before;
                return told(format!("{rows} tokens do not fit where {room} do"));
            }
            let first = start;
            start += as_i64(rows);
            Ok(Span { slot: as_i64(slot), before: as_i64(before), rows: first..start })
        };
        pieces.iter().map(span).collect()
    }

    /// The angles of rows.
    fn places(&self, spans: &[Span], device: Device) -> Result<Places> {
        if let [span] = spans {
            let rows = span.rows.end - span.rows.start;
            return Ok(Places::elsewhere(self.angles.narrow(span.before, rows)?));
        }
        let positions: Vec<i64> = spans.iter().flat_map(Span::positions).collect();
        let positions = Tensor::f_from_slice(&positions)?.f_to_device(device)?;
        Ok(Places::elsewhere(self.angles.select(&positions)?))
    }
}

impl Decoder {
    /// Computes tokens that follow what slots hold, and says what comes after each piece, in their
    /// order. The tokens are in their slots then; where it fails, the slots hold what they held.
    ///
    /// # Errors
    /// When a piece is empty or has no room, a token is none of the model's, or memory runs out.
    pub fn advance(&self, cache: &mut Cache, pieces: &[Piece<'_>]) -> Result<Vec<Answer>> {
        if self.steps(pieces) {
            return self.step(cache, pieces, &mut |step| step.compute());
        }
        self.advance_apart(cache, pieces)
    }

    /// The same, each piece by itself where keys are looked at.
    ///
    /// # Errors
    /// As there.
    pub fn advance_apart(&self, cache: &mut Cache, pieces: &[Piece<'_>]) -> Result<Vec<Answer>> {
        let _guard = tch::no_grad_guard();
        let spans = cache.spans(pieces)?;
        let ids = self.ids(pieces)?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let places = cache.places(&spans, self.device())?;
        let asked = self.asked(pieces, &spans)?;
        let mut stream = self.embed(&Tensor::f_from_slice(&ids)?.f_to_device(self.device())?)?;
        let last = self.layers().len() - 1;
        for (at, (layer, (keys, values))) in self.layers().iter().zip(&cache.layers).enumerate() {
            let new = layer.project.forward(&stream, &places)?;
            let mut found = Kept { keys, values }.look(&new, &spans)?;
            // Of the last layer only that is of use which something is said after.
            if at == last {
                let Some(asked) = &asked else { break };
                if asked.numel() < ids.len() {
                    stream = stream.f_index_select(0, asked)?;
                    found = found.f_index_select(0, asked)?;
                }
            }
            stream = layer.feed.forward(&layer.close.forward(&stream, &found)?)?;
        }
        let answers = match asked {
            Some(_) => self.answers(&stream, pieces)?,
            None => vec![Answer::Nothing; pieces.len()],
        };
        cache.reach(pieces, &spans);
        Ok(answers)
    }

    /// The tokens of all pieces. One that the model does not know would end a GPU's context.
    pub(super) fn ids(&self, pieces: &[Piece<'_>]) -> Result<Vec<i64>> {
        let known = |id: &u32| {
            if (*id as usize) < self.shape().vocab {
                return Ok(i64::from(*id));
            }
            let vocab = self.shape().vocab;
            Err(TrainError::Torch(format!(
                "the model has {vocab} tokens, and {id} is none of them"
            )))
        };
        pieces.iter().flat_map(|piece| piece.tokens).map(known).collect()
    }

    /// The rows after which something is to be said.
    fn asked(&self, pieces: &[Piece<'_>], spans: &[Span]) -> Result<Option<Tensor>> {
        let asks = pieces.iter().zip(spans).filter(|(piece, _)| piece.want != Want::Nothing);
        let rows: Vec<i64> = asks.map(|(_, span)| span.rows.end - 1).collect();
        if rows.is_empty() {
            return Ok(None);
        }
        Ok(Some(Tensor::f_from_slice(&rows)?.f_to_device(self.device())?))
    }

    /// What is said after these rows, one for each piece that asks.
    fn answers(&self, stream: &Tensor, pieces: &[Piece<'_>]) -> Result<Vec<Answer>> {
        let normal = self.norm().forward(stream)?;
        let logits = linear(&normal, self.head().value(), None)?;
        let logits = logits.f_to_kind(Kind::Float)?;
        let said = Said::new(logits, pieces)?;
        let mut rows = 0..;
        let answer = |piece: &Piece<'_>| {
            let row = if piece.want == Want::Nothing { None } else { rows.next() };
            said.answer(piece, row.unwrap_or_default())
        };
        pieces.iter().map(answer).collect()
    }
}

/// What is said after rows.
pub(super) struct Said {
    /// `[rows, vocab]`.
    logits: Tensor,
    /// The largest logit of each row and whose it is, where one piece wants that.
    best: Vec<(f32, i64)>,
}

impl Said {
    /// Logits, `[rows, vocab]`, for pieces.
    pub(super) fn new(logits: Tensor, pieces: &[Piece<'_>]) -> Result<Self> {
        if pieces.iter().all(|piece| piece.want != Want::Best) {
            return Ok(Self { logits, best: Vec::new() });
        }
        // Of tokens that are alike the lowest is taken, on every device; what is no number is larger
        // than any.
        let (largest, tokens) = logits.f_max_dim(-1, false)?;
        let (largest, tokens) = (Vec::<f32>::try_from(largest)?, Vec::<i64>::try_from(tokens)?);
        Ok(Self { logits, best: largest.into_iter().zip(tokens).collect() })
    }

    /// The answer to a piece whose last token has this row.
    pub(super) fn answer(&self, piece: &Piece<'_>, row: usize) -> Result<Answer> {
        match piece.want {
            Want::Nothing => Ok(Answer::Nothing),
            Want::Logits => {
                Ok(Answer::Logits(Vec::<f32>::try_from(self.logits.f_get(as_i64(row))?)?))
            }
            Want::Best => {
                let told = || TrainError::Torch("no token is best".to_owned());
                let (largest, token) = *self.best.get(row).ok_or_else(told)?;
                if !largest.is_finite() {
                    return Ok(Answer::NoNumber);
                }
                Ok(Answer::Best(u32::try_from(token).map_err(|_| told())?))
            }
        }
    }
}

/// So many tokens are looked ahead, so that it is not asked for memory with every one.
fn stepped(tokens: usize) -> usize {
    tokens.saturating_add(TAKEN_AHEAD - 1) / TAKEN_AHEAD * TAKEN_AHEAD
}

pub(super) fn as_i64(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
