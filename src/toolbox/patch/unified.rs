//! Reading a unified diff, which some models send whatever they are asked for.
//!
//! The counts in a hunk's head are often wrong and are not looked at; a hunk ends where the next
//! one or the next file begins. The line number is a hint among equals.

use super::parse::{FORM, Hunk, Section, read_line, tidy};

/// Reads the files of a diff.
pub(super) fn parse(lines: &[&str]) -> Result<Vec<Section>, String> {
    let mut sections: Vec<Section> = Vec::new();
    let mut rest = lines.iter().enumerate().peekable();
    let (mut is_body, mut renamed) = (false, None);
    while let Some((_, line)) = rest.next() {
        if let Some(path) = line.strip_prefix("rename from ") {
            renamed = Some(path.trim());
            continue;
        }
        if let (Some(path), Some(to)) = (renamed, line.strip_prefix("rename to ")) {
            let (path, to) = (path.to_owned(), Some(to.trim().to_owned()));
            sections.push(Section::Update { path, to, hunks: Vec::new() });
            continue;
        }
        let next = rest.peek().map_or("", |(_, next)| *next);
        if line.starts_with("--- ") && next.starts_with("+++ ") {
            rest.next();
            head(&mut sections, line, next, renamed.take());
            is_body = false;
        } else if line.starts_with("diff --git ") {
            is_body = false;
            renamed = None;
        } else if let Some(head) = line.strip_prefix("@@") {
            is_body = true;
            let (at, above) = place(head);
            let hunk = Hunk {
                line: at,
                above: above.map(str::to_owned).into_iter().collect(),
                ..Hunk::default()
            };
            if let Some(Section::Update { hunks, .. }) = sections.last_mut() {
                hunks.push(hunk);
            }
        } else if is_body && !line.starts_with('\\') {
            body(&mut sections, line);
        }
    }
    if sections.is_empty() {
        return Err(format!("It names no file. {FORM}"));
    }
    Ok(sections.into_iter().map(finished).collect())
}

/// Begins a file. One that is new or goes is read like any other first.
fn head(sections: &mut Vec<Section>, old: &str, new: &str, renamed: Option<&str>) {
    let name = |line: &str| -> String {
        // Behind a tab stands a date.
        line.get(4..).and_then(|rest| rest.split('\t').next()).unwrap_or_default().trim().to_owned()
    };
    let (old, new) = (name(old), name(new));
    let bare = |path: &str, sign: &str| path.strip_prefix(sign).unwrap_or(path).to_owned();
    let signed =
        (old.starts_with("a/") || old == NOWHERE) && (new.starts_with("b/") || new == NOWHERE);
    let (old, new) = if signed { (bare(&old, "a/"), bare(&new, "b/")) } else { (old, new) };
    if renamed.is_some() {
        // `rename from` has begun it.
        return;
    }
    let to = (old != new).then(|| new.clone());
    sections.push(Section::Update { path: old, to, hunks: Vec::new() });
}

const NOWHERE: &str = "/dev/null";

fn body(sections: &mut [Section], line: &str) {
    if let Some(Section::Update { hunks, .. }) = sections.last_mut()
        && let Some(hunk) = hunks.last_mut()
    {
        hunk.lines.push(read_line(line));
    }
}

fn finished(section: Section) -> Section {
    let Section::Update { path, to, mut hunks } = section else {
        return section;
    };
    if path == NOWHERE {
        let content = hunks.iter().map(Hunk::after).collect();
        return Section::Add { path: to.unwrap_or_default(), content };
    }
    if to.as_deref() == Some(NOWHERE) {
        return Section::Delete { path };
    }
    tidy(&mut hunks);
    Section::Update { path, to, hunks }
}

/// What stands behind `@@`: the line at which the old text begins, and the line above.
pub(super) fn place(rest: &str) -> (Option<usize>, Option<&str>) {
    let rest = rest.trim();
    let Some(ranges) = rest.strip_prefix('-') else {
        return (None, Some(rest.trim_end_matches("@@").trim()).filter(|above| !above.is_empty()));
    };
    let digits = ranges.len() - ranges.trim_start_matches(|it: char| it.is_ascii_digit()).len();
    let Some(line) = ranges.get(..digits).and_then(|digits| digits.parse().ok()) else {
        return (None, Some(rest).filter(|above| !above.is_empty()));
    };
    let above = ranges.split_once("@@").map(|(_, above)| above.trim());
    (Some(line), above.filter(|above| !above.is_empty()))
}
