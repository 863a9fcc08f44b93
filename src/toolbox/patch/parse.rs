//! Reading a patch: the form with `*** Begin Patch`, or a unified diff.
//!
//! It is read as models write it. What stands around the patch (a here-document, a fence of
//! Markdown) is left out, the end may be missing, a blank line of context may lack its blank, and
//! a line of context its first one. What could mean two things is an error that names the line.

/// The most files of one patch. Two descriptors are open for each.
pub(super) const FILES_MAX: usize = 100;
const HUNKS_MAX: usize = 1_000;

/// What a patch does to one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Add { path: String, content: String },
    Delete { path: String },
    Update { path: String, to: Option<String>, hunks: Vec<Hunk> },
}

/// Lines that are replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hunk {
    /// Lines above it, from the outermost: a class, a function.
    pub(super) above: Vec<String>,
    pub(super) lines: Vec<Line>,
    /// It lies at the end of the file.
    pub(super) at_end: bool,
    /// The line at which it begins, by a unified diff.
    pub(super) line: Option<usize>,
}

/// A line of a hunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Context(String),
    Removed(String),
    Added(String),
}

impl Hunk {
    /// The lines as they are now, each with its end.
    pub(super) fn before(&self) -> String {
        self.text(|line| match line {
            Line::Context(text) | Line::Removed(text) => Some(text),
            Line::Added(_) => None,
        })
    }

    /// The lines as they will be.
    pub(super) fn after(&self) -> String {
        self.text(|line| match line {
            Line::Context(text) | Line::Added(text) => Some(text),
            Line::Removed(_) => None,
        })
    }

    fn text(&self, pick: impl Fn(&Line) -> Option<&String>) -> String {
        let lines = self.lines.iter().filter_map(pick);
        lines.flat_map(|line| [line.as_str(), "\n"]).collect()
    }

    fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

/// Reads a patch.
///
/// # Errors
/// Sentences for the model: the line, and what is expected there.
pub(super) fn parse(text: &str) -> Result<Vec<Section>, String> {
    let lines = bare(text);
    let is_unified = !lines.iter().any(|line| directive(line).is_some());
    let sections = if is_unified { super::unified::parse(&lines)? } else { sections(&lines)? };
    if sections.is_empty() {
        return Err(format!("It changes nothing. {FORM}"));
    }
    if sections.len() > FILES_MAX {
        return Err(format!("It changes more than {FILES_MAX} files: send it in parts."));
    }
    let hunks = sections.iter().map(|section| match section {
        Section::Update { hunks, .. } => hunks.len(),
        Section::Add { .. } | Section::Delete { .. } => 0,
    });
    if hunks.sum::<usize>() > HUNKS_MAX {
        return Err(format!("It has more than {HUNKS_MAX} hunks: send it in parts."));
    }
    Ok(sections)
}

pub(super) const FORM: &str = "A patch has the form: *** Begin Patch, then for each file *** Add \
                               File: PATH, *** Update File: PATH or *** Delete File: PATH with its \
                               lines (` ` context, `-` removed, `+` added, `@@` before each hunk), \
                               then *** End Patch.";

/// The lines of the patch without what was put around it.
fn bare(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> =
        text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
    let begin = lines.iter().position(|line| line.trim() == BEGIN);
    let mut indent = 0;
    if let Some(begin) = begin {
        let first = lines.get(begin).copied().unwrap_or_default();
        indent = first.len() - first.trim_start().len();
        lines.drain(..=begin);
    }
    match lines.iter().position(|line| line.trim() == END) {
        Some(end) => lines.truncate(end),
        None => {
            while lines.last().is_some_and(|line| matches!(line.trim(), "" | "EOF" | "```")) {
                lines.pop();
            }
        }
    }
    let dedent = |line: &'_ mut &str| {
        let blanks = line.len() - line.trim_start_matches([' ', '\t']).len();
        *line = line.get(indent.min(blanks)..).unwrap_or_default();
    };
    lines.iter_mut().for_each(dedent);
    lines
}

const BEGIN: &str = "*** Begin Patch";
const END: &str = "*** End Patch";

