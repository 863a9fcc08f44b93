//! The rounds of a session, and what is known of its workspace over time.

use record::ExecRow;
use trajectory::event::CheckpointWhen;
use trajectory::{Body, Event};
use workspace::Hash;

/// A round, as one can go back to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Round {
    pub(crate) number: u32,
    /// The event with which it began.
    pub(crate) seq: u64,
    pub(crate) prompt: String,
    /// The checkpoint before it.
    pub(crate) before: Option<Hash>,
    /// How many files that holds.
    pub(crate) files: u64,
    /// The conversation has gone back past it.
    pub(crate) is_rewound: bool,
}

/// What a recording tells of the past.
#[derive(Debug, Default)]
pub(crate) struct Past {
    pub(crate) rounds: Vec<Round>,
    /// The states of the workspace in order.
    seen: Vec<Seen>,
}

/// The workspace at a moment.
#[derive(Clone, Copy, Debug)]
struct Seen {
    wall_ns: i64,
    tree: Hash,
    /// The round that was about to begin.
    before_round: Option<u32>,
}

impl Past {
    pub(crate) fn of(events: &[Event], execs: &[ExecRow]) -> Self {
        let mut past = Self::default();
        for event in events {
            past.take(event);
        }
        for exec in execs {
            let tree = exec.facts.tree_after.as_ref().and_then(|tree| tree.parse().ok());
            if let (Some(tree), Some(wall_ns)) = (tree, exec.ended_ns) {
                past.seen.push(Seen { wall_ns, tree, before_round: None });
            }
        }
        past.seen.sort_by_key(|seen| seen.wall_ns);
        past
    }

    fn take(&mut self, event: &Event) {
        match &event.body {
            Body::Prompt(prompt) => self.rounds.push(Round {
                number: event.round,
                seq: event.seq,
                prompt: prompt.text.clone(),
                before: None,
                files: 0,
                is_rewound: false,
            }),
            Body::Checkpoint(checkpoint) => {
                let Ok(tree) = checkpoint.tree.parse() else { return };
                let is_before = checkpoint.when == CheckpointWhen::BeforeRound;
                if let Some(round) = self.rounds.last_mut().filter(|_| is_before)
                    && round.number == event.round
                {
                    round.before = Some(tree);
                    round.files = checkpoint.files;
                }
                let before_round = is_before.then_some(event.round);
                self.seen.push(Seen { wall_ns: event.wall_ns, tree, before_round });
            }
            Body::Rewind(rewind) => {
                for round in self.rounds.iter_mut().filter(|round| round.seq > rewind.to_seq) {
                    round.is_rewound = true;
                }
            }
            _ => {}
        }
    }

    /// The round with this number.
    pub(crate) fn round(&self, number: u32) -> Option<&Round> {
        self.rounds.iter().find(|round| round.number == number)
    }

    /// The workspace as it was last seen.
    pub(crate) fn last(&self) -> Option<Hash> {
        self.seen.last().map(|seen| seen.tree)
    }

    /// From each state in which a round left the workspace to the one in which the next found it,
    /// since this round began: nobody but the user was at work then.
    pub(crate) fn users_since(&self, round: u32) -> Vec<(Hash, Hash)> {
        let pairs = self.seen.iter().zip(self.seen.iter().skip(1));
        pairs
            .filter(|(from, to)| {
                to.before_round.is_some_and(|next| next > round) && from.tree != to.tree
            })
            .map(|(from, to)| (from.tree, to.tree))
            .collect()
    }
}

#[cfg(test)]
mod tests;
