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
                    let asked = command_of(&call.arguments)
                        .map_or_else(|| Asked::Other(call.clone()), Asked::Run);
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
        let command = match self.asked.get(&call) {
            Some(Asked::Run(command)) => Some(command.as_str()),
            _ => None,
        };
        offer_of(call, command)
    }
}

/// What can be told of a call with arguments that the user has amended.
pub(super) fn offer_amended(call: u32, arguments: &str) -> Update {
    offer_of(call, command_of(arguments).as_deref())
}

fn offer_of(call: u32, command: Option<&str>) -> Update {
    Update::Offer {
        call,
        rules: command.map(toolbox::rules_like).unwrap_or_default(),
        reading: command.map(toolbox::reading),
    }
}

/// The command line that a call would run, where it is one.
fn command_of(arguments: &str) -> Option<String> {
    let fields: serde_json::Value = serde_json::from_str(arguments).ok()?;
    Some(fields.get("command")?.as_str()?.to_owned())
}
