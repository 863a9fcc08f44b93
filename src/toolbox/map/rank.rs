//! Which definitions matter: those whose names are mentioned by files that matter.
//!
//! Files vote for each other, as pages do that link to each other: a file that mentions a name
//! gives a share of its weight to the files that define it. What a call asks to focus on starts
//! with more weight. In the end the weight of each file is handed on once more, to definitions.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use crate::map::index::{File, Index, Symbol};

/// How often weight is handed on; it hardly changes after that.
const ROUNDS: usize = 20;
/// How much of its weight a file hands on.
const DAMPING: f32 = 0.85;
/// A name that more files define says nothing of any of them.
const DEFINERS_MAX: usize = 20;
/// How much more what is in focus counts.
const FOCUS: f32 = 20.0;

/// A definition, and how much it matters.
pub(crate) struct Ranked<'a> {
    pub(crate) path: &'a Path,
    pub(crate) symbol: &'a Symbol,
    score: f32,
}

/// All definitions below a folder, the most important first; `None` when it was cancelled.
pub(crate) fn rank<'a>(
    index: &'a Index,
    start: &Path,
    focus: &str,
    cancel: &CancellationToken,
) -> Option<Vec<Ranked<'a>>> {
    let files = index.below(start);
    let words: Vec<String> = focus
        .split(|character: char| character.is_whitespace() || character == ',')
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    let votes = Votes::new(index, &files, &words);
    let wishes = wishes(&files, &words);
    let mut weights = wishes.clone();
    for _ in 0..ROUNDS {
        if cancel.is_cancelled() {
            return None;
        }
        weights = votes.hand_on(&weights, &wishes);
    }
    let scores = votes.scores(&weights);
    let mut ranked: Vec<Ranked<'_>> = Vec::new();
    for ((path, file), scores) in files.iter().zip(scores) {
        for (symbol, score) in file.symbols.iter().zip(scores) {
            ranked.push(Ranked { path, symbol, score });
        }
    }
    // Sorted by path and line before, so what is equal stays in that order.
    ranked.sort_by(|one, other| other.score.total_cmp(&one.score));
    Some(ranked)
}

/// How the weight of one is spread before anybody votes: evenly, or on what is in focus.
fn wishes(files: &[(&Path, &File)], words: &[String]) -> Vec<f32> {
    let mut wishes: Vec<f32> = files
        .iter()
        .map(|(path, _)| {
            let path = path.to_string_lossy().to_lowercase();
            let is_wanted = words.iter().any(|word| path.contains(word.as_str()));
            if is_wanted { FOCUS } else { 1.0 }
        })
        .collect();
    let sum: f32 = wishes.iter().sum();
    wishes.iter_mut().for_each(|wish| *wish /= sum.max(1.0));
    wishes
}

/// Who mentions whose names.
struct Votes<'a> {
    files: &'a [(&'a Path, &'a File)],
    /// For each name, the definitions: file and place in it.
    definers: Vec<Vec<(u32, u32)>>,
    /// For each file, the names it mentions that others define, each with its share.
    mentions: Vec<Vec<(u32, f32)>>,
    /// How much each name in focus adds to its definitions.
    in_focus: Vec<bool>,
}

impl<'a> Votes<'a> {
    fn new(index: &Index, files: &'a [(&'a Path, &'a File)], words: &[String]) -> Self {
        let mut definers: Vec<Vec<(u32, u32)>> = vec![Vec::new(); index.names()];
        for (file, place, symbol) in definitions(files) {
            if let Some(definers) = definers.get_mut(symbol.name as usize)
                && definers.len() <= DEFINERS_MAX
            {
                definers.push((file, place));
            }
        }
        let in_focus: Vec<bool> = (0..index.names())
            .map(|name| {
                let text = index.text(u32::try_from(name).unwrap_or(u32::MAX));
                !words.is_empty() && {
                    let text = text.to_lowercase();
                    words.iter().any(|word| text.contains(word.as_str()))
                }
            })
            .collect();
        let mentions = files
            .iter()
            .zip(0_u32..)
            .map(|((_, file), own)| {
                let shares = file.references.iter().filter_map(|(name, times)| {
                    let definers = definers.get(*name as usize)?;
                    // What it defines itself, it means itself.
                    let is_own = definers.iter().any(|(file, _)| *file == own);
                    if definers.is_empty() || definers.len() > DEFINERS_MAX || is_own {
                        return None;
                    }
                    let focus = in_focus.get(*name as usize).is_some_and(|focus| *focus);
                    let worth = worth(index.text(*name)) * if focus { FOCUS } else { 1.0 };
                    Some((*name, worth * float(*times).sqrt() / float(definers.len())))
                });
                let mut shares: Vec<(u32, f32)> = shares.collect();
                let sum: f32 = shares.iter().map(|(_, share)| share).sum();
                shares.iter_mut().for_each(|(_, share)| *share /= sum.max(f32::MIN_POSITIVE));
                shares
            })
            .collect();
        Self { files, definers, mentions, in_focus }
    }

