//! Sends what happened to the terminal when its time has come.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender};
use tokio::time::{Instant, sleep_until};
use trajectory::{Body, Progress};
use tui::{Command, Play, Playback, Update};

use super::timeline::{Moment, Timeline, What};

/// How often the bar moves.
const TICK: Duration = Duration::from_millis(200);

/// The slowest and the fastest it goes.
const SPEEDS: (f64, f64) = (1.0 / 16.0, 1_024.0);

/// A playback.
pub(super) struct Player {
    timeline: Timeline,
    updates: Sender<Update>,
    /// The first moment that has not happened.
    next: usize,
    /// Where it stood at [`Player::since`].
    at_us: u64,
    since: Instant,
    speed: f64,
    is_paused: bool,
}

impl Player {
    pub(super) fn new(timeline: Timeline, speed: f64, updates: Sender<Update>) -> Self {
        Self {
            timeline,
            updates,
            next: 0,
            at_us: 0,
            since: Instant::now(),
            speed: speed.clamp(SPEEDS.0, SPEEDS.1),
            is_paused: false,
        }
    }

    /// Plays until the terminal leaves, from the event with this number on.
    pub(super) async fn run(mut self, from: u64, mut commands: Receiver<Command>) {
        let start = if from == 0 { 0 } else { self.moment_of(|event| event.seq >= from) };
        self.go_to(start).await;
        loop {
            let wakes_at = self.wakes_at();
            let wake = pin!(async {
                match wakes_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            });
            let is_over = tokio::select! {
                biased;
                command = commands.recv() => match command {
                    None | Some(Command::Leave) => return,
                    Some(Command::Play(play)) => self.play(play).await,
                    Some(_) => false,
                },
                () = wake => self.catch_up().await,
                () = self.updates.closed() => true,
            };
            if is_over {
                return;
            }
        }
    }

    /// When something is to be done next; never while it stands still or is over.
    fn wakes_at(&self) -> Option<Instant> {
        let next = self.timeline.moments.get(self.next).filter(|_| !self.is_paused)?;
        let pause_us = next.at_us.saturating_sub(self.at_us) as f64 / self.speed;
        let due = self.since + Duration::from_micros(pause_us as u64);
        Some(due.min(Instant::now() + TICK))
    }

    /// Where it stands now.
    fn now_us(&self) -> u64 {
        if self.is_paused {
            return self.at_us;
        }
        let since_us = self.since.elapsed().as_micros() as f64 * self.speed;
        self.at_us.saturating_add(since_us as u64).min(self.timeline.length_us())
    }

    /// From here on, time counts from here.
    fn stand_at(&mut self, at_us: u64) {
        self.at_us = at_us;
        self.since = Instant::now();
    }

    /// Tells all whose time has come; whether nobody listens.
    async fn catch_up(&mut self) -> bool {
        let now_us = self.now_us();
        self.stand_at(now_us);
        while let Some(moment) = self.timeline.moments.get(self.next) {
            if moment.at_us > now_us {
                break;
            }
            let update = self.told(&moment.what);
            self.next += 1;
            for update in update {
                if self.updates.send(update).await.is_err() {
                    return true;
                }
            }
        }
        self.is_paused |= self.next >= self.timeline.moments.len();
        self.tell_place().await
    }

    async fn play(&mut self, play: Play) -> bool {
        let now_us = self.now_us();
        match play {
            Play::Pause => {
                self.stand_at(now_us);
                self.is_paused = !self.is_paused;
                if self.next >= self.timeline.moments.len() {
                    return self.go_to(0).await;
                }
            }
            Play::Speed { faster } => {
                self.stand_at(now_us);
                let speed = if faster { self.speed * 2.0 } else { self.speed / 2.0 };
                self.speed = speed.clamp(SPEEDS.0, SPEEDS.1);
            }
            Play::Event { back } => {
                self.is_paused = true;
                return self.step(back, |_| true).await;
            }
            Play::Round { back } => {
                return self.step(back, |event| matches!(event.body, Body::Prompt(_))).await;
            }
            Play::Tenths(tenths) => {
                let wanted_us = self.timeline.length_us() / 10 * u64::from(tenths);
                let moments = &self.timeline.moments;
                let next = moments.partition_point(|moment| moment.at_us < wanted_us);
                self.is_paused &= self.next < moments.len();
                return self.go_to(next).await;
            }
        }
        self.tell_place().await
    }

