//! The store, as the commands that read it want it: found, and with whatever a crash left open
//! closed.

use record::{Archive, CatalogueRow, Found, Home, Library, Search};
use trajectory::SessionId;

use crate::error::CliError;
use crate::print::{Progress, note};
use crate::settings;

/// The data folder.
pub(crate) struct Store {
    pub(crate) home: Home,
}

impl Store {
    pub(crate) fn open() -> Result<Self, CliError> {
        Ok(Self { home: Home::open(&settings::home()?)? })
    }

    /// What was said about sessions. Commands that only read recordings do without, so that a
    /// folder that cannot be written can be read.
    pub(crate) fn library(&self) -> Result<Library, CliError> {
        Ok(Library::open(&self.home)?)
    }

    /// The session with this id or prefix, closed in order if its process died.
    pub(crate) fn archive(&self, id: &str) -> Result<Archive, CliError> {
        let id = self.home.find(id)?;
        self.recover(id);
        Ok(Archive::open(&self.home, id)?)
    }

    /// Closes what a crash left open in a session. A session that cannot be recovered can still
    /// be read, or will say itself why it cannot.
    pub(crate) fn recover(&self, id: SessionId) {
        if matches!(record::recover(&self.home, id), Ok(true)) {
            note(&format!("session {id} was cut short by a crash; closed it"));
        }
    }

    /// All sessions, newest first, each closed in order if its process died.
    pub(crate) fn catalogue(&self) -> Result<Vec<CatalogueRow>, CliError> {
        let list = || match Library::open(&self.home) {
            Ok(library) => library.list(),
            Err(_) => Library::scan(&self.home),
        };
        let crashed =
            |row: &CatalogueRow| row.error.is_none() && row.status.ended.is_none() && !row.live;
        let rows = list()?;
        if !rows.iter().any(crashed) {
            return Ok(rows);
        }
        rows.iter().filter(|row| crashed(row)).for_each(|row| self.recover(row.session));
        Ok(list()?)
    }

    /// The sessions in which something is found, newest first, each closed in order if its process
    /// died.
    pub(crate) fn search(&self, wanted: &Search) -> Result<Vec<Found>, CliError> {
        self.catalogue()?;
        let mut progress = Progress::of("indexing recordings");
        Ok(self.library()?.search_telling(wanted, &mut |done, all| progress.tell(done, all))?)
    }
}

/// A moment as the person at the keyboard reads it: `2026-11-23 17:04`, in their time zone.
pub(crate) fn moment(wall_ns: i64) -> String {
    let Ok(moment) = jiff::Timestamp::from_nanosecond(i128::from(wall_ns)) else {
        return "at no known time".to_owned();
    };
    moment.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string()
}

/// A moment as people write it, in nanoseconds since the Unix epoch: a day or a time of theirs, a
/// time of anywhere, or how long ago.
pub(crate) fn parse_time(text: &str) -> Result<i64, String> {
    let here = jiff::tz::TimeZone::system();
    let of_here = |time: jiff::civil::DateTime| time.to_zoned(here.clone()).ok();
    let ago = |span: jiff::Span| jiff::Zoned::now().checked_sub(span).ok();
    let moment = if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        Some(moment)
    } else if let Ok(time) = text.parse::<jiff::civil::DateTime>() {
        of_here(time).map(|it| it.timestamp())
    } else {
        text.parse::<jiff::Span>().ok().and_then(ago).map(|it| it.timestamp())
    };
    let ns = moment.and_then(|moment| i64::try_from(moment.as_nanosecond()).ok());
    ns.ok_or_else(|| "not a time such as 2026-11-20, 2026-11-20T14:00, 7d or 2h".to_owned())
}