    /// Each file's weight after all have handed on what they have.
    fn hand_on(&self, weights: &[f32], wishes: &[f32]) -> Vec<f32> {
        let mut next = vec![0.0; weights.len()];
        let mut kept = 0.0;
        for (weight, mentions) in weights.iter().zip(&self.mentions) {
            if mentions.is_empty() {
                kept += weight;
            }
            for (name, share) in mentions {
                let definers = self.definers.get(*name as usize).map_or(&[][..], Vec::as_slice);
                let part = weight * share / float(definers.len());
                for (to, _) in definers {
                    if let Some(next) = next.get_mut(*to as usize) {
                        *next += part;
                    }
                }
            }
        }
        let handed: f32 = next.iter().sum::<f32>() + kept;
        let scale = if handed > 0.0 { DAMPING / handed } else { 0.0 };
        let kept = kept * scale;
        let wished = 1.0 - DAMPING + kept;
        next.iter().zip(wishes).map(|(next, wish)| next * scale + wish * wished).collect()
    }

    /// What each file's definitions are given by those that mention them.
    fn scores(&self, weights: &[f32]) -> Vec<Vec<f32>> {
        let mut scores: Vec<Vec<f32>> = self
            .files
            .iter()
            .zip(weights)
            .map(|((_, file), weight)| {
                // So that what nobody mentions comes last, and in the order of its files.
                let base = |symbol: &Symbol| {
                    let focus = self.in_focus.get(symbol.name as usize) == Some(&true);
                    weight * if focus { 1.0 } else { 1e-4 }
                };
                file.symbols.iter().map(base).collect()
            })
            .collect();
        for (weight, mentions) in weights.iter().zip(&self.mentions) {
            for (name, share) in mentions {
                let definers = self.definers.get(*name as usize).map_or(&[][..], Vec::as_slice);
                for (to, place) in definers {
                    let part = weight * share / float(definers.len());
                    let score = scores.get_mut(*to as usize);
                    if let Some(score) = score.and_then(|file| file.get_mut(*place as usize)) {
                        *score += part;
                    }
                }
            }
        }
        scores
    }
}

/// Every definition, with the number of its file and its place in it.
fn definitions<'a>(
    files: &'a [(&'a Path, &'a File)],
) -> impl Iterator<Item = (u32, u32, &'a Symbol)> {
    (0..).zip(files).flat_map(|(file, (_, content))| {
        (0..).zip(&content.symbols).map(move |(place, symbol)| (file, place, symbol))
    })
}

/// How much a name tells. Words that somebody put together tell most; `filter` or `value` may be
/// anybody's, and most often is the standard library's.
fn worth(name: &str) -> f32 {
    let is_compound = name.trim_matches('_').contains('_')
        || name
            .chars()
            .zip(name.chars().skip(1))
            .any(|(one, next)| one.is_lowercase() && next.is_uppercase());
    let is_word = name.chars().all(|letter| letter.is_lowercase() || letter == '_');
    match name.len() {
        0..=2 => 0.05,
        _ if name.starts_with('_') => 0.1,
        8.. if is_compound => 4.0,
        _ if is_word && !is_compound => 0.1,
        _ => 1.0,
    }
}

// Counts are far below what a float holds exactly, and the last digit does not matter.
#[allow(clippy::cast_precision_loss)]
fn float(number: impl TryInto<u32>) -> f32 {
    number.try_into().unwrap_or(u32::MAX) as f32
}
