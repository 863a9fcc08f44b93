//! The user's own hand on a command that runs: typing into its terminal, its size, its end.
//!
//! What is typed is recorded as the user's, beside what the model types. A command that has ended
//! meanwhile takes nothing, and says so itself by its end.

use record::{Direction, ExecResized, Row, SizeChange};
use sandbox::{SandboxError, TerminalSize};
use trajectory::Hand;

use crate::Notice;
use crate::error::SessionError;
use crate::run::Loop;
use crate::tool::recorded_chunk;

impl Loop {
    /// Does it, and records it.
    pub(crate) async fn lend(&mut self, hand: Hand) -> Result<(), SessionError> {
        let toolbox = &self.session.options.toolbox;
        match hand {
            Hand::Type { exec, bytes } => match toolbox.type_into(exec, &bytes) {
                Ok(chunk) => {
                    let chunk = recorded_chunk(chunk, Direction::ByUser);
                    self.session.recorder.output(exec, chunk).await?;
                }
                Err(SandboxError::InputFull(waiting)) => {
                    let told = format!(
                        "The command does not read what is typed: {waiting} bytes wait for it, and \
                         {} more were left out.",
                        bytes.len()
                    );
                    self.show(Notice::Unable(told)).await;
                }
                Err(_) => {}
            },
            Hand::Resize { exec, columns, rows } => {
                // One that has ended needs no size.
                if let Ok(since) = toolbox.resize_job(exec, TerminalSize { columns, rows }) {
                    let at_us = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
                    let size = SizeChange { at_us, columns, rows };
                    self.rows.push(Row::from(ExecResized { exec, size }));
                    self.record(Vec::new(), false).await?;
                }
            }
            Hand::Stop { exec } => {
                let _ = toolbox.stop_by_user(exec);
            }
        }
        Ok(())
    }
}
