//! `limn annotate`: judgements, kept beside the recording.

use record::{Outcome, Review};
use serde_json::json;

use crate::args::{AnnotateArgs, OutcomeArg, OutcomeSource, ReviewArg};
use crate::error::{CliResult, Exit};
use crate::print::{Out, note};
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
    let (outcome, review) = (library.outcome(id)?, library.review(id)?);
    let outcome = outcome.map_or("unknown", Outcome::as_str);
    let review = review.map_or("none", Review::as_str);
    if args.json {
        Out::new().json(&json!({ "session": id, "outcome": outcome, "review": review }));
    } else {
        note(&format!("{id}: outcome {outcome}, review {review}"));
    }
    Ok(Exit::Completed)
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
