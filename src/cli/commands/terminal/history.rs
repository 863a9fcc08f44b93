//! What the user wrote in earlier sessions, for the key that recalls it: of this folder first, then of
//! others.
//!
//! It is read once, on a thread of its own, from the newest recordings. A private session is nobody
//! else's business: what was written there is recalled there alone, when it is gone on with.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use record::{Archive, Home, Library};
use tokio::sync::mpsc::Sender;
use trajectory::{Body, SessionId};
use tui::{Update, Wrote};

use super::facts::recent;
use crate::settings::Settings;

/// Recordings that are looked into.
const LOOKED_AT_MAX: usize = 60;

/// Prompts and commands that are recalled: of one session, and of all.
const OF_SESSION_MAX: usize = 50;
const ALL_MAX: usize = 300;

/// Bytes of one that is.
const BYTES_MAX: usize = 16 << 10;

/// Tells the terminal, beside whatever else goes on, after the recent sessions of the folder. What is on record of the session that is gone on with is told with the rest of it.
pub(super) fn tell(settings: Arc<Settings>, resumed: Option<SessionId>, updates: Sender<Update>) {
    // A session that begins here is told as it goes on.
    let before = SessionId::new();
    tokio::task::spawn_blocking(move || {
        // What is seen comes first. Without a terminal nobody asks any more.
        let recent = recent(&settings.home, &settings.workspace);
        let _ = updates.blocking_send(Update::Recent(recent));
        let wrote = earlier(&settings.home, &settings.workspace, resumed, before);
        let _ = updates.blocking_send(Update::Wrote(wrote));
    });
}

/// What was written, the oldest first, that of this folder behind that of others. That there is no
/// store is no failure.
fn earlier(
    home: &Path,
    workspace: &Path,
    resumed: Option<SessionId>,
    before: SessionId,
) -> Vec<Wrote> {
    if !home.join("device").is_file() {
        return Vec::new();
    }
    let Ok(home) = Home::open(home) else { return Vec::new() };
    let rows = Library::open(&home).and_then(|library| library.list()).unwrap_or_default();
    let fits = rows.into_iter().filter(|row| {
        let is_known = Some(row.session) == resumed || row.session >= before;
        row.error.is_none() && !row.status.private && !is_known
    });
    let folder = workspace.display().to_string();
    let (mut here, mut elsewhere) = (Vec::new(), Vec::new());
    for row in fits.take(LOOKED_AT_MAX) {
        let Ok(archive) = Archive::open(&home, row.session) else { continue };
        let Ok(session) = archive.session() else { continue };
        // What comes from another device somebody else may have written.
        if session.origin_device != home.device() {
            continue;
        }
        let is_here = session.environment.cwd == folder;
        let wrote = archive.wrote(OF_SESSION_MAX).unwrap_or_default().into_iter();
        let list = if is_here { &mut here } else { &mut elsewhere };
        list.extend(wrote.filter_map(|event| written(event.into_inner().body)));
    }
    // The newest is met first, and only once.
    let mut seen = HashSet::new();
    let mut all: Vec<Wrote> = here.into_iter().chain(elsewhere).collect();
    all.retain(|wrote| seen.insert(wrote.clone()));
    all.truncate(ALL_MAX);
    all.reverse();
    all
}

/// What a user wrote, if that is what it is and can be recalled: neither too long, nor with files that
/// are not handed in a second time.
fn written(body: Body) -> Option<Wrote> {
    let wrote = match body {
        Body::Prompt(prompt) if !prompt.attachments.is_empty() => return None,
        Body::Prompt(prompt) => Wrote::Prompt(prompt.text),
        Body::UserCommand(ran) if ran.outside_sandbox => Wrote::Outside(ran.command),
        Body::UserCommand(ran) => Wrote::Inside(ran.command),
        _ => return None,
    };
    let (Wrote::Prompt(text) | Wrote::Inside(text) | Wrote::Outside(text)) = &wrote;
    (!text.trim().is_empty() && text.len() <= BYTES_MAX).then_some(wrote)
}
