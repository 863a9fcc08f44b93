//! Exports: folders of files that are there whole or not at all.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use record::{Home, Library};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use trajectory::SessionId;

use crate::error::DatasetError;
use crate::facts::Said;
use crate::gates::{Found, Gate, Waivers};
use crate::ledger::Ledger;
use crate::messages::Messages;
use crate::rows::Rows;
use crate::select::{Chosen, Filter, Status};
use crate::sessions::{self, SessionForm};
use crate::stats::{RowFacts, Stats};
use crate::targets::Trainer;
use crate::tokens::{OverBudget, Tokens};
use crate::version::{self, Manifest, Recipe};
use crate::write::Pass;
use crate::{bundle, card, lines, tokens, write};

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
    /// A file for each session, whole.
    #[serde(untagged)]
    Sessions(SessionForm),
}

impl Format {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Bundle => "bundle",
            Self::Tokens => "tokens",
            Self::Trainer(trainer) => trainer.as_str(),
            Self::Sessions(form) => form.as_str(),
        }
    }

    /// The one with that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let own = [Self::Messages, Self::Bundle, Self::Tokens];
        let all = own.into_iter().chain(Trainer::ALL.map(Self::Trainer));
        let mut all = all.chain(SessionForm::ALL.map(Self::Sessions));
        all.find(|format| format.as_str() == word)
    }
}

/// What an export is made as.
#[derive(Debug)]
pub enum Target {
    /// As [`Format::Messages`] or [`Format::Trainer`].
    Messages(Messages),
    /// As [`Format::Bundle`].
    Bundle,
    /// As [`Format::Sessions`].
    Sessions(SessionForm),
    /// As [`Format::Tokens`], for one model.
    Tokens(Box<Tokens>, Rows),
}

impl Target {
    fn format(&self) -> Format {
        match self {
            Self::Messages(messages) => messages.format(),
            Self::Bundle => Format::Bundle,
            Self::Sessions(form) => Format::Sessions(*form),
            Self::Tokens(..) => Format::Tokens,
        }
    }

    /// What the manifest says of it beside its name.
    fn facts(&self) -> Value {
        match self {
            Self::Messages(Messages { rows, budget: None, .. }) => json!({ "rows": rows }),
            Self::Bundle | Self::Sessions(_) => json!({}),
            Self::Messages(Messages { rows, budget: Some(tokens), .. })
            | Self::Tokens(tokens, rows) => json!({
                "rows": rows,
                "tokenizer": tokens.dialect.tokenizer().hash(),
                "template": tokens.dialect.template().hash(),
                "tokens_max": tokens.tokens_max,
            }),
        }
    }
}

/// Which sessions make a version, and how.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// The sessions that were chosen.
    pub sessions: Vec<Chosen>,
    /// How they were asked for.
    pub recipe: Recipe,
    /// The id of the version that this one comes after.
    pub parent: Option<String>,
    /// The version that this one has to be, when it is exported again.
    pub again: Option<Manifest>,
}

impl Order {
    /// Sessions that are exported because somebody named them: no gate keeps them out.
    ///
    /// # Errors
    /// When one is private, or cannot be read.
    pub fn of(home: &Home, sessions: &[SessionId]) -> Result<Self, DatasetError> {
        let library = Library::open(home)?;
        let chosen = |id: &SessionId| match Said::now(home, &library, *id)? {
            (_, true) => Err(DatasetError::Private(id.to_string())),
            (said, false) => Ok(Chosen { id: *id, head: None, said }),
        };
        let reason = "named one by one".to_owned();
        let waived = Waivers(Gate::ALL.into_iter().map(|gate| (gate, reason.clone())).collect());
        let filter =
            Filter { status: Status::All, sessions: sessions.to_vec(), ..Filter::default() };
        Ok(Self {
            sessions: sessions.iter().map(chosen).collect::<Result<_, _>>()?,
            recipe: Recipe { filter, waived, ..Recipe::default() },
            ..Self::default()
        })
    }

    /// A version once more.
    ///
    /// # Errors
    /// When one of its sessions is private by now, or cannot be read.
    pub fn again(home: &Home, manifest: Manifest) -> Result<Self, DatasetError> {
        let sessions = manifest.chosen()?;
        let is_named = !manifest.recipe.filter.sessions.is_empty();
        let is_backup = manifest.format()? == Format::Bundle && is_named;
        let library = Library::open(home)?;
        for Chosen { id, .. } in &sessions {
            if !is_backup && Said::now(home, &library, *id)?.1 {
                let format = manifest.format.clone();
                return Err(DatasetError::PrivateNow { session: id.to_string(), format });
            }
        }
        Ok(Self {
            sessions,
            recipe: manifest.recipe.clone(),
            parent: manifest.parent.clone(),
            again: Some(manifest),
        })
    }
}

/// What was written.
#[derive(Clone, Debug, Serialize)]
pub struct ExportReport {
    /// The folder.
    pub out: PathBuf,
    /// What is in it.
    pub format: Format,
    /// The version.
    pub id: String,
    /// How many sessions are in it.
    pub sessions: usize,
    /// How many samples, or rows of them; 0 for bundles.
    pub samples: usize,
    /// How many rows each part has, where there are parts.
    pub parts: BTreeMap<String, u64>,
    /// What the gates found.
    pub gates: BTreeMap<Gate, Found>,
    /// Rows that are longer than was asked for.
    pub over_budget: Vec<OverBudget>,
    /// Its files, by name.
    pub files: Vec<FileReport>,
    /// What could not be kept.
    pub ledger: Ledger,
}

