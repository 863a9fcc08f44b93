//! Exports: folders of files that are there whole or not at all.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use record::{Archive, Home, Library};
use serde::Serialize;
use serde_json::{Value, json};
use trajectory::event::Attachment;
use trajectory::{Event, MessageDigest, Recorded, Sample, SessionId, Transcript, samples};

use crate::error::DatasetError;
use crate::images::{Images, Placed};
use crate::ledger::Ledger;
use crate::rows::Rows;
use crate::targets::Trainer;
use crate::tokens::{OverBudget, Tokens};
use crate::{bundle, messages, tokens};

/// What an export is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// `messages.jsonl`: one sample a line, for trainers.
    Messages,
    /// `<id>.limn`: everything of a session, losslessly.
    Bundle,
    /// `tokens.jsonl`: one row a line, as tokens with labels.
    Tokens,
    /// `messages.jsonl` in the form of one trainer.
    #[serde(untagged)]
    Trainer(Trainer),
}

/// What an export is made as.
#[derive(Debug)]
pub enum Target {
    /// As [`Format::Messages`].
    Messages(Rows),
    /// As [`Format::Trainer`].
    Trainer(Trainer, Rows),
    /// As [`Format::Bundle`].
    Bundle,
    /// As [`Format::Tokens`], for one model.
    Tokens(Box<Tokens>, Rows),
}

impl Target {
    const fn format(&self) -> Format {
        match self {
            Self::Messages(_) => Format::Messages,
            Self::Trainer(trainer, _) => Format::Trainer(*trainer),
            Self::Bundle => Format::Bundle,
            Self::Tokens(..) => Format::Tokens,
        }
    }

    /// What the manifest says of it beside its name.
    fn facts(&self) -> Value {
        match self {
            Self::Messages(rows) | Self::Trainer(_, rows) => json!({ "rows": rows }),
            Self::Bundle => json!({}),
            Self::Tokens(tokens, rows) => json!({
                "rows": rows,
                "tokenizer": tokens.dialect.tokenizer().hash(),
                "template": tokens.dialect.template().hash(),
                "tokens_max": tokens.tokens_max,
            }),
        }
    }
}

/// What was written.
#[derive(Clone, Debug, Serialize)]
pub struct ExportReport {
    /// The folder.
    pub out: PathBuf,
    /// What is in it.
    pub format: Format,
    /// How many sessions are in it.
    pub sessions: usize,
    /// How many samples, or rows of them; 0 for bundles.
    pub samples: usize,
    /// Rows that were left out because they are too long.
    pub over_budget: Vec<OverBudget>,
    /// Its files, by name.
    pub files: Vec<FileReport>,
    /// What could not be kept.
    pub ledger: Ledger,
}

/// A file of an export.
#[derive(Clone, Debug, Serialize)]
pub struct FileReport {
    /// Its name within the folder.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// BLAKE3 of its bytes, hexadecimal.
    pub blake3: String,
}

/// Exports sessions, in the order of their ids. The same sessions give the same bytes.
///
/// # Errors
/// When the target is in the way, a recording is not sound, or the disk fails. Nothing is left
/// behind then.
pub fn export(
    home: &Home,
    sessions: &[SessionId],
    target: &Target,
    out: &Path,
) -> Result<ExportReport, DatasetError> {
    refuse_existing(out)?;
    let parent = match out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(|error| DatasetError::io("create", parent, error))?;
    sweep(parent);
    let partial = tempfile::Builder::new()
        .prefix(PARTIAL_PREFIX)
        .tempdir_in(parent)
        .map_err(|error| DatasetError::io("write into", parent, error))?;
    let mut sessions = sessions.to_vec();
    sessions.sort_unstable();
    sessions.dedup();
    let folder = partial.path();
    let mut over_budget = Vec::new();
    let (samples, ledger) = match target {
        Target::Messages(rows) => write_messages(home, &sessions, folder, (None, *rows))?,
        Target::Trainer(trainer, rows) => {
            write_messages(home, &sessions, folder, (Some(*trainer), *rows))?
        }
        Target::Bundle => write_bundles(home, &sessions, folder)?,
        Target::Tokens(tokens, rows) => {
            let written = tokens::write(home, &sessions, folder, tokens, *rows)?;
            over_budget = written.over_budget;
            (written.rows, written.ledger)
        }
    };
    let format = target.format();
    let ledger_json = serde_json::to_value(&ledger).unwrap_or_default();
    write_json(&folder.join("ledger.json"), &ledger_json)?;
    let mut files = reports(folder)?;
    let manifest = json!({
        "format": format,
        "version": 1,
        "sessions": sessions,
        "samples": samples,
        "target": target.facts(),
        "over_budget": over_budget,
        "files": files,
    });
    write_json(&folder.join("manifest.json"), &manifest)?;
    files.extend(reports(folder)?.into_iter().filter(|file| file.name == "manifest.json"));
    put_in_place(partial, out, parent)?;
    Ok(ExportReport {
        out: out.to_owned(),
        format,
        sessions: sessions.len(),
        samples,
        over_budget,
        files,
        ledger,
    })
}

