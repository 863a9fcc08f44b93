//! Rows that are tokens already: ids, and which of them are trained.

use super::rows::{Flag, Refusal, Row};

/// The label of a token that is not trained.
const UNTRAINED: i64 = -100;

/// The tokens of a row and which of them are trained.
pub(super) fn read(row: Row) -> Result<(Vec<u32>, Vec<bool>), Refusal> {
    let ids = row.input_ids.unwrap_or_default();
    let masks: Vec<Vec<Flag>> =
        [row.completion_mask, row.assistant_masks].into_iter().flatten().collect();
    if row.labels.is_none() && masks.is_empty() {
        let remedy = "Add `labels`, with -100 where nothing is trained, or an `assistant_masks`.";
        return Err(Refusal::new("it has `input_ids` and does not say which are trained", remedy));
    }
    let mut trained = vec![true; ids.len()];
    if let Some(labels) = row.labels {
        same_length("labels", labels.len(), ids.len())?;
        for (place, (label, id)) in labels.iter().zip(&ids).enumerate() {
            if *label != UNTRAINED && *label != i64::from(*id) {
                let remedy = "Labels stand in the place of their token: they are not shifted.";
                let reason = format!("label {place} is {label}, neither its token {id} nor -100");
                return Err(Refusal::new(reason, remedy));
            }
            trained[place] &= *label != UNTRAINED;
        }
    }
    for mask in masks {
        same_length("mask", mask.len(), ids.len())?;
        trained.iter_mut().zip(mask).for_each(|(trained, flag)| *trained &= flag.is_set());
    }
    Ok((ids, trained))
}

fn same_length(what: &str, found: usize, ids: usize) -> Result<(), Refusal> {
    if found == ids {
        return Ok(());
    }
    let reason = format!("it has {ids} tokens and {found} of its {what}");
    Err(Refusal::new(reason, "Write one for each token."))
}
