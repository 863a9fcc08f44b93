//! `limn rewind`: take a session back to before a round.
//!
//! The conversation goes back by an event; nothing is deleted from the log. The files go back to the
//! checkpoint that was taken before the round. Both are on record, with the checkpoint of the files
//! as they were before.

mod rounds;

use record::{Archive, Durability, Home, NewEvent, Recorder, Write};
use serde_json::json;
use trajectory::event::{Checkpoint, CheckpointWhen, Ended, Rewind, SessionEnded, UserEdit};
use trajectory::{Body, Event, SessionId};
use workspace::{Hash, Manifest, OnEdits, Policy, Restore, Restored, Workspace};

use crate::args::RewindArgs;
use crate::commands::checkpoint::{NEVER, path, told, why};
use crate::compose;
use crate::error::{CliError, CliResult, Exit};
use crate::print::{Out, headline, note, safe, thousands};
use crate::store::Store;
use rounds::Past;
pub(crate) use rounds::Round;

/// As many files are named to the model; the rest is counted.
const NAMED_MAX: usize = 50;

pub(crate) fn run(args: &RewindArgs) -> CliResult {
    let store = Store::open()?;
    let id = store.home.find(&args.id)?;
    if store.home.is_live(id) && !args.dry_run {
        return Err(CliError::failed(format!(
            "Session {id} is running. End it first, then rewind it."
        )));
    }
    if args.to.is_none() {
        let archive = store.archive(&id.to_string())?;
        return list(&Past::of(&events(&archive)?, &archive.execs()?), args.json);
    }
    let went = go_back(&store.home, id, args)?;
    went.notes.iter().for_each(|told| note(&format!("     ! {told}")));
    if went.stopped {
        return stopped(args, id, &went);
    }
    Ok(say(args, id, &went))
}

/// The rounds of a session.
pub(crate) fn rounds(home: &Home, id: SessionId) -> Result<Vec<Round>, CliError> {
    let archive = Archive::open(home, id)?;
    Ok(Past::of(&events(&archive)?, &archive.execs()?).rounds)
}

fn events(archive: &Archive) -> Result<Vec<Event>, CliError> {
    Ok(archive.events()?.into_iter().map(trajectory::Recorded::into_inner).collect())
}

/// What came of going back, or would.
pub(crate) struct Went {
    pub(crate) round: Round,
    pub(crate) restored: Option<Restored>,
    /// Nothing was changed: the user's own edits are in the way.
    pub(crate) stopped: bool,
    /// What else is worth knowing, a sentence each, safe to print.
    pub(crate) notes: Vec<String>,
}

/// Takes a session back to before the round `args.to`, or says what that would do. It waits for the
/// disk, so it is nothing for a thread that has a session.
pub(crate) fn go_back(home: &Home, id: SessionId, args: &RewindArgs) -> Result<Went, CliError> {
    let archive = Archive::open(home, id)?;
    let events = events(&archive)?;
    let past = Past::of(&events, &archive.execs()?);
    let number = args.to.unwrap_or_default();
    let Some(round) = past.round(number) else {
        return Err(CliError::usage(format!(
            "Session {id} has no round {number}. `limn rewind {id}` lists its rounds."
        )));
    };
    let back = Back { args, id, home, archive: &archive, events: &events };
    back.go(&past, round)
}

fn list(past: &Past, as_json: bool) -> CliResult {
    let mut out = Out::new();
    for round in &past.rounds {
        if as_json {
            out.json(&json!({
                "round": round.number,
                "seq": round.seq,
                "prompt": round.prompt,
                "tree": round.before.map(|tree| tree.to_string()),
                "files": round.files,
                "rewound": round.is_rewound,
            }));
            continue;
        }
        let files = match (round.before, round.is_rewound) {
            (_, true) => "rewound".to_owned(),
            (None, _) => "no checkpoint".to_owned(),
            (Some(_), _) => format!("{} files", thousands(round.files)),
        };
        out.line(&format!("{:>4}  {files:>14}  {}", round.number, headline(&round.prompt, 70)));
    }
    Ok(Exit::Completed)
}

