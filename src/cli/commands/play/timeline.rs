//! When what happened in a session: every event, every piece of a terminal, every word of a reply.
//!
//! What is on record has its moment. The pieces of a reply have none: they are spread evenly between
//! the first byte of the reply and its last. Within a run the clock that only goes forward counts,
//! between runs the other one.

use std::collections::BTreeMap;

use record::{Archive, Direction, RecordError};
use trajectory::event::ReasoningField;
use trajectory::{Body, Event, Progress, Recorded, RunId};

/// Pieces of a reply in a second.
const PIECES_A_SECOND: u64 = 30;

/// Pieces of one reply at most.
const PIECES_MAX: u64 = 2_000;

/// Something happened.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Moment {
    /// When: microseconds since the session began.
    pub(super) at_us: u64,
    /// What.
    pub(super) what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    /// The event at this place of [`Timeline::events`] came on record.
    Event(usize),
    /// The user's own command that the event at this place tells of began.
    Began(usize),
    /// Bytes of a terminal: where they lie in what the execution printed.
    Output { exec: u32, from: usize, to: usize },
    /// Bytes that were typed into it, by the model or by the user: where they lie in all of those.
    Typed { exec: u32, by: Direction, from: usize, to: usize },
    /// A terminal was given another size.
    Resized { exec: u32, columns: u16, rows: u16 },
    /// A piece of a reply.
    Words(Progress),
}

/// All of a session.
pub(super) struct Timeline {
    pub(super) events: Vec<Recorded<Event>>,
    pub(super) moments: Vec<Moment>,
    /// What each execution printed, and what was typed into it.
    bytes: BTreeMap<(u32, Direction), Vec<u8>>,
}

impl Timeline {
    /// Reads all of a session, with what was typed into commands or without.
    ///
    /// # Errors
    /// When its file cannot be read, or is damaged.
    pub(super) fn read(archive: &Archive, with_typed: bool) -> Result<Self, RecordError> {
        let events = archive.events()?;
        let mut timeline = Self { moments: Vec::new(), events, bytes: BTreeMap::new() };
        let starts = timeline.take_events();
        timeline.take_replies(archive)?;
        for exec in archive.execs()? {
            let Some(began_us) = starts.get(&exec.exec) else { continue };
            for size in &exec.sizes {
                let (exec, columns, rows) = (exec.exec, size.columns, size.rows);
                let what = What::Resized { exec, columns, rows };
                timeline.moments.push(Moment { at_us: began_us.saturating_add(size.at_us), what });
            }
            timeline.take_bytes(archive, exec.exec, Direction::Out, *began_us)?;
            for by in [Direction::In, Direction::ByUser].into_iter().filter(|_| with_typed) {
                timeline.take_bytes(archive, exec.exec, by, *began_us)?;
            }
        }
        timeline.moments.sort_by_key(|moment| moment.at_us);
        Ok(timeline)
    }

    /// The bytes of a moment.
    pub(super) fn output(&self, exec: u32, from: usize, to: usize) -> &[u8] {
        self.bytes_of(exec, Direction::Out, from, to)
    }

    /// The same, whichever way they went.
    pub(super) fn bytes_of(&self, exec: u32, way: Direction, from: usize, to: usize) -> &[u8] {
        self.bytes.get(&(exec, way)).and_then(|bytes| bytes.get(from..to)).unwrap_or_default()
    }

    /// No pause is longer than this from here on.
    pub(super) fn cap_pauses(&mut self, longest_us: u64) {
        let (mut last_us, mut now_us) = (0, 0_u64);
        for moment in &mut self.moments {
            let pause = moment.at_us.saturating_sub(last_us).min(longest_us);
            last_us = moment.at_us;
            now_us = now_us.saturating_add(pause);
            moment.at_us = now_us;
        }
    }

    /// How long it all takes, microseconds.
    pub(super) fn length_us(&self) -> u64 {
        self.moments.last().map_or(0, |moment| moment.at_us)
    }

    /// When each event happened; when each execution began comes of it.
    fn take_events(&mut self) -> BTreeMap<u32, u64> {
        let mut starts = BTreeMap::new();
        let mut clock = Clock::default();
        for (index, event) in self.events.iter().enumerate() {
            let at_us = clock.of(event);
            match &event.body {
                Body::ToolStarted(started) => {
                    starts.insert(started.exec, at_us);
                }
                // It comes on record at its end.
                Body::UserCommand(ran) => {
                    let at_us = at_us.saturating_sub(ran.duration_us);
                    self.moments.push(Moment { at_us, what: What::Began(index) });
                    starts.insert(ran.exec, at_us);
                }
                _ => {}
            }
            self.moments.push(Moment { at_us, what: What::Event(index) });
        }
        starts
    }

