//! The images of an export: files named after their bytes, each written once.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use record::Archive;
use trajectory::event::Attachment;

use crate::error::DatasetError;
use crate::ledger::Ledger;

/// The folder within an export.
const FOLDER: &str = "images";

/// Where the images of an export go.
#[derive(Debug)]
pub(crate) struct Images {
    folder: PathBuf,
    written: BTreeSet<String>,
}

/// What became of an attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Placed {
    /// It lies here, relative to the export's folder.
    At(String),
    /// Its bytes are not in the recording any more.
    Missing,
    /// The model was sent a line of text in its place.
    NotShown,
}

impl Images {
    pub(crate) fn new(export: &Path) -> Self {
        Self { folder: export.join(FOLDER), written: BTreeSet::new() }
    }

    /// Writes an image of a recording, unless it is there already.
    pub(crate) fn place(
        &mut self,
        archive: &Archive,
        attachment: &Attachment,
        ledger: &mut Ledger,
    ) -> Result<Placed, DatasetError> {
        let Some(bytes) = archive.attachment(&attachment.blake3)? else {
            let note = "Images whose bytes are gone from the recording: a line of text stands in \
                        their place, and the message is not what was sent.";
            ledger.lose("images_missing", 1, note);
            return Ok(Placed::Missing);
        };
        // Named after what they are, never after what the log says.
        let name =
            format!("{}.{}", blake3::hash(&bytes).to_hex(), extension(&attachment.media_type));
        let place = format!("{FOLDER}/{name}");
        ledger.keep("images");
        if self.written.insert(name.clone()) {
            self.write(&name, &bytes)?;
        }
        Ok(Placed::At(place))
    }

    /// Makes the names of the files durable.
    pub(crate) fn finish(&self) -> Result<(), DatasetError> {
        if self.written.is_empty() {
            return Ok(());
        }
        let synced = fs::File::open(&self.folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| DatasetError::io("sync", &self.folder, error))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), DatasetError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| DatasetError::io("write", &path, error)
        };
        fs::create_dir_all(&self.folder).map_err(failed(&self.folder))?;
        let path = self.folder.join(name);
        let mut file = fs::File::create_new(&path).map_err(failed(&path))?;
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed(&path))
    }
}

fn extension(media_type: &str) -> &'static str {
    match media_type {
        "image/png" => "png",
        "image/jpeg" => "jpg",
        "image/gif" => "gif",
        "image/webp" => "webp",
        _ => "bin",
    }
}