    /// To behind the next event of a kind, or the last one that it is not right behind of.
    async fn step(&mut self, back: bool, fits: impl Fn(&trajectory::Event) -> bool) -> bool {
        let moments = &self.timeline.moments;
        let is_one = |index: &usize| match moments.get(*index).map(|moment| &moment.what) {
            Some(What::Event(event)) => self.timeline.events.get(*event).is_some_and(|it| fits(it)),
            _ => false,
        };
        let next = if back {
            let mut behind = (0..self.next).rev().filter(is_one).map(|index| index + 1);
            behind.find(|behind| *behind != self.next).unwrap_or(0)
        } else {
            (self.next..moments.len()).find(is_one).map_or(moments.len(), |index| index + 1)
        };
        self.go_to(next).await
    }

    /// Makes it look as if everything before a moment had just happened.
    async fn go_to(&mut self, next: usize) -> bool {
        let from = if next < self.next || self.next == 0 {
            if self.updates.send(Update::Cleared).await.is_err() {
                return true;
            }
            0
        } else {
            self.next
        };
        self.next = next;
        for index in from..next {
            let Some(moment) = self.timeline.moments.get(index) else { break };
            // Words became events, and of what was printed the end is in them.
            if !matches!(moment.what, What::Event(_) | What::Resized { .. }) {
                continue;
            }
            for update in self.told(&moment.what) {
                if self.updates.send(update).await.is_err() {
                    return true;
                }
            }
        }
        let at_us = next.checked_sub(1).map_or(0, |last| self.time_of(last));
        self.stand_at(at_us);
        self.is_paused |= self.next >= self.timeline.moments.len();
        self.tell_place().await
    }

    fn time_of(&self, index: usize) -> u64 {
        let moment = self.timeline.moments.get(index);
        moment.map_or_else(|| self.timeline.length_us(), |moment| moment.at_us)
    }

    fn moment_of(&self, fits: impl Fn(&trajectory::Event) -> bool) -> usize {
        let is_it = |what: &What| match what {
            What::Event(event) => self.timeline.events.get(*event).is_some_and(|it| fits(it)),
            _ => false,
        };
        let moments = &self.timeline.moments;
        moments.iter().position(|moment| is_it(&moment.what)).unwrap_or(moments.len())
    }

    /// What the terminal is told of a moment.
    fn told(&self, what: &What) -> Vec<Update> {
        match what {
            What::Event(index) => {
                let Some(event) = self.timeline.events.get(*index) else { return Vec::new() };
                let over = match &event.body {
                    Body::RoundEnded(round) => Some(Update::RoundOver(round.ended)),
                    _ => None,
                };
                [Update::Event(Box::new(event.clone()))].into_iter().chain(over).collect()
            }
            What::Began(index) => {
                let Some(event) = self.timeline.events.get(*index) else { return Vec::new() };
                let Body::UserCommand(ran) = &event.body else { return Vec::new() };
                let (exec, command, outside) = (ran.exec, ran.command.clone(), ran.outside_sandbox);
                vec![Update::OwnStarted { exec, command, outside }]
            }
            What::Words(words) => vec![Update::Progress(words.clone())],
            What::Resized { exec, columns, rows } => {
                let (exec, size) = (*exec, (*columns, *rows));
                vec![Update::Progress(Progress::Resized { exec, size })]
            }
            // What a command does with it is what it prints.
            What::Typed { .. } => Vec::new(),
            What::Output { exec, from, to } => {
                let bytes = Arc::from(self.timeline.output(*exec, *from, *to));
                vec![Update::Progress(Progress::Output { exec: *exec, bytes })]
            }
        }
    }

    async fn tell_place(&self) -> bool {
        // Events come in their order.
        let event = |moment: &Moment| match moment.what {
            What::Event(index) => Some(index + 1),
            _ => None,
        };
        let happened = self.timeline.moments.get(..self.next).unwrap_or_default();
        let playback = Playback {
            at_us: self.now_us(),
            length_us: self.timeline.length_us(),
            events: happened.iter().rev().find_map(event).unwrap_or(0),
            events_all: self.timeline.events.len(),
            speed: self.speed,
            is_paused: self.is_paused,
        };
        self.updates.send(Update::Playback(playback)).await.is_err()
    }
}

#[cfg(test)]
mod tests;
