//! Patterns of file names, as models write them.
//!
//! One without a slash means the name, at any depth; one with a slash means the path, from the
//! folder that is searched or from the workspace.

use std::path::Path;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::beneath::Workspace;

const PATTERN_CHARS_MAX: usize = 1_000;
const ALTERNATIVES_MAX: usize = 50;

/// One pattern, or several with commas between them.
pub(crate) struct Pattern {
    /// Matched against the name.
    names: GlobSet,
    /// Matched against the path.
    paths: GlobSet,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// A sentence for the model.
    pub(crate) fn parse(text: &str, workspace: &Workspace) -> Result<Self, String> {
        if text.chars().count() > PATTERN_CHARS_MAX {
            return Err(format!("The pattern is longer than {PATTERN_CHARS_MAX} characters."));
        }
        let mut names = GlobSetBuilder::new();
        let mut paths = GlobSetBuilder::new();
        let alternatives = alternatives(text);
        if alternatives.is_empty() {
            return Err("The pattern is empty.".to_owned());
        }
        for alternative in alternatives.into_iter().take(ALTERNATIVES_MAX) {
            let inside = inside(alternative, workspace)?;
            let glob = GlobBuilder::new(inside)
                .literal_separator(true)
                .empty_alternates(true)
                .build()
                .map_err(|error| {
                    format!("The pattern {alternative:?} is not one: {}.", error.kind())
                })?;
            if inside.contains('/') {
                paths.add(glob)
            } else {
                names.add(glob)
            };
        }
        let built = names.build().and_then(|names| Ok((names, paths.build()?)));
        let (names, paths) =
            built.map_err(|error| format!("The pattern cannot be used: {error}."))?;
        Ok(Self { names, paths })
    }

    /// Whether it means a path, which is relative to the workspace and below `start`.
    pub(crate) fn is_match(&self, path: &Path, start: &Path) -> bool {
        let below = path.strip_prefix(start).unwrap_or(path);
        path.file_name().is_some_and(|name| self.names.is_match(name))
            || (!self.paths.is_empty() && (self.paths.is_match(below) || self.paths.is_match(path)))
    }
}

/// What stands between commas outside of braces and brackets.
fn alternatives(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    text.split(|letter| {
        match letter {
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        letter == ',' && depth == 0
    })
    .map(str::trim)
    .filter(|part| !part.is_empty())
    .collect()
}

/// The pattern as seen from the workspace.
fn inside<'a>(text: &'a str, workspace: &Workspace) -> Result<&'a str, String> {
    let outside =
        || format!("The pattern {text:?} leads out of the workspace. Use a relative one.");
    let text = text.strip_prefix("./").unwrap_or(text);
    if text.split('/').any(|part| part == "..") {
        return Err(outside());
    }
    if !text.starts_with('/') {
        return Ok(text);
    }
    [workspace.root(), workspace.named()]
        .into_iter()
        .filter_map(Path::to_str)
        .find_map(|root| text.strip_prefix(root)?.strip_prefix('/'))
        .ok_or_else(outside)
}
