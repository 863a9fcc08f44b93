//! Which sessions go into a dataset: what was said about them, who made them, with what and when.
//!
//! What can be told from the catalogue is told from it; only the files of sessions that fit so far
//! are opened, for what they alone say. A session that is private or still being recorded is never
//! chosen, but for the bundle of a private one that was named: that is a backup.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use record::{Archive, CatalogueRow, Home, Library, Outcome, Review, SessionRow};
use serde::{Deserialize, Serialize};
use trajectory::{DeviceId, EventId, SessionId};

use crate::error::DatasetError;
use crate::facts::{Said, workspace_key};

/// Which sessions count by what was said of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Annotated as a success, and not rejected in review.
    #[default]
    Success,
    /// Reviewed and accepted.
    Accepted,
    /// All of them.
    All,
}

/// For whom a session may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// For nobody else.
    Private,
    /// For the people one works with.
    Team,
    /// For everybody.
    Public,
}

impl Consent {
    /// The word for it, as it is stored and printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Team => "team",
            Self::Public => "public",
        }
    }

    /// The one with that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Private, Self::Team, Self::Public].into_iter().find(|it| it.as_str() == word)
    }
}

/// Which sessions are meant. What is empty asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// By outcome and review.
    pub status: Status,
    /// By outcome alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// These alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<SessionId>,
    /// Each of these tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// None of these tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub without_tags: Vec<String>,
    /// One of these domains.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
    /// No model but these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// Recorded by one of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub annotators: Vec<String>,
    /// Begun at this moment or later: nanoseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_ns: Option<i64>,
    /// Begun before this moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_ns: Option<i64>,
    /// Said to be for these people at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consent: Option<Consent>,
    /// In one workspace: a hash of it, since a path says more than it should.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// The path of it, which is not written down.
    #[serde(skip)]
    pub folder: Option<PathBuf>,
}

impl Filter {
    /// Only sessions of this workspace of a device, or of a folder in it.
    #[must_use]
    pub fn in_workspace(self, device: DeviceId, folder: &Path) -> Self {
        let key = workspace_key(device, &folder.display().to_string());
        Self { workspace: Some(key), folder: Some(folder.to_owned()), ..self }
    }
}

/// A session that was chosen.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The session.
    pub id: SessionId,
    /// Its last event that counts; `None`: the last there is.
    pub head: Option<EventId>,
    /// What was said about it.
    pub said: Said,
}

/// What was chosen and what was not.
#[derive(Debug, Default)]
pub struct Selection {
    /// In the order of their ids.
    pub chosen: Vec<Chosen>,
    /// Of those that were not chosen, how many for which reason.
    pub left_out: BTreeMap<&'static str, usize>,
    /// Sessions whose file cannot be read, and why.
    pub unreadable: Vec<(SessionId, String)>,
    /// Private ones among the chosen.
    pub private: Vec<SessionId>,
}

/// Chooses sessions of the catalogue. `as_backup` when private ones count too if they are named.
///
/// # Errors
/// When the library cannot be read.
pub fn select(
    home: &Home,
    library: &Library,
    catalogue: &[CatalogueRow],
    filter: &Filter,
    as_backup: bool,
) -> Result<Selection, DatasetError> {
    let mut selection = Selection::default();
    let named =
        |row: &&CatalogueRow| filter.sessions.is_empty() || filter.sessions.contains(&row.session);
    for row in catalogue.iter().filter(named) {
        if let Some(error) = &row.error {
            selection.unreadable.push((row.session, error.clone()));
            continue;
        }
        let mut said = Said::of(&library.annotations(row.session)?);
        let mut is_private = row.status.private || said.consent == Some(Consent::Private);
        let is_backup = as_backup && !filter.sessions.is_empty();
        let why = if is_private && !is_backup {
            Some("private")
        } else if row.live {
            Some("still being recorded")
        } else if !filter.fits_outcome(&said) {
            Some("not marked so")
        } else if !filter.fits(row, &said) {
            Some("not as the filters ask")
        } else {
            let archive = Archive::open(home, row.session)?;
            let session = archive.session()?;
            said = said.or_as_set(&session);
            is_private |= said.consent == Some(Consent::Private);
            if is_private && !is_backup {
                Some("private")
            } else if filter.fits_file(&archive, &session, &said)? {
                None
            } else {
                Some("not as the filters ask")
            }
        };
        if let Some(why) = why {
            *selection.left_out.entry(why).or_default() += 1;
            continue;
        }
        if is_private {
            selection.private.push(row.session);
        }
        selection.chosen.push(Chosen { id: row.session, head: None, said });
    }
    selection.chosen.sort_by_key(|chosen| chosen.id);
    Ok(selection)
}

impl Filter {
    fn fits_outcome(&self, said: &Said) -> bool {
        let by_status = match self.status {
            Status::All => true,
            Status::Success => {
                said.outcome == Some(Outcome::Success) && said.review != Some(Review::Rejected)
            }
            Status::Accepted => said.review == Some(Review::Accepted),
        };
        let outcome = said.outcome.map_or("unknown", Outcome::as_str);
        by_status && self.outcome.as_deref().is_none_or(|wanted| wanted == outcome)
    }

    fn fits(&self, row: &CatalogueRow, said: &Said) -> bool {
        let started = row.status.started_ns;
        self.since_ns.is_none_or(|since| started >= since)
            && self.until_ns.is_none_or(|until| started < until)
            && self.tags.iter().all(|tag| said.tags.contains(tag))
            && !self.without_tags.iter().any(|tag| said.tags.contains(tag))
            && is_one_of(&self.domains, said.domain.as_ref())
    }

    /// What only the file of a session says.
    fn fits_file(
        &self,
        archive: &Archive,
        session: &SessionRow,
        said: &Said,
    ) -> Result<bool, DatasetError> {
        let cwd = Path::new(&session.environment.cwd);
        let fits = self.consent.is_none_or(|wanted| said.consent.is_some_and(|it| it >= wanted))
            && self.folder.as_deref().is_none_or(|folder| cwd.starts_with(folder))
            && is_one_of(&self.annotators, session.annotator.as_ref());
        if !fits || self.models.is_empty() {
            return Ok(fits);
        }
        Ok(archive.requests()?.iter().all(|request| self.models.contains(&request.model)))
    }
}

/// Whether it is one of those that are asked for, if any are.
fn is_one_of(wanted: &[String], have: Option<&String>) -> bool {
    wanted.is_empty() || have.is_some_and(|have| wanted.contains(have))
}