    /// The words of each reply, before the events that they became.
    fn take_replies(&mut self, archive: &Archive) -> Result<(), RecordError> {
        let mut lasted: BTreeMap<u32, u64> = BTreeMap::new();
        for row in archive.requests()? {
            if let Some(end) = &row.end {
                let first_ns = end.t_first_ns.unwrap_or(end.t_end_ns);
                lasted.insert(row.request, end.t_end_ns.saturating_sub(first_ns) / 1_000);
            }
        }
        let mut words = Vec::new();
        let (mut before_us, mut request) = (0, 0);
        for moment in &self.moments {
            let What::Event(index) = moment.what else { continue };
            let event = self.events.get(index);
            let Some(part) = event.and_then(|event| Part::of(&event.body)) else {
                before_us = moment.at_us;
                continue;
            };
            // All parts of a reply come on record together, at its end.
            if part.request != request {
                request = part.request;
                let took_us = lasted.get(&request).copied().unwrap_or(0);
                before_us = before_us.max(moment.at_us.saturating_sub(took_us));
            }
            words.push((before_us, moment.at_us, part));
        }
        let mut replies: BTreeMap<u32, Vec<Moment>> = BTreeMap::new();
        for same in words.chunk_by(|one, other| one.2.request == other.2.request) {
            let pieces = replies.entry(same.first().map_or(0, |it| it.2.request)).or_default();
            spread(same, pieces);
        }
        // Right before the first event of their reply: equal moments keep this order.
        let mut all = Vec::with_capacity(self.moments.len());
        for moment in std::mem::take(&mut self.moments) {
            if let What::Event(index) = moment.what
                && let Some(part) = self.events.get(index).and_then(|it| Part::of(&it.body))
            {
                all.extend(replies.remove(&part.request).unwrap_or_default());
            }
            all.push(moment);
        }
        self.moments = all;
        Ok(())
    }

    fn take_bytes(
        &mut self,
        archive: &Archive,
        exec: u32,
        way: Direction,
        began_us: u64,
    ) -> Result<(), RecordError> {
        let mut all = Vec::new();
        let mut at_us = began_us;
        let moments = &mut self.moments;
        archive.output_parts(exec, way, &mut |bytes, marks| {
            let mut from = all.len();
            let end = from + bytes.len();
            all.extend_from_slice(bytes);
            for mark in marks {
                at_us = at_us.saturating_add(u64::from(mark.dt_us));
                let to = from.saturating_add(mark.len as usize).min(end);
                let what = match way {
                    Direction::Out => What::Output { exec, from, to },
                    by => What::Typed { exec, by, from, to },
                };
                moments.push(Moment { at_us, what });
                from = to;
            }
            Ok(())
        })?;
        self.bytes.insert((exec, way), all);
        Ok(())
    }
}

/// Microseconds since the session began.
#[derive(Default)]
struct Clock {
    run: Option<RunId>,
    /// When the run began, and what its first event's own clock said.
    run_us: u64,
    run_mono_ns: u64,
    last_us: u64,
    last_wall_ns: i64,
}

impl Clock {
    fn of(&mut self, event: &Event) -> u64 {
        if self.run != Some(event.run) {
            let gap_ns = match self.run {
                Some(_) => event.wall_ns.saturating_sub(self.last_wall_ns),
                None => 0,
            };
            self.run = Some(event.run);
            self.run_us = self.last_us + u64::try_from(gap_ns).unwrap_or(0) / 1_000;
            self.run_mono_ns = event.mono_ns;
        }
        let since_ns = event.mono_ns.saturating_sub(self.run_mono_ns);
        self.last_us = self.last_us.max(self.run_us.saturating_add(since_ns / 1_000));
        self.last_wall_ns = event.wall_ns;
        self.last_us
    }
}

/// A part of a reply that has words.
struct Part<'a> {
    request: u32,
    field: Option<ReasoningField>,
    text: &'a str,
}

impl<'a> Part<'a> {
    fn of(body: &'a Body) -> Option<Self> {
        let part = match body {
            Body::Reasoning(it) => {
                Self { request: it.request, field: Some(it.field), text: &it.text }
            }
            Body::Message(it) => Self { request: it.request, field: None, text: &it.text },
            _ => return None,
        };
        (!part.text.is_empty()).then_some(part)
    }

    fn piece(&self, text: &str) -> Progress {
        let (request, text) = (self.request, text.to_owned());
        match self.field {
            Some(field) => Progress::Reasoning { request, field, text },
            None => Progress::Text { request, text },
        }
    }
}

/// The parts of one reply, each with when the reply began and ended, piece by piece in between.
fn spread(parts: &[(u64, u64, Part<'_>)], pieces: &mut Vec<Moment>) {
    let Some((start_us, end_us, _)) = parts.first() else { return };
    let took_us = end_us.saturating_sub(*start_us);
    let all: usize = parts.iter().map(|(_, _, part)| part.text.len()).sum();
    let count = (took_us.saturating_mul(PIECES_A_SECOND) / 1_000_000).clamp(1, PIECES_MAX);
    let bytes = all.div_ceil(usize::try_from(count).unwrap_or(1)).max(1);
    let mut done = 0;
    for (_, _, part) in parts {
        let mut rest = part.text;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.ceil_char_boundary(bytes));
            let share = (done as u128 * u128::from(took_us) / all.max(1) as u128) as u64;
            let what = What::Words(part.piece(now));
            pieces.push(Moment { at_us: start_us.saturating_add(share), what });
            done += now.len();
            rest = later;
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
