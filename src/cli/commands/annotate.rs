//! `limn annotate`: judgements, kept beside the recording.

use dataset::{Consent, Said};
use record::{Outcome, Review};
use serde_json::json;
use trajectory::SessionId;

use crate::args::{AnnotateArgs, OutcomeArg, OutcomeSource, ReviewArg};
use crate::error::{CliError, CliResult, Exit};
use crate::print::{Out, note, safe};
use crate::settings;
use crate::store::Store;

pub(crate) fn run(args: &AnnotateArgs) -> CliResult {
    let annotator = settings::user_file()?.annotator;
    let annotator = annotator.as_deref();
    let store = Store::open()?;
    let library = store.library()?;
    let id = store.archive(&args.id)?.id();
    if let Some(outcome) = args.outcome {
        library.set_outcome(id, outcome.into(), args.source.as_str(), annotator)?;
    }
    if let Some(review) = args.review {
        library.set_review(id, review.into(), annotator)?;
    }
    let said = |field: &str, value: &str| {
        library.annotate(id, field, value, args.source.as_str(), annotator)
    };
    if let Some(domain) = &args.domain {
        said("domain", word(domain)?)?;
    }
    if let Some(consent) = args.consent {
        said("consent", Consent::from(consent).as_str())?;
    }
    for tag in &args.tags {
        said(&Said::tag_field(word(tag)?), "yes")?;
    }
    for tag in &args.untags {
        said(&Said::tag_field(word(tag)?), "no")?;
    }
    tell(id, &Said::of(&library.annotations(id)?), args.json);
    Ok(Exit::Completed)
}

/// A domain or a tag: one word, so that it can be typed and is the same wherever it is shown.
pub(super) fn word(text: &str) -> Result<&str, CliError> {
    let is_plain = |c: char| c.is_alphanumeric() || "-_.:/".contains(c);
    if text.is_empty() || text.len() > 64 || !text.chars().all(is_plain) {
        return Err(CliError::usage(format!(
            "{text:?} is no tag. Write one word of letters, digits and - _ . : /"
        )));
    }
    Ok(text)
}

fn tell(id: SessionId, said: &Said, json: bool) {
    let outcome = said.outcome.map_or("unknown", Outcome::as_str);
    let review = said.review.map_or("none", Review::as_str);
    let consent = said.consent.map(Consent::as_str);
    if json {
        Out::new().json(&json!({
            "session": id, "outcome": outcome, "review": review, "domain": said.domain,
            "consent": consent, "tags": said.tags,
        }));
        return;
    }
    let mut line = format!("{id}: outcome {outcome}, review {review}");
    for (what, value) in [("domain", said.domain.as_deref()), ("consent", consent)] {
        line.extend(value.map(|value| format!(", {what} {value}")));
    }
    if !said.tags.is_empty() {
        let tags: Vec<&str> = said.tags.iter().map(String::as_str).collect();
        line += &format!(", tags {}", tags.join(" "));
    }
    note(&safe(&line));
}

impl OutcomeSource {
    const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Verifier => "verifier",
            Self::Judge => "judge",
        }
    }
}

impl From<OutcomeArg> for Outcome {
    fn from(arg: OutcomeArg) -> Self {
        match arg {
            OutcomeArg::Success => Self::Success,
            OutcomeArg::Failure => Self::Failure,
            OutcomeArg::Unknown => Self::Unknown,
        }
    }
}

impl From<ReviewArg> for Review {
    fn from(arg: ReviewArg) -> Self {
        match arg {
            ReviewArg::Accepted => Self::Accepted,
            ReviewArg::Rejected => Self::Rejected,
            ReviewArg::None => Self::None,
        }
    }
}