/// The beginning of the name of a folder that is being exported into.
const PARTIAL_PREFIX: &str = ".limn-export-";

/// An export that has not been touched for so long was killed.
const PARTIAL_STALE_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Removes what killed exports left beside the target.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(PARTIAL_PREFIX);
        let about = entry.metadata().ok().filter(fs::Metadata::is_dir);
        let age = about.and_then(|about| about.modified().ok()?.elapsed().ok());
        if is_ours && age.is_some_and(|age| age > PARTIAL_STALE_AFTER) {
            // One that cannot be removed is in nobody's way.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn refuse_existing(out: &Path) -> Result<(), DatasetError> {
    match fs::read_dir(out).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Ok(false) | Err(_) => Err(DatasetError::TargetExists(out.to_owned())),
    }
}

fn put_in_place(partial: tempfile::TempDir, out: &Path, parent: &Path) -> Result<(), DatasetError> {
    let sync = |path: &Path| {
        let synced = File::open(path).and_then(|folder| folder.sync_all());
        synced.map_err(|error| DatasetError::io("sync", path, error))
    };
    sync(partial.path())?;
    // An empty folder in the way is replaced.
    fs::rename(partial.path(), out).map_err(|error| DatasetError::io("create", out, error))?;
    let _ = partial.keep();
    sync(parent)
}

fn write_messages(
    home: &Home,
    sessions: &[SessionId],
    folder: &Path,
    (trainer, rows): (Option<Trainer>, Rows),
) -> Result<(usize, Ledger), DatasetError> {
    let path = folder.join("messages.jsonl");
    let mut file = create(&path)?;
    let mut ledger = Ledger::default();
    let mut written = Vec::new();
    let mut images = Images::new(folder);
    for id in sessions {
        let archive = Archive::open(home, *id)?;
        let events: Vec<Event> = archive.events()?.into_iter().map(Recorded::into_inner).collect();
        check_contexts(*id, &archive, &events)?;
        messages::count_losses(&events, &mut ledger);
        let name = id.to_string();
        let samples = samples(&events, &archive.request_points()?);
        messages::count_left_out(&events, &samples, &mut ledger);
        let thoughts = messages::thoughts(&events);
        for (number, sample) in samples.iter().enumerate() {
            let mut unseen = Unseen::default();
            let mut place = |attachment: &Attachment, ledger: &mut Ledger| {
                if unseen.holds(attachment, sample, &archive)? {
                    let note = "Images that the model was not shown: it was sent a line of text.";
                    ledger.lose("images_not_shown", 1, note);
                    return Ok(Placed::NotShown);
                }
                if trainer.is_some_and(|trainer| !trainer.holds_images()) {
                    let note = "Images: this form has a line of text in their place.";
                    ledger.lose("images", 1, note);
                    return Ok(Placed::NotShown);
                }
                images.place(&archive, attachment, ledger)
            };
            for (row, part) in rows.of(sample).iter().enumerate() {
                let key = (name.as_str(), number, row);
                let line = messages::row(key, part, trainer, &thoughts, &mut place, &mut ledger)?;
                let Some(line) = line else { continue };
                writeln!(file, "{line}")
                    .map_err(|error| DatasetError::io("write", &path, error))?;
                written.push((name.clone(), blake3::hash(line.as_bytes())));
            }
        }
    }
    finish(file, &path)?;
    images.finish()?;
    read_back(&path, &written, trainer.is_none())?;
    Ok((written.len(), ledger))
}

/// The request that a sample ends with: what of its images was text there.
#[derive(Default)]
pub(crate) struct Unseen {
    body: Option<Vec<u8>>,
}

impl Unseen {
    /// Whether a line of text was sent in the place of this attachment.
    pub(crate) fn holds(
        &mut self,
        attachment: &Attachment,
        sample: &Sample,
        archive: &Archive,
    ) -> Result<bool, DatasetError> {
        let body = match &self.body {
            Some(body) => body,
            None => {
                let last = sample.messages.iter().rev().find_map(|message| message.request);
                let body = last.map(|request| archive.request_body(request, 1)).transpose()?;
                self.body.insert(body.unwrap_or_default())
            }
        };
        // As it stands inside a JSON text, alone or with others.
        let line = Value::from(attachment.placeholder()).to_string();
        let line = line.trim_matches('"');
        Ok(memchr::memmem::find(body, line.as_bytes()).is_some())
    }
}

/// The file holds the rows that were written: each is read, parsed and compared.
fn read_back(
    path: &Path,
    written: &[(String, blake3::Hash)],
    is_ours: bool,
) -> Result<(), DatasetError> {
    let file = File::open(path).map_err(|error| DatasetError::io("read back", path, error))?;
    let mut lines = BufReader::new(file).lines();
    for (session, hash) in written {
        let differs =
            |what: &str| DatasetError::ReadBack { session: session.clone(), what: what.to_owned() };
        let line = match lines.next() {
            Some(line) => line.map_err(|error| DatasetError::io("read back", path, error))?,
            None => return Err(differs("a row is missing")),
        };
        if blake3::hash(line.as_bytes()) != *hash {
            return Err(differs("a row differs"));
        }
        let row: Value = serde_json::from_str(&line).map_err(|_| differs("a row is no JSON"))?;
        let count = |key: &str| row[key].as_array().map(Vec::len);
        if count("messages").is_none() || (is_ours && count("messages") != count("train")) {
            return Err(differs("a row has not one `train` for each message"));
        }
    }
    if lines.next().is_some() {
        let session = String::new();
        return Err(DatasetError::ReadBack { session, what: "a row too many".to_owned() });
    }
    Ok(())
}

