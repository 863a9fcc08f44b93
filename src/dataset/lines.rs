//! The files of rows: written line by line, one for each part of the dataset, and read back.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::DatasetError;
use crate::stats::RowFacts;

/// A file that is being written.
struct Open {
    path: PathBuf,
    file: BufWriter<File>,
    written: Vec<(String, blake3::Hash)>,
}

/// Rows on their way into the files of an export.
pub(crate) struct Lines {
    folder: PathBuf,
    stem: &'static str,
    files: BTreeMap<String, Open>,
}

impl Lines {
    /// Files of this stem in a folder. One that is not split is there even when it is empty.
    pub(crate) fn new(
        folder: &Path,
        stem: &'static str,
        is_split: bool,
    ) -> Result<Self, DatasetError> {
        let mut lines = Self { folder: folder.to_owned(), stem, files: BTreeMap::new() };
        if !is_split {
            lines.file(None)?;
        }
        Ok(lines)
    }

    /// Writes a row of a session into the file of a part.
    pub(crate) fn put(
        &mut self,
        part: Option<&str>,
        session: &str,
        line: &str,
    ) -> Result<(), DatasetError> {
        let open = self.file(part)?;
        writeln!(open.file, "{line}")
            .map_err(|error| DatasetError::io("write", &open.path, error))?;
        open.written.push((session.to_owned(), blake3::hash(line.as_bytes())));
        Ok(())
    }

    /// Ends the files and reads them back: each row is there as it was written, and `read` finds it
    /// sound; gives what `read` says of each.
    pub(crate) fn finish(
        self,
        read: impl Fn(&Value) -> Result<RowFacts, &'static str>,
    ) -> Result<Vec<RowFacts>, DatasetError> {
        let mut rows = Vec::new();
        for Open { path, file, written } in self.files.into_values() {
            finish(file, &path)?;
            read_back(&path, &written, &read, &mut rows)?;
        }
        Ok(rows)
    }

    fn file(&mut self, part: Option<&str>) -> Result<&mut Open, DatasetError> {
        let name = file_name(self.stem, part);
        if !self.files.contains_key(&name) {
            let path = self.folder.join(&name);
            let open = Open { file: create(&path)?, path, written: Vec::new() };
            self.files.insert(name.clone(), open);
        }
        self.files.get_mut(&name).ok_or_else(|| {
            DatasetError::io("write", &self.folder, std::io::ErrorKind::NotFound.into())
        })
    }
}

/// The name of a file of rows.
pub(crate) fn file_name(stem: &str, part: Option<&str>) -> String {
    match part {
        Some(part) => format!("{stem}-{part}.jsonl"),
        None => format!("{stem}.jsonl"),
    }
}

fn read_back(
    path: &Path,
    written: &[(String, blake3::Hash)],
    read: &impl Fn(&Value) -> Result<RowFacts, &'static str>,
    rows: &mut Vec<RowFacts>,
) -> Result<(), DatasetError> {
    let failed = |error| DatasetError::io("read back", path, error);
    let mut lines = BufReader::new(File::open(path).map_err(failed)?).lines();
    for (session, hash) in written {
        let differs =
            |what: &str| DatasetError::ReadBack { session: session.clone(), what: what.to_owned() };
        let line = lines.next().ok_or_else(|| differs("a row is missing"))?.map_err(failed)?;
        if blake3::hash(line.as_bytes()) != *hash {
            return Err(differs("a row differs"));
        }
        let row: Value = serde_json::from_str(&line).map_err(|_| differs("a row is no JSON"))?;
        rows.push(read(&row).map_err(differs)?);
    }
    match lines.next() {
        None => Ok(()),
        Some(_) => {
            let what = "a row too many".to_owned();
            Err(DatasetError::ReadBack { session: String::new(), what })
        }
    }
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

/// Writes a small file whole.
pub(crate) fn write_whole(path: &Path, text: &str) -> Result<(), DatasetError> {
    let mut file = create(path)?;
    file.write_all(text.as_bytes()).map_err(|error| DatasetError::io("write", path, error))?;
    finish(file, path)
}
