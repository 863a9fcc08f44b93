//! The files of rows: written line by line, one for each part of the dataset, and read back.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::columns::{self, Columns};
use crate::error::DatasetError;
use crate::export::Format;
use crate::stats::RowFacts;
use crate::version::Files;

/// A file that is being written.
struct Open {
    path: PathBuf,
    sink: Sink,
    written: Vec<(String, blake3::Hash)>,
}

/// Where rows go.
enum Sink {
    Lines(BufWriter<File>),
    Columns(Box<Columns>),
}

impl Sink {
    fn open(path: &Path, format: Format, files: Files) -> Result<Self, DatasetError> {
        if files == Files::Jsonl {
            return Ok(Self::Lines(create(path)?));
        }
        let columns = File::create_new(path).and_then(|file| Columns::new(file, format));
        let columns = columns.map_err(|error| DatasetError::io("create", path, error))?;
        Ok(Self::Columns(Box::new(columns)))
    }

    fn put(&mut self, line: &str) -> std::io::Result<()> {
        match self {
            Self::Lines(file) => writeln!(file, "{line}"),
            Self::Columns(columns) => columns.put(line),
        }
    }

    fn finish(self, path: &Path) -> Result<(), DatasetError> {
        match self {
            Self::Lines(file) => finish(file, path),
            Self::Columns(columns) => {
                let file =
                    columns.finish().map_err(|error| DatasetError::io("write", path, error))?;
                file.sync_all().map_err(|error| DatasetError::io("sync", path, error))
            }
        }
    }
}

/// Rows on their way into the files of an export.
pub(crate) struct Lines {
    folder: PathBuf,
    format: Format,
    kind: Files,
    files: BTreeMap<String, Open>,
}

impl Lines {
    /// Files of a format in a folder. One that is not split is there even when it is empty.
    pub(crate) fn new(
        folder: &Path,
        format: Format,
        kind: Files,
        is_split: bool,
    ) -> Result<Self, DatasetError> {
        let mut lines = Self { folder: folder.to_owned(), format, kind, files: BTreeMap::new() };
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
        open.sink.put(line).map_err(|error| DatasetError::io("write", &open.path, error))?;
        open.written.push((session.to_owned(), blake3::hash(line.as_bytes())));
        Ok(())
    }

    /// Ends the files and reads them back: each row is there as it was written, and `read` finds it
    /// sound; gives what `read` says of each.
    pub(crate) fn finish(
        self,
        read: impl Fn(&str) -> Result<RowFacts, &'static str>,
    ) -> Result<Vec<RowFacts>, DatasetError> {
        let mut rows = Vec::new();
        for Open { path, sink, written } in self.files.into_values() {
            sink.finish(&path)?;
            read_back(&path, (self.format, self.kind), &written, &read, &mut rows)?;
        }
        Ok(rows)
    }

    fn file(&mut self, part: Option<&str>) -> Result<&mut Open, DatasetError> {
        let name = file_name(self.format, self.kind, part);
        if !self.files.contains_key(&name) {
            let path = self.folder.join(&name);
            let sink = Sink::open(&path, self.format, self.kind)?;
            let open = Open { sink, path, written: Vec::new() };
            self.files.insert(name.clone(), open);
        }
        self.files.get_mut(&name).ok_or_else(|| {
            DatasetError::io("write", &self.folder, std::io::ErrorKind::NotFound.into())
        })
    }
}

/// The name of a file of rows.
pub(crate) fn file_name(format: Format, files: Files, part: Option<&str>) -> String {
    let stem = if format == Format::Tokens { "tokens" } else { "messages" };
    let ending = files.ending();
    match part {
        Some(part) => format!("{stem}-{part}{ending}"),
        None => format!("{stem}{ending}"),
    }
}

/// The rows of a file, as lines; `take` answers whether to go on.
pub(crate) fn each_line(
    path: &Path,
    (format, files): (Format, Files),
    take: &mut dyn FnMut(String) -> Result<bool, DatasetError>,
) -> Result<(), DatasetError> {
    if files == Files::Parquet {
        return columns::each_line(path, format, take);
    }
    let failed = |error| DatasetError::io("read", path, error);
    for line in BufReader::new(File::open(path).map_err(failed)?).lines() {
        if !take(line.map_err(failed)?)? {
            break;
        }
    }
    Ok(())
}

fn read_back(
    path: &Path,
    kind: (Format, Files),
    written: &[(String, blake3::Hash)],
    read: &impl Fn(&str) -> Result<RowFacts, &'static str>,
    rows: &mut Vec<RowFacts>,
) -> Result<(), DatasetError> {
    let differs = |session: &str, what: &str| DatasetError::ReadBack {
        session: session.to_owned(),
        what: what.to_owned(),
    };
    let mut written = written.iter();
    each_line(path, kind, &mut |line| {
        let (session, hash) = written.next().ok_or_else(|| differs("", "a row too many"))?;
        if blake3::hash(line.as_bytes()) != *hash {
            return Err(differs(session, "a row differs"));
        }
        rows.push(read(&line).map_err(|what| differs(session, what))?);
        Ok(true)
    })?;
    match written.next() {
        None => Ok(()),
        Some((session, _)) => Err(differs(session, "a row is missing")),
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
