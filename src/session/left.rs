//! How a session left its workspace when it was last at work: what differs from that when it goes on,
//! the user changed.

use record::ExecRow;
use trajectory::{Body, Event};
use workspace::Hash;

use crate::options::Options;

/// The last checkpoint on record, if all that the agent did is in it; in whatever folder it was taken,
/// since a folder that was moved is compared with what it was. In a fork only its own count: what
/// the agent did after a copied one is on no record here. None where the clock was set back: then
/// nobody can tell which was the last.
pub(crate) fn left_at(options: &Options, events: &[Event], execs: &[ExecRow]) -> Option<Hash> {
    let own = || events.iter().filter(|event| !event.copied);
    if own().zip(own().skip(1)).any(|(event, next)| next.wall_ns < event.wall_ns) {
        return None;
    }
    let taken = own().filter_map(|event| match &event.body {
        Body::Checkpoint(checkpoint) => Some((event.wall_ns, checkpoint.tree.as_str())),
        _ => None,
    });
    let after = execs.iter().filter_map(|exec| exec.ended_ns.zip(exec.facts.tree_after.as_deref()));
    let (at_ns, tree) = taken.chain(after).max_by_key(|(at_ns, _)| *at_ns)?;
    let specs = options.toolbox.specs();
    let only_reads = |exec: &ExecRow| {
        let spec = specs.iter().find(|spec| spec.name == exec.tool);
        spec.is_some_and(|spec| !spec.effect.has_side_effects())
    };
    let is_unknown = |exec: &ExecRow| {
        let is_later = exec.ended_ns.is_none_or(|ended_ns| ended_ns > at_ns);
        exec.facts.tree_after.is_none() && is_later && !only_reads(exec)
    };
    if execs.iter().any(is_unknown) { None } else { tree.parse().ok() }
}
