//! What must survive whatever happens to the conversation: what the user said, the plan, and the
//! files that were worked on. Folded from the log, so that it is the same after a resume.

use std::collections::HashMap;

use serde_json::Value;
use trajectory::event::{CallStatus, PlanStatus};
use trajectory::{Body, Event, ToolEffect, ToolSpec};

/// The arguments under which tools take a path.
const PATH_ARGUMENTS: &[&str] = &["file_path", "path", "absolute_path"];
/// Lines of a patch that name a file.
const PATCH_LINES: &[&str] =
    &["*** Update File: ", "*** Add File: ", "*** Delete File: ", "*** Move to: "];
/// Files beyond this many are forgotten, the longest untouched first.
const FILES_MAX: usize = 200;

/// What the session is about.
#[derive(Debug, Default)]
pub(crate) struct Gist {
    /// What the user said, with its place in the log.
    said: Vec<(u64, String)>,
    /// The checklist, as text.
    plan: Option<String>,
    /// Files that were looked at or changed, the latest last.
    files: Vec<(String, Touch)>,
    /// Calls without an observation yet: what they would touch.
    pending: HashMap<u32, Vec<(String, Touch)>>,
}

/// What was done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Touch {
    Read,
    Changed,
}

impl Gist {
    pub(crate) fn apply(&mut self, event: &Event, tools: &[ToolSpec]) {
        match &event.body {
            Body::Prompt(prompt) => self.said.push((event.seq, prompt.text.clone())),
            Body::Steering(steering) => self.said.push((event.seq, steering.text.clone())),
            Body::Plan(plan) => {
                let line = |item: &trajectory::event::PlanItem| {
                    let mark = match item.status {
                        PlanStatus::Pending => "[ ]",
                        PlanStatus::InProgress => "[>]",
                        PlanStatus::Completed => "[x]",
                    };
                    format!("{mark} {}", item.text)
                };
                let lines: Vec<String> = plan.items.iter().map(line).collect();
                self.plan = (!lines.is_empty()).then(|| lines.join("\n"));
            }
            Body::ToolCall(call) => {
                let tool = tools.iter().find(|tool| tool.name == call.name);
                let touch = match tool.map(|tool| tool.effect) {
                    Some(ToolEffect::ReadOnly) => Touch::Read,
                    Some(ToolEffect::Writes) => Touch::Changed,
                    Some(ToolEffect::Executes | ToolEffect::Network) | None => return,
                };
                let paths = paths(&call.arguments);
                self.pending
                    .insert(call.call, paths.into_iter().map(|path| (path, touch)).collect());
            }
            Body::Observation(observation) => {
                let touched = self.pending.remove(&observation.call).unwrap_or_default();
                if observation.status == CallStatus::Ok {
                    touched.into_iter().for_each(|(path, touch)| self.touch(path, touch));
                }
            }
            Body::Rewind(rewind) => self.said.retain(|(seq, _)| *seq <= rewind.to_seq),
            _ => {}
        }
    }

    pub(crate) fn said(&self) -> impl DoubleEndedIterator<Item = &str> + ExactSizeIterator {
        self.said.iter().map(|(_, text)| text.as_str())
    }

    pub(crate) fn plan(&self) -> Option<&str> {
        self.plan.as_deref()
    }

    /// The files with that touch, the latest first.
    pub(crate) fn files(&self, wanted: Touch) -> impl Iterator<Item = &str> {
        let fits = move |(_, touch): &&(String, Touch)| *touch == wanted;
        self.files.iter().rev().filter(fits).map(|(path, _)| path.as_str())
    }

    fn touch(&mut self, path: String, touch: Touch) {
        let before = self.files.iter().position(|(known, _)| *known == path);
        let before = before.map(|place| self.files.remove(place).1);
        // A file that was changed stays one that was changed, however often it is read again.
        let touch = before.filter(|before| *before == Touch::Changed).unwrap_or(touch);
        self.files.push((path, touch));
        if self.files.len() > FILES_MAX {
            self.files.remove(0);
        }
    }
}

/// The files that these arguments name.
fn paths(arguments: &str) -> Vec<String> {
    let object = serde_json::from_str::<Value>(arguments).ok();
    let text = |key: &&str| object.as_ref()?.get(key)?.as_str().map(str::to_owned);
    if let Some(path) = PATH_ARGUMENTS.iter().find_map(text) {
        return vec![path];
    }
    let patch = text(&"input").unwrap_or_else(|| arguments.to_owned());
    let named = patch.lines().filter_map(|line| {
        PATCH_LINES.iter().find_map(|start| line.strip_prefix(start)).map(|path| path.trim().into())
    });
    named.collect()
}
