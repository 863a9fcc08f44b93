//! What ends a session against its will.

/// A session that cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The recording cannot be written, so nothing more is done.
    #[error("{0}")]
    Recording(#[from] record::RecordError),
}