/// A file of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    order: &Order,
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
    let folder = partial.path();
    let mut pass = Pass::new(home, order, folder);
    let rows = match target {
        Target::Messages(messages) => write::messages(&mut pass, messages)?,
        Target::Bundle => {
            bundle::write_all(&mut pass)?;
            Vec::new()
        }
        Target::Sessions(form) => sessions::write(&mut pass, *form)?,
        Target::Tokens(tokens, rows) => tokens::write(&mut pass, tokens, *rows)?,
    };
    pass.refuse_nothing()?;
    agrees(target.format(), &rows, &pass.ledger)?;
    if let Some(again) = &order.again {
        // What was left out then is not looked at now.
        pass.gates.found.clone_from(&again.gates);
    }
    let manifest = describe(&pass, target, &rows)?;
    if let Some(again) = &order.again {
        refuse_other(again, &manifest)?;
    }
    let name = folder.join(version::FILE);
    let value = serde_json::to_value(&manifest).unwrap_or_default();
    lines::write_whole(&name, &format!("{value:#}\n"))?;
    let mut files = manifest.files.clone();
    files.extend(reports(folder)?.into_iter().filter(|file| file.name == version::FILE));
    let parts = Stats::of(target.format(), &pass.sessions, &[]).parts;
    let (sessions, ledger) = (pass.sessions.len(), pass.ledger);
    put_in_place(partial, out, parent)?;
    Ok(ExportReport {
        out: out.to_owned(),
        format: target.format(),
        id: manifest.id,
        sessions,
        samples: manifest.samples,
        parts,
        gates: manifest.gates,
        over_budget: manifest.over_budget,
        files,
        ledger,
    })
}

/// What was read back is what the ledger counted while it was written.
pub(crate) fn agrees(
    format: Format,
    rows: &[RowFacts],
    ledger: &Ledger,
) -> Result<(), DatasetError> {
    let sum = |of: fn(&RowFacts) -> usize| -> usize { rows.iter().map(of).sum() };
    let found: &[(&'static str, usize)] = match format {
        Format::Messages | Format::Trainer(_) => {
            &[("samples", rows.len()), ("trained_messages", sum(|row| row.replies))]
        }
        Format::Tokens => &[
            ("rows", rows.len()),
            ("trained_replies", sum(|row| row.replies)),
            ("tokens", sum(|row| row.tokens)),
            ("trained_tokens", sum(|row| row.trained)),
        ],
        // Each file of a session was compared when it was written, and a bundle keeps all.
        Format::Sessions(_) | Format::Bundle => &[],
    };
    for (what, found) in found.iter().copied() {
        let counted = ledger.kept.get(what).copied().unwrap_or_default();
        if found as u64 != counted {
            return Err(DatasetError::LedgerDiffers { what, found, counted });
        }
    }
    Ok(())
}

/// Writes what is said about the rows, and gives the manifest of it all.
fn describe(pass: &Pass<'_>, target: &Target, rows: &[RowFacts]) -> Result<Manifest, DatasetError> {
    let (folder, format, order) = (pass.folder, target.format(), pass.order);
    let ledger = serde_json::to_value(&pass.ledger).unwrap_or_default();
    lines::write_whole(&folder.join("ledger.json"), &format!("{ledger:#}\n"))?;
    let mut manifest = Manifest {
        format: format.as_str().to_owned(),
        version: Manifest::version(),
        id: String::new(),
        parent: order.parent.clone(),
        recipe: order.recipe.clone(),
        target: target.facts(),
        samples: rows.len(),
        sessions: pass.sessions.clone(),
        gates: pass.gates.found.clone(),
        over_budget: pass.over_budget.clone(),
        files: Vec::new(),
    };
    if format != Format::Bundle {
        let stats = Stats::of(format, &manifest.sessions, rows);
        card::write(folder, &manifest, &stats, &pass.ledger)?;
    }
    manifest.files = reports(folder)?;
    manifest.id = manifest.hash();
    Ok(manifest)
}

/// A version that is exported again is the same, or it is not written.
fn refuse_other(again: &Manifest, made: &Manifest) -> Result<(), DatasetError> {
    if again.id == made.id {
        return Ok(());
    }
    let differs =
        |file: &&FileReport| !made.files.iter().any(|made| made.name == file.name && made == *file);
    let files: Vec<&str> =
        again.files.iter().filter(differs).map(|file| file.name.as_str()).collect();
    let what = if again.target != made.target {
        "it was made with another --tokenizer or --template".to_owned()
    } else if files.is_empty() {
        "its manifest differs".to_owned()
    } else {
        format!("{} differ", files.join(", "))
    };
    Err(DatasetError::NotTheSame { id: again.id.clone(), what })
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

/// The files of an export, those of its folders by their path within it.
pub(crate) fn reports(folder: &Path) -> Result<Vec<FileReport>, DatasetError> {
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
