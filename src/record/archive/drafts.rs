//! Replies that are still arriving, as far as they are in the file.

use rusqlite::Connection;
use trajectory::event::ReasoningField;

use super::Archive;
use crate::error::RecordError;

/// A part of a reply as it has arrived so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The request it answers.
    pub request: u32,
    /// `reasoning`, `text` or `tool_call`.
    pub kind: String,
    /// The key that reasoning comes under; `None` for the others.
    pub field: Option<ReasoningField>,
    /// What there is of it.
    pub text: String,
}

impl Archive {
    /// The replies that are still arriving: how a follower of a live session sees them.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn drafts(&self) -> Result<Vec<Draft>, RecordError> {
        read_drafts(&self.connection).map_err(self.failed())
    }
}

/// The drafts in order, pieces of one part joined.
pub(crate) fn read_drafts(connection: &Connection) -> rusqlite::Result<Vec<Draft>> {
    let mut statement = connection
        .prepare("SELECT request, kind, field, text, call_index FROM draft ORDER BY request, id")?;
    let mut rows = statement.query([])?;
    let mut drafts: Vec<Draft> = Vec::new();
    let mut last_call: Option<u32> = None;
    while let Some(row) = rows.next()? {
        let field: Option<String> = row.get(2)?;
        let draft = Draft {
            request: row.get(0)?,
            kind: row.get(1)?,
            field: field.and_then(|word| {
                ReasoningField::ALL.into_iter().find(|field| field.as_str() == word)
            }),
            text: row.get(3)?,
        };
        let call: Option<u32> = row.get(4)?;
        match drafts.last_mut() {
            Some(last)
                if (last.request, &last.kind, last.field, last_call)
                    == (draft.request, &draft.kind, draft.field, call) =>
            {
                last.text.push_str(&draft.text);
            }
            _ => drafts.push(draft),
        }
        last_call = call;
    }
    Ok(drafts)
}