enum Directive<'a> {
    Add(&'a str),
    Delete(&'a str),
    Update(&'a str),
    Move(&'a str),
    EndOfFile,
}

fn directive(line: &str) -> Option<Directive<'_>> {
    let said = line.strip_prefix("***")?.trim();
    if said == "End of File" {
        return Some(Directive::EndOfFile);
    }
    let (what, path) = said.split_once(':')?;
    let path = path.trim();
    match what {
        "Add File" => Some(Directive::Add(path)),
        "Delete File" => Some(Directive::Delete(path)),
        "Update File" => Some(Directive::Update(path)),
        "Move to" => Some(Directive::Move(path)),
        _ => None,
    }
}

fn sections(lines: &[&str]) -> Result<Vec<Section>, String> {
    let mut sections: Vec<Section> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let wrong = |what: &str| {
            let shown: String = line.chars().take(80).collect();
            format!("Line {} of the patch, `{shown}`: {what}", at + 1)
        };
        match (directive(line), sections.last_mut()) {
            (Some(Directive::Add(path)), _) => {
                sections.push(Section::Add { path: path.to_owned(), content: String::new() });
            }
            (Some(Directive::Delete(path)), _) => {
                sections.push(Section::Delete { path: path.to_owned() });
            }
            (Some(Directive::Update(path)), _) => {
                let path = path.to_owned();
                sections.push(Section::Update { path, to: None, hunks: Vec::new() });
            }
            (Some(Directive::Move(path)), Some(Section::Update { to, .. })) => {
                *to = Some(path.to_owned());
            }
            (Some(Directive::EndOfFile), Some(Section::Update { hunks, .. })) => {
                if let Some(hunk) = hunks.last_mut() {
                    hunk.at_end = true;
                }
            }
            (None, Some(Section::Update { hunks, .. })) => push(hunks, line),
            (None | Some(Directive::EndOfFile), Some(Section::Add { content, .. })) => {
                match line.strip_prefix('+') {
                    Some(line) => content.extend([line, "\n"]),
                    None if line.trim().is_empty() || line.starts_with("***") => {}
                    None => return Err(wrong("each line of a new file begins with `+`.")),
                }
            }
            (None, _) if line.trim().is_empty() => {}
            (_, None) => return Err(wrong("it stands before the first `*** … File:`.")),
            (Some(_), _) => return Err(wrong("it belongs to `*** Update File:`.")),
            (None, _) => return Err(wrong("a file that is deleted has no lines.")),
        }
    }
    for section in &mut sections {
        if let Section::Update { hunks, .. } = section {
            tidy(hunks);
        }
    }
    Ok(sections)
}

/// Adds a line to the hunk that is being read, or begins the next.
fn push(hunks: &mut Vec<Hunk>, line: &str) {
    // Some models write the head of a unified diff as well.
    let is_new = hunks.iter().all(Hunk::is_empty);
    if is_new && (line.starts_with("--- ") || line.starts_with("+++ ")) {
        return;
    }
    if let Some(rest) = line.strip_prefix("@@") {
        if !hunks.last().is_some_and(Hunk::is_empty) {
            hunks.push(Hunk::default());
        }
        if let Some(hunk) = hunks.last_mut() {
            let (line, above) = super::unified::place(rest);
            hunk.line = line.or(hunk.line);
            hunk.above.extend(above.map(str::to_owned));
        }
        return;
    }
    if hunks.is_empty() || hunks.last().is_some_and(|hunk| hunk.at_end) {
        hunks.push(Hunk::default());
    }
    if let Some(hunk) = hunks.last_mut() {
        hunk.lines.push(read_line(line));
    }
}

/// A line of a hunk. One without a sign is context: whether it is there, the file says.
pub(super) fn read_line(line: &str) -> Line {
    let mut rest = line.chars();
    match rest.next() {
        Some('+') => Line::Added(rest.as_str().to_owned()),
        Some('-') => Line::Removed(rest.as_str().to_owned()),
        Some(' ') => Line::Context(rest.as_str().to_owned()),
        _ => Line::Context(line.to_owned()),
    }
}

/// Takes out hunks of nothing, and the blank lines that separate a hunk from what follows.
pub(super) fn tidy(hunks: &mut Vec<Hunk>) {
    for hunk in hunks.iter_mut() {
        while matches!(hunk.lines.last(), Some(Line::Context(text)) if text.is_empty()) {
            hunk.lines.pop();
        }
    }
    hunks.retain(|hunk| !hunk.is_empty());
}
