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
    /// When each round began and ended.
    spans: Vec<(i64, i64)>,
}

/// The workspace at a moment.
#[derive(Clone, Copy, Debug)]
struct Seen {
    wall_ns: i64,
    tree: Hash,
    /// The round that was about to begin: nobody but the user was at work since the state before.
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
            // A job that ended between rounds saw what the user had done by then, too.
            if let (Some(tree), Some(wall_ns)) = (tree, exec.ended_ns)
                && past.spans.iter().any(|(began, ended)| (*began..=*ended).contains(&wall_ns))
            {
                past.seen.push(Seen { wall_ns, tree, before_round: None });
            }
        }
        past.seen.sort_by_key(|seen| seen.wall_ns);
        past
    }

    fn take(&mut self, event: &Event) {
        match &event.body {
            Body::Prompt(prompt) => {
                self.spans.push((event.wall_ns, i64::MAX));
                self.rounds.push(Round {
                    number: event.round,
                    seq: event.seq,
                    prompt: prompt.text.clone(),
                    before: None,
                    files: 0,
                    is_rewound: false,
                });
            }
            Body::RoundEnded(_) => {
                if let Some((_, ended)) = self.spans.last_mut() {
                    *ended = event.wall_ns;
                }
            }
            Body::Checkpoint(checkpoint) => {
                let Ok(tree) = checkpoint.tree.parse() else { return };
                let is_before = checkpoint.when == CheckpointWhen::BeforeRound;
                // It may be on record only after the next round has begun.
                let mut rounds = self.rounds.iter_mut().rev();
                if is_before && let Some(round) = rounds.find(|it| it.number == event.round) {
                    round.before = Some(tree);
                    round.files = checkpoint.files;
                }
                let before_round = match checkpoint.when {
                    CheckpointWhen::BeforeRound => Some(event.round),
                    // What the user had done by then is theirs wherever the round goes.
                    CheckpointWhen::Edited => Some(event.round + 1),
                    // What a restore found.
                    CheckpointWhen::OnRequest if checkpoint.restored.is_none() => {
                        Some(event.round + 1)
                    }
                    CheckpointWhen::OnRequest => None,
                };
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
