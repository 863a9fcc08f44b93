//! A session as steps: what the user, the model and limn did, each with what came of it.

use trajectory::event::{
    Attachment, CallStatus, ConfigChanged, Observation, Reasoning, ReasoningForm, ToolCall,
};
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
    pub(super) status: CallStatus,
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
    // What was asked later is of a later version.
    let last = recording.events.last().map_or(0, |event| event.seq);
    let asked = recording.archive.requests()?.into_iter();
    for request in asked.filter(|request| request.head_seq <= last) {
        let Some(usage) = request.end.and_then(|end| end.usage) else { continue };
        let replied = |step: &&mut Step| step.request == Some(request.request);
        let step = steps.iter_mut().find(replied);
        let is_lost = step.is_none_or(|step| step.usage.replace(usage).is_some());
        let note =
            "Tokens of requests that came to no step: summaries, attempts that were repeated.";
        ledger.lose("usage_beside_steps", u64::from(is_lost), note);
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
            Body::UserEdit(edit) => {
                self.lose_details();
                self.said(Who::User, Some("user_edit"), event, &edit.shown);
            }
            Body::UserCommand(command) => {
                self.lose_details();
                self.said(Who::User, Some("user_command"), event, &command.shown);
            }
            Body::BackgroundExit(exit) if !exit.shown.is_empty() => {
                self.lose_details();
                self.said(Who::System, Some("background_exit"), event, &exit.shown);
            }
            Body::Compaction(summary) => {
                self.lose_extent();
                self.said(Who::System, Some("compaction"), event, &summary.summary);
            }
            Body::Rewind(_) => {
                self.lose_extent();
                self.said(Who::System, Some("rewind"), event, "");
            }
            Body::ConfigChanged(config) => self.configure(event, config),
            Body::ModelChanged(model) => {
                let note = "Providers, addresses and sampling parameters of models.";
                self.ledger.lose("model_settings", 1, note);
                self.model = Some(model.model.clone());
            }
            Body::Reasoning(part) => self.think(event, part),
            Body::Message(part) => {
                self.lose_interrupted(part.interrupted);
                self.reply(event, part.request).text.push_str(&part.text);
            }
            Body::ToolCall(call) => self.call(event, call),
            Body::Observation(seen) => self.see(event, seen)?,
            other => {
                let name = format!("events_{}", other.kind());
                self.ledger.lose(&name, 1, "Events that this form has no place for.");
            }
        }
        Ok(())
    }

    fn configure(&mut self, event: &Event, config: &ConfigChanged) {
        if let Some(prompt) = &config.system_prompt {
            self.said(Who::System, None, event, prompt);
        }
        let ConfigChanged { system_prompt: _, tools, approval, sandbox, workspace } = config;
        let more = tools.is_some() || approval.is_some() || sandbox.is_some();
        let note = "Tools, approval modes, sandboxes and folders as they were set: at most the \
                    last tools are said.";
        let count = u64::from(more || workspace.is_some());
        self.ledger.lose("settings", count, note);
    }

    fn call(&mut self, event: &Event, call: &ToolCall) {
        let signatures = u64::from(call.signature.is_some());
        self.ledger.lose("call_signatures", signatures, "Providers' signatures of calls.");
        let note = "Freeform calls, which are not marked as such.";
        self.ledger.lose("freeform_calls", u64::from(call.freeform), note);
        let id = self.ids.of(call.call, &call.id);
        let (name, arguments) = (call.name.clone(), call.arguments.clone());
        self.reply(event, call.request).calls.push(Call { id, name, arguments });
    }

    fn see(&mut self, event: &Event, seen: &Observation) -> Result<(), DatasetError> {
        let images = self.place(&seen.attachments)?;
        let Some(call) = self.ids.get(seen.call).cloned() else {
            let note = "Results of calls that are not in the recording.";
            self.ledger.lose("observations_without_a_call", 1, note);
            return Ok(());
        };
        self.lose_details();
        let (text, status, wall_ns) = (seen.shown.clone(), seen.status, event.wall_ns);
        let asked = |step: &&mut Step| step.calls.iter().any(|it| it.id == call);
        if let Some(step) = self.steps.iter_mut().rev().find(asked) {
            step.seen.push(Seen { call, text, images, status, wall_ns });
        }
        Ok(())
    }

    /// What an event says beside the text that the model was shown.
    fn lose_details(&mut self) {
        let note = "Exit codes, durations, complete outputs, diffs, and what was left out of the \
                    text, of results and of what the user did.";
        self.ledger.lose("observation_details", 1, note);
    }

    fn lose_extent(&mut self) {
        let note = "Changes of the context: which steps they concern is not said.";
        self.ledger.lose("context_changes", 1, note);
    }

    fn lose_interrupted(&mut self, interrupted: bool) {
        let note = "Parts of replies that were cut short, which are not marked as such.";
        self.ledger.lose("interrupted_marks", u64::from(interrupted), note);
    }

    fn think(&mut self, event: &Event, part: &Reasoning) {
        let signatures = u64::from(part.signature.is_some());
        self.ledger.lose("reasoning_signatures", signatures, "Providers' signatures.");
        self.lose_interrupted(part.interrupted);
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
                // The file of a session of a part lies in the folder of that part.
                let up = if self.recording.facts.split.is_some() { "../" } else { "" };
                images.push(Image {
                    path: format!("{up}{path}"),
                    media_type: attachment.media_type.clone(),
                });
            }
        }
        Ok(images)
    }
}
