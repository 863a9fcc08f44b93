//! The ids of a reply's tokens, from servers that are asked for them (`return_token_ids`) and give
//! them: those of the prompt once, those of the reply piece by piece.
//!
//! Ids are of use only when none is missing. A list that cannot be read spoils all of them; that
//! some never came is found out when they are compared with the text.

use serde_json::value::RawValue;

use crate::reply::TokenIds;

/// The ids so far.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    prompt: Option<Vec<u32>>,
    sampled: Option<Vec<u32>>,
    is_spoilt: bool,
}

impl Ids {
    /// The ids of the prompt. Some servers say them again with every piece: the first ones count.
    pub(super) fn prompt(&mut self, list: Option<&RawValue>) {
        if self.prompt.is_none()
            && let Some(list) = list
        {
            // A prompt whose ids cannot be read is one whose ids are not known.
            self.prompt = read(list).flatten();
        }
    }

    /// The ids that were sampled since the last piece; whether there were any.
    pub(super) fn more(&mut self, list: Option<&RawValue>) -> bool {
        match list.map(read) {
            None | Some(Some(None)) => false,
            Some(None) => {
                self.is_spoilt = true;
                false
            }
            Some(Some(Some(ids))) => {
                let has_some = !ids.is_empty();
                self.sampled.get_or_insert_default().extend(ids);
                has_some
            }
        }
    }

    /// All of them; `None` when there are none, or some could not be read.
    pub(crate) fn whole(self) -> Option<TokenIds> {
        let Self { prompt, sampled, is_spoilt } = self;
        let sampled = sampled.filter(|ids| !is_spoilt && !ids.is_empty())?;
        Some(TokenIds { prompt, sampled })
    }
}

/// A list of ids, or null.
fn read(list: &RawValue) -> Option<Option<Vec<u32>>> {
    serde_json::from_str(list.get()).ok()
}
