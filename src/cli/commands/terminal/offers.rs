//! What the user is offered about a call: to have its like allowed, and to open what the policy
//! refused it.

use session::Notice;
use trajectory::Body;
use trajectory::event::{CallStatus, ToolCall};
use tui::Update;

use super::driver::Driver;
use super::facts::shown;

/// What a call wants to do.
pub(super) enum Asked {
    /// Run this command.
    Run(String),
    /// Anything else.
    Other(ToolCall),
}

impl Driver {
    /// Keeps the calls of a round, for what may be offered about one of them. Where one could not read
    /// a file that the user may open, that is told.
    pub(super) fn remember_call(&mut self, notice: &Notice) -> Option<String> {
        match notice {
            Notice::RoundOver(_) => self.asked.clear(),
            Notice::Event(event) => match &event.body {
                Body::ToolCall(call) => {
                    let fields: Option<serde_json::Value> =
                        serde_json::from_str(&call.arguments).ok();
                    let command = fields.as_ref().and_then(|it| it.get("command")?.as_str());
                    let asked = match command {
                        Some(command) => Asked::Run(command.to_owned()),
                        None => Asked::Other(call.clone()),
                    };
                    self.asked.insert(call.call, asked);
                }
                Body::Observation(seen) if seen.status != CallStatus::Ok => {
                    return self.refused(seen.call);
                }
                _ => {}
            },
            _ => {}
        }
        None
    }

    fn refused(&self, call: u32) -> Option<String> {
        let Asked::Other(call) = self.asked.get(&call)? else { return None };
        let path = self.live.as_ref()?.toolbox.grantable(&call.name, &call.arguments)?;
        let path = shown(path.as_ref());
        Some(format!("Refused: the file {path}. /allow {path} opens it."))
    }

    /// What can be told of a call that waits.
    pub(super) fn offer(&self, call: u32) -> Update {
        match self.asked.get(&call) {
            Some(Asked::Run(command)) => offer_of(call, command),
            _ => Update::Offer { call, rules: Vec::new(), reading: None },
        }
    }
}

/// What can be told of a call that would run a command line.
pub(super) fn offer_of(call: u32, command: &str) -> Update {
    let (rules, reading) = (toolbox::rules_like(command), Some(toolbox::reading(command)));
    Update::Offer { call, rules, reading }
}