/// A session that goes back.
struct Back<'a> {
    args: &'a RewindArgs,
    id: SessionId,
    home: &'a Home,
    archive: &'a Archive,
    events: &'a [Event],
}

impl Back<'_> {
    fn go(&self, past: &Past, round: &Round) -> Result<Went, CliError> {
        let conversation = !self.args.files;
        let files = !self.args.conversation;
        if conversation && round.is_rewound {
            return Err(CliError::usage(format!(
                "Round {} was rewound already, so the conversation cannot go back to it. Take the \
                 files alone with --files.",
                round.number
            )));
        }
        let restore = if files { Some(self.restore(past, round)?) } else { None };
        // What would stop it is found before the recording is opened.
        let planned = match &restore {
            Some((workspace, what)) => {
                let dry = Restore { dry_run: true, ..what.clone() };
                Some(workspace.restore(&dry, &NEVER)?)
            }
            None => None,
        };
        let mut notes = Vec::new();
        if let Some(settled) = planned.as_ref().and_then(|planned| planned.finished.as_ref()) {
            notes.push(safe(&settled.to_string()));
        }
        if let (Some((workspace, what)), Some(planned)) = (&restore, &planned) {
            // What the rounds left for git to obey: not every restore takes it back.
            let to = Manifest::load(workspace.store(), &what.to)?;
            for planted in workspace.planted(&to, &planned.before.manifest)? {
                notes.push(safe(&format!("Your git would obey {planted}")));
            }
        }
        let round = round.clone();
        let is_stopped = planned.as_ref().is_some_and(|planned| planned.stopped);
        if is_stopped || self.args.dry_run {
            return Ok(Went { round, restored: planned, stopped: is_stopped, notes });
        }
        let resumed = Recorder::resume(self.home, self.id)?;
        let restored = match &restore {
            Some((workspace, what)) => Some((workspace, workspace.restore(what, &NEVER)?)),
            None => None,
        };
        if restored.as_ref().is_some_and(|(_, it)| it.stopped) {
            return Ok(Went { round, restored: restored.map(|(_, it)| it), stopped: true, notes });
        }
        let mut bodies = Vec::new();
        if let (Some((workspace, restored)), Some((_, what))) = (&restored, &restore) {
            bodies.extend(checkpoints(restored, what.to));
            if !conversation {
                bodies.extend(edit(workspace, restored, &round)?);
            }
        }
        if conversation {
            bodies.push(Rewind { to_seq: round.seq.saturating_sub(1) }.into());
        }
        let ended = self.archive.status()?.ended.unwrap_or(Ended::Interrupted);
        bodies.push(SessionEnded { ended }.into());
        let number = resumed.last.round;
        let event = |body: Body| NewEvent { round: number, source: body.source(), body };
        let events = bodies.into_iter().map(event).collect();
        let write = Write { events, ..Write::default() };
        compose::run(async {
            resumed.recorder.commit(write, Durability::Durable).await?;
            resumed.recorder.close().await
        })??;
        let restored = restored.map(|(_, restored)| restored);
        Ok(Went { round, restored, stopped: false, notes })
    }

    fn restore(&self, past: &Past, round: &Round) -> Result<(Workspace, Restore), CliError> {
        let Some(to) = round.before else {
            return Err(CliError::failed(format!(
                "No checkpoint was taken before round {}, so its files cannot be taken back. \
                 Rewind the conversation alone with --conversation.",
                round.number
            )));
        };
        let root = match &self.args.workspace {
            Some(root) => root.clone(),
            None => {
                let began_in = self.archive.session()?.environment.cwd;
                compose::last_workspace(began_in, self.events.iter())
            }
        };
        let on_edits = match (self.args.keep_mine, self.args.overwrite) {
            (true, _) => OnEdits::KeepTheirs,
            (_, true) => OnEdits::Overwrite,
            _ => OnEdits::Stop,
        };
        let (expected, users) = (past.last(), past.users_since(round.number));
        let workspace = Workspace::open(&root, self.home.path(), Policy::default(), true)?;
        Ok((workspace, Restore { to, expected, users, on_edits, dry_run: false }))
    }
}

