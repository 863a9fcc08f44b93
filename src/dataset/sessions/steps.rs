//! A session as steps: what the user, the model and limn did, each with what came of it.

use trajectory::event::{Attachment, Reasoning, ReasoningForm};
use trajectory::{Body, Event, Usage};

use super::Ids;
use crate::error::DatasetError;
use crate::images::{Images, Placed};
use crate::ledger::Ledger;
use crate::recording::Recording;

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// limn: the frame of the conversation, a summary, a way back.
    System,
    /// The user, or the user's workspace.
    User,
    /// The model.
    Agent,
}

/// A call of a step.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) name: String,
    /// As the model sent them.
    pub(super) arguments: String,
}

/// What came of a call.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) call: String,
    pub(super) text: String,
    pub(super) images: Vec<Image>,
    pub(super) wall_ns: i64,
}

/// An image beside the export.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) path: String,
    pub(super) media_type: String,
}

/// A step of a session.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) who: Who,
    /// The kind of event, where it is not simply something said.
    pub(super) kind: Option<&'static str>,
    pub(super) wall_ns: i64,
    pub(super) text: String,
    pub(super) images: Vec<Image>,
    pub(super) reasoning: Option<String>,
    pub(super) calls: Vec<Call>,
    pub(super) seen: Vec<Seen>,
    pub(super) model: Option<String>,
    pub(super) request: Option<u32>,
    pub(super) usage: Option<Usage>,
    pub(super) copied: bool,
}

/// The steps of a recording. Images are written beside the export where the form holds them.
pub(super) fn of(
    recording: &Recording,
    images: &mut Images,
    holds_images: bool,
    ledger: &mut Ledger,
) -> Result<Vec<Step>, DatasetError> {
    let mut walk = Walk {
        recording,
        images,
        holds_images,
        ledger,
        steps: Vec::new(),
        ids: Ids::default(),
        model: None,
    };
    for event in &recording.events {
        walk.take(event)?;
    }
    let Walk { mut steps, ledger, .. } = walk;
    for request in recording.archive.requests()? {
        let usage = request.end.and_then(|end| end.usage);
        let replied = |step: &&mut Step| step.request == Some(request.request);
        if let Some(step) = steps.iter_mut().find(replied) {
            step.usage = usage.or(step.usage);
        }
    }
    for step in &steps {
        ledger.keep("steps");
        if step.who == Who::Agent {
            ledger.keep("replies");
        }
        step.calls.iter().for_each(|_| ledger.keep("tool_calls"));
        step.seen.iter().for_each(|_| ledger.keep("observations"));
    }
    Ok(steps)
}

struct Walk<'a> {
    recording: &'a Recording,
    images: &'a mut Images,
    holds_images: bool,
    ledger: &'a mut Ledger,
    steps: Vec<Step>,
    ids: Ids,
    model: Option<String>,
}

impl Walk<'_> {
    fn take(&mut self, event: &Event) -> Result<(), DatasetError> {
        match &event.body {
            Body::Prompt(prompt) => {
                let images = self.place(&prompt.attachments)?;
                let step = self.step(Who::User, None, event, &prompt.text);
                self.steps.push(Step { images, ..step });
            }
            Body::Steering(said) => self.said(Who::User, None, event, &said.text),
            Body::UserEdit(edit) => self.said(Who::User, Some("user_edit"), event, &edit.shown),
            Body::UserCommand(command) => {
                self.said(Who::User, Some("user_command"), event, &command.shown);
            }
            Body::BackgroundExit(exit) if !exit.shown.is_empty() => {
                self.said(Who::System, Some("background_exit"), event, &exit.shown);
            }
            Body::Compaction(summary) => {
                self.said(Who::System, Some("compaction"), event, &summary.summary);
            }
            Body::Rewind(_) => self.said(Who::System, Some("rewind"), event, ""),
            Body::ConfigChanged(config) => {
                if let Some(prompt) = &config.system_prompt {
                    self.said(Who::System, None, event, prompt);
                }
            }
            Body::ModelChanged(model) => self.model = Some(model.model.clone()),
            Body::Reasoning(part) => self.think(event, part),
            Body::Message(part) => {
                self.reply(event, part.request).text.push_str(&part.text);
            }
            Body::ToolCall(call) => {
                let id = self.ids.of(call.call, &call.id);
                let (name, arguments) = (call.name.clone(), call.arguments.clone());
                self.reply(event, call.request).calls.push(Call { id, name, arguments });
            }
            Body::Observation(seen) => {
                let images = self.place(&seen.attachments)?;
                let Some(call) = self.ids.get(seen.call).cloned() else {
                    let note = "Results of calls that are not in the recording.";
                    self.ledger.lose("observations_without_a_call", 1, note);
                    return Ok(());
                };
                let (text, wall_ns) = (seen.shown.clone(), event.wall_ns);
                let asked = |step: &&mut Step| step.calls.iter().any(|it| it.id == call);
                if let Some(step) = self.steps.iter_mut().rev().find(asked) {
                    step.seen.push(Seen { call, text, images, wall_ns });
                }
            }
            other => {
                let name = format!("events_{}", other.kind());
                self.ledger.lose(&name, 1, "Events that this form has no place for.");
            }
        }
        Ok(())
    }

    fn think(&mut self, event: &Event, part: &Reasoning) {
        let signatures = u64::from(part.signature.is_some());
        self.ledger.lose("reasoning_signatures", signatures, "Providers' signatures.");
        if part.form == ReasoningForm::Encrypted {
            self.ledger.lose("encrypted_reasoning", 1, "Reasoning that nobody can read.");
            return;
        }
        let summaries = u64::from(part.form == ReasoningForm::Summary);
        let note = "Reasoning that was handed out as a summary, and is not marked as one.";
        self.ledger.lose("summarised_reasoning", summaries, note);
        let step = self.reply(event, part.request);
        step.reasoning.get_or_insert_default().push_str(&part.text);
    }

    fn said(&mut self, who: Who, kind: Option<&'static str>, event: &Event, text: &str) {
        let step = self.step(who, kind, event, text);
        self.steps.push(step);
    }

    fn step(&self, who: Who, kind: Option<&'static str>, event: &Event, text: &str) -> Step {
        Step {
            who,
            kind,
            wall_ns: event.wall_ns,
            text: text.to_owned(),
            images: Vec::new(),
            reasoning: None,
            calls: Vec::new(),
            seen: Vec::new(),
            model: None,
            request: None,
            usage: None,
            copied: event.copied,
        }
    }

    /// The step of a reply: the last one of the model's, or a new one.
    fn reply(&mut self, event: &Event, request: u32) -> &mut Step {
        let place = self.steps.iter().rposition(|step| step.request == Some(request));
        let place = place.unwrap_or_else(|| {
            let step = self.step(Who::Agent, None, event, "");
            let model = self.model.clone();
            self.steps.push(Step { request: Some(request), model, ..step });
            self.steps.len() - 1
        });
        &mut self.steps[place]
    }

    fn place(&mut self, attachments: &[Attachment]) -> Result<Vec<Image>, DatasetError> {
        let mut images = Vec::new();
        for attachment in attachments {
            if !self.holds_images {
                self.ledger.lose("images", 1, "Images: this form has no place for them.");
            } else if let Placed::At(path) =
                self.images.place(&self.recording.archive, attachment, self.ledger)?
            {
                images.push(Image { path, media_type: attachment.media_type.clone() });
            }
        }
        Ok(images)
    }
}