/// Every request on record is what the fold over its events gives: what is exported is what was
/// sent.
pub(crate) fn check_contexts(
    id: SessionId,
    archive: &Archive,
    events: &[Event],
) -> Result<(), DatasetError> {
    let mut transcript = Transcript::default();
    let mut events = events.iter().peekable();
    let (mut digest, mut hashed, mut revision) = (MessageDigest::default(), 0, 0);
    for point in archive.copied_points()? {
        while let Some(event) = events.next_if(|event| event.seq <= point.head_seq) {
            transcript.apply(event);
        }
        transcript.asked();
    }
    for request in archive.requests()? {
        while let Some(event) = events.next_if(|event| event.seq <= request.head_seq) {
            transcript.apply(event);
        }
        transcript.asked();
        if transcript.revision() != revision {
            (digest, hashed, revision) = (MessageDigest::default(), 0, transcript.revision());
        }
        // What was sent may have the form of a provider; older recordings know none but this one.
        let recorded = request.context_digest.as_ref().unwrap_or(&request.messages_digest);
        let turns = transcript.turns();
        for turn in turns.iter().skip(hashed).filter(|turn| turn.message.is_sendable()) {
            digest.push(&turn.message.to_json());
        }
        hashed = turns.len();
        if digest.finish() != *recorded {
            let session = id.to_string();
            return Err(DatasetError::ContextMismatch { session, request: request.request });
        }
    }
    Ok(())
}

fn write_bundles(
    home: &Home,
    sessions: &[SessionId],
    folder: &Path,
) -> Result<(usize, Ledger), DatasetError> {
    let mut ledger = Ledger::default();
    for id in sessions {
        let path = folder.join(format!("{id}.limn"));
        let archive = Archive::open(home, *id)?;
        let file = bundle::write(&archive, *id, create(&path)?, &path)?;
        finish(file, &path)?;
        bundle::check(&path)?;
        ledger.keep("sessions");
        count_images(&archive, &mut ledger)?;
        let said = Library::open(home).and_then(|library| library.annotations(*id));
        let note = "Outcomes and reviews: they are kept beside recordings, not in them.";
        ledger.lose("annotations", said.map_or(0, |said| said.len() as u64), note);
    }
    Ok((0, ledger))
}

/// A bundle has the images that its recording has.
fn count_images(archive: &Archive, ledger: &mut Ledger) -> Result<(), DatasetError> {
    let events = archive.events()?;
    let named: BTreeSet<&str> = events
        .iter()
        .flat_map(|event| event.body.attachments())
        .map(|attachment| attachment.blake3.as_str())
        .collect();
    for blake3 in named {
        if archive.attachment(blake3)?.is_some() {
            ledger.keep("images");
        } else {
            ledger.lose("images_missing", 1, "Images whose bytes are gone from the recording.");
        }
    }
    Ok(())
}

pub(crate) fn create(path: &Path) -> Result<BufWriter<File>, DatasetError> {
    let file = File::create_new(path).map_err(|error| DatasetError::io("create", path, error))?;
    Ok(BufWriter::with_capacity(1 << 18, file))
}

pub(crate) fn finish(file: BufWriter<File>, path: &Path) -> Result<(), DatasetError> {
    let file = file.into_inner().map_err(|error| {
        DatasetError::io("write", path, std::io::Error::from(error.error().kind()))
    })?;
    file.sync_all().map_err(|error| DatasetError::io("sync", path, error))
}

fn write_json(path: &Path, value: &Value) -> Result<(), DatasetError> {
    let mut file = create(path)?;
    writeln!(file, "{value:#}").map_err(|error| DatasetError::io("write", path, error))?;
    finish(file, path)
}

/// The files of an export, those of its folders by their path within it.
fn reports(folder: &Path) -> Result<Vec<FileReport>, DatasetError> {
    let mut files = Vec::new();
    report_into(folder, "", &mut files)?;
    files.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(files)
}

fn report_into(
    folder: &Path,
    prefix: &str,
    files: &mut Vec<FileReport>,
) -> Result<(), DatasetError> {
    let failed = |error| DatasetError::io("read", folder, error);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let about = entry.metadata().map_err(failed)?;
        if about.is_dir() {
            report_into(&entry.path(), &format!("{name}/"), files)?;
            continue;
        }
        let mut hasher = blake3::Hasher::new();
        let file = File::open(entry.path()).map_err(failed)?;
        hasher.update_reader(file).map_err(failed)?;
        let blake3 = hasher.finalize().to_hex().to_string();
        files.push(FileReport { name, bytes: about.len(), blake3 });
    }
    Ok(())
}