fn stopped(args: &RewindArgs, id: SessionId, went: &Went) -> CliResult {
    if args.json {
        say(args, id, went);
    } else {
        went.edited().for_each(|path| note(&format!("     ! You changed {path}")));
    }
    Err(CliError::failed(format!(
        "You changed files yourself that going back to before round {} would undo. Nothing was \
         changed; keep yours with --keep-mine, or take them back too with --overwrite.",
        went.round.number
    )))
}

impl Went {
    /// What the user changed that going back would undo, safe to print.
    pub(crate) fn edited(&self) -> impl Iterator<Item = String> {
        let edited = self.restored.iter().flat_map(|restored| &restored.edited);
        edited.filter(|change| !change.is_folder()).map(|change| safe(&path(&change.path)))
    }

    /// What was done to each file, or would be, a line each, safe to print.
    pub(crate) fn lines(&self) -> Vec<String> {
        let Some(restored) = &self.restored else { return Vec::new() };
        let mut lines = Vec::new();
        for change in restored.changes.iter().filter(|change| !change.is_folder()) {
            // Going back makes again what was deleted since.
            let done = match change.kind() {
                trajectory::event::ChangeKind::Created => "made again",
                trajectory::event::ChangeKind::Modified => "taken back",
                trajectory::event::ChangeKind::Deleted => "deleted",
            };
            lines.push(format!("{done:>10}  {}", safe(&path(&change.path))));
        }
        for left in &restored.left {
            let line = format!("{}: {}", path(&left.path), why(left.why));
            lines.push(format!("left alone  {}", safe(&line)));
        }
        for skipped in &restored.skipped {
            let line = format!("{}: {}", path(&skipped.path), skipped.reason.why());
            lines.push(format!("not stored  {}", safe(&line)));
        }
        lines
    }
}

fn say(args: &RewindArgs, id: SessionId, went: &Went) -> Exit {
    let number = went.round.number;
    let is_plan = args.dry_run || went.stopped;
    let mut out = Out::new();
    if args.json {
        out.json(&json!({
            "session": id,
            "round": number,
            "dry_run": args.dry_run,
            "conversation": !args.files,
            "files": went.restored.as_ref().map(told),
        }));
        return Exit::Completed;
    }
    went.lines().iter().for_each(|line| out.line(line));
    let what = match (args.files, args.conversation) {
        (true, _) => "The files",
        (_, true) => "The conversation",
        _ => "The conversation and the files",
    };
    let verb = match (is_plan, args.conversation) {
        (true, _) => "would be",
        (false, true) => "was",
        (false, false) => "were",
    };
    out.line(&format!("{what} {verb} taken back to before round {number}."));
    Exit::Completed
}

/// What goes on record of the files.
fn checkpoints(restored: &Restored, to: Hash) -> Vec<Body> {
    let when = CheckpointWhen::OnRequest;
    let before = session::checkpoint_event(&restored.before, when);
    let after = restored.after.as_ref().map(|after| Checkpoint {
        restored: Some(to.to_string()),
        ..session::checkpoint_event(after, when)
    });
    std::iter::once(before).chain(after).map(Body::from).collect()
}

/// The conversation goes on: so the model learns that the files are others.
fn edit(
    workspace: &Workspace,
    restored: &Restored,
    round: &Round,
) -> Result<Option<Body>, CliError> {
    let changes = workspace::file_changes(workspace.store(), &restored.changes)?;
    if changes.is_empty() {
        return Ok(None);
    }
    let number = round.number;
    let mut shown =
        format!("The user took the workspace back to how it was before round {number}:");
    for change in changes.iter().take(NAMED_MAX) {
        let word = serde_json::to_value(change.change).unwrap_or_default();
        shown.push_str(&format!("\n- {} ({})", change.path, word.as_str().unwrap_or_default()));
    }
    if let Some(more) = changes.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
        shown.push_str(&format!("\n- and {more} more"));
    }
    Ok(Some(UserEdit { changes, more: 0, shown }.into()))
}
