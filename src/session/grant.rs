//! What the user allows while the session runs, though its policy does not.

use crate::Notice;
use crate::error::SessionError;
use crate::run::Loop;

impl Loop {
    /// Lets the session speak to a host or read a file: once that is on record, and until the
    /// session is closed. The model hears of it with the next request.
    pub(crate) async fn allow(&mut self, what: &str) -> Result<(), SessionError> {
        match self.session.options.toolbox.grant(what) {
            Err(told) => self.show(Notice::Unable(told)).await,
            Ok(grant) => {
                self.record(vec![grant.clone().into()], true).await?;
                self.session.options.toolbox.put_in_force(&grant);
            }
        }
        Ok(())
    }
}
