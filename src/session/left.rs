//! How a session left its workspace when it was last at work: what differs from that when it goes on,
//! the user changed.

use record::ExecRow;
use trajectory::{Body, Event};
use workspace::Hash;

use crate::options::Options;

/// The last checkpoint on record, if all that the agent did is in it and the session goes on in the
/// same folder. `began_in` is where the session began. In a fork only its own count: what the agent
/// did after a copied one is on no record here.
pub(crate) fn left_at(
    options: &Options,
    began_in: &str,
    events: &[Event],
    execs: &[ExecRow],
) -> Option<Hash> {
    let moved = events.iter().rev().find_map(|event| match &event.body {
        Body::ConfigChanged(config) => config.workspace.as_deref(),
        _ => None,
    });
    if options.workspace.to_str() != Some(moved.unwrap_or(began_in)) {
        return None;
    }
    let taken = events.iter().filter_map(|event| match &event.body {
        Body::Checkpoint(checkpoint) if !event.copied => {
            Some((event.wall_ns, checkpoint.tree.as_str()))
        }
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
