//! What is said about a session, and what can be told of it: the columns of a manifest, of which
//! cards and statistics are made.

use std::collections::{BTreeMap, BTreeSet};

use record::{Annotation, Archive, Home, Library, Outcome, Review, SessionRow, TAG_FIELD};
use serde::{Deserialize, Serialize};
use trajectory::event::ReasoningForm;
use trajectory::{Body, DeviceId, Event, SessionId};

use crate::error::DatasetError;
use crate::select::Consent;

#[cfg(test)]
mod tests;

/// What was said about a session, the latest of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Whether it did what was asked.
    pub outcome: Option<Outcome>,
    /// Whether it may go into datasets.
    pub review: Option<Review>,
    /// The field it belongs to.
    pub domain: Option<String>,
    /// For whom it may be used.
    pub consent: Option<Consent>,
    /// Words for it.
    pub tags: BTreeSet<String>,
}

impl Said {
    /// Folds annotations, oldest first.
    #[must_use]
    pub fn of(annotations: &[Annotation]) -> Self {
        let mut said = Self::default();
        for annotation in annotations.iter().filter(|it| it.target == "session") {
            let value = annotation.value.as_str();
            match annotation.field.as_str() {
                "outcome" => said.outcome = Outcome::parse(value),
                "review" => said.review = Review::parse(value),
                "domain" => said.domain = Some(value.to_owned()),
                "consent" => said.consent = Consent::parse(value),
                field => {
                    let Some(tag) = field.strip_prefix(TAG_FIELD) else { continue };
                    if value == "yes" {
                        said.tags.insert(tag.to_owned());
                    } else {
                        said.tags.remove(tag);
                    }
                }
            }
        }
        said
    }

    /// Where nobody said for whom a session may be used, its settings did.
    #[must_use]
    pub(crate) fn or_as_set(mut self, row: &SessionRow) -> Self {
        let set = || row.config["consent"].as_str().and_then(Consent::parse);
        self.consent = self.consent.or_else(set);
        self
    }

    /// What is said about a session now, and whether it is private.
    pub(crate) fn now(
        home: &Home,
        library: &Library,
        id: SessionId,
    ) -> Result<(Self, bool), DatasetError> {
        let row = Archive::open(home, id)?.session()?;
        let said = Self::of(&library.annotations(id)?).or_as_set(&row);
        let is_private = row.private || said.consent == Some(Consent::Private);
        Ok((said, is_private))
    }

    /// The field under which a tag is kept.
    #[must_use]
    pub fn tag_field(tag: &str) -> String {
        format!("{TAG_FIELD}{tag}")
    }
}

/// A session in a manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Its id.
    pub session: String,
    /// The last event that counts.
    pub head: String,
    /// The part of the dataset it is in; none where there are no parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// What keeps together when a dataset is split: a hash of the query's group, else of the
    /// repository that the workspace is of, else of the workspace.
    pub group: String,
    /// How many rows came of it.
    pub rows: usize,
    /// What its models were called.
    pub models: BTreeSet<String>,
    /// How often each tool was called.
    pub tools: BTreeMap<String, u64>,
    /// How often reasoning came in which form.
    pub reasoning: BTreeMap<String, u64>,
    /// Rounds, and replies of the model.
    pub rounds: u32,
    /// Replies of the model.
    pub replies: usize,
    /// Whether it did what was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// What its review came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<String>,
    /// The field it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// For whom it may be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent: Option<Consent>,
    /// Words for it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// Who worked with the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotator: Option<String>,
    /// The licence of its query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
}

impl Facts {
    /// What was said about it when it was exported.
    pub(crate) fn said(&self) -> Said {
        Said {
            outcome: self.outcome.as_deref().and_then(Outcome::parse),
            review: self.review.as_deref().and_then(Review::parse),
            domain: self.domain.clone(),
            consent: self.consent,
            tags: self.tags.clone(),
        }
    }

    /// What can be told of a session from its events up to the head.
    pub(crate) fn of(
        id: SessionId,
        archive: &Archive,
        events: &[Event],
        said: &Said,
    ) -> Result<Self, DatasetError> {
        let row = archive.session()?;
        let query = row.query.as_ref();
        let mut facts = Self {
            session: id.to_string(),
            head: events.last().map(|event| event.id.to_string()).unwrap_or_default(),
            group: group(&row),
            outcome: said.outcome.map(|outcome| outcome.as_str().to_owned()),
            review: said.review.map(|review| review.as_str().to_owned()),
            domain: said.domain.clone(),
            consent: said.consent,
            tags: said.tags.clone(),
            licence: query.and_then(|query| query.licence.clone()),
            annotator: row.annotator,
            ..Self::default()
        };
        let mut replies = BTreeSet::new();
        for event in events {
            facts.rounds = facts.rounds.max(event.round);
            match &event.body {
                Body::ModelChanged(model) => drop(facts.models.insert(model.model.clone())),
                Body::ToolCall(call) => {
                    replies.insert(call.request);
                    *facts.tools.entry(call.name.clone()).or_default() += 1;
                }
                Body::Message(message) => drop(replies.insert(message.request)),
                Body::Reasoning(part) => {
                    replies.insert(part.request);
                    let form = match part.form {
                        ReasoningForm::Full => "full",
                        ReasoningForm::Summary => "summary",
                        ReasoningForm::Encrypted => "encrypted",
                    };
                    *facts.reasoning.entry(form.to_owned()).or_default() += 1;
                }
                _ => {}
            }
        }
        facts.replies = replies.len();
        Ok(facts)
    }
}

/// What a session is kept together with.
fn group(row: &SessionRow) -> String {
    if let Some(query) = &row.query {
        let id = query.id.to_string();
        return key("query", &[], query.group_key.as_deref().unwrap_or(&id));
    }
    match &row.environment.repository {
        Some(repository) => key("repository", &[], repository),
        None => workspace_key(row.origin_device, &row.environment.cwd),
    }
}

/// A workspace of a device without its name: who does not know the device's id cannot try names.
pub(crate) fn workspace_key(device: DeviceId, path: &str) -> String {
    key("workspace", device.as_bytes(), path)
}

/// A name that tells the same from the other and says nothing else. Sixteen digits are enough to
/// keep groups apart.
fn key(kind: &str, salt: &[u8], name: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"limn group 2\0").update(kind.as_bytes()).update(b"\0").update(salt);
    hasher.update(name.as_bytes()).finalize().to_hex()[..16].to_owned()
}
