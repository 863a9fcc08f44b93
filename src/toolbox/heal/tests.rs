//! Right edits of real files, told wrong in every way that is healed.
//!
//! An edit is made up from lines of a file, so what must come of it is known. Then the model's two
//! texts, or the file, are disturbed. The outcome is the right file or a refusal, never a third
//! thing; how often it is which is printed with `--nocapture`.

use std::collections::BTreeMap;

use super::*;

const FILES: &[(&str, &str)] = &[
    ("queue.rs", include_str!("samples/queue.rs.txt")),
    ("guide.md", include_str!("samples/guide.md")),
    ("cart.py", include_str!("samples/cart.py")),
    ("deploy.yaml", include_str!("samples/deploy.yaml")),
    ("server.go", include_str!("samples/server.go")),
    ("list.ts", include_str!("samples/list.ts")),
];

/// How many edits are made up. Each is told wrong in every way.
const EDITS: u32 = 300;

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % end.max(1)
    }
}

/// A right edit: the file, the lines it is about, what they become.
struct Edit {
    path: &'static str,
    before: Vec<String>,
    first: usize,
    old: Vec<String>,
    new: Vec<String>,
}

impl Edit {
    fn roll(dice: &mut Dice) -> Self {
        let (path, text) = FILES[dice.below(FILES.len())];
        let before: Vec<String> = text.lines().map(str::to_owned).collect();
        let count = 1 + dice.below(9.min(before.len()));
        let first = dice.below(before.len() - count + 1);
        let old = before[first..first + count].to_vec();
        let mut new = old.clone();
        let at =
            (0..count).map(|at| (at + dice.0 as usize) % count).find(|at| !old[*at].is_empty());
        let at = at.unwrap_or(0);
        let line = new[at].clone();
        let indent = &line[..line.len() - line.trim_start().len()];
        match dice.below(4) {
            0 => new.insert(at + 1, format!("{indent}something(new)")),
            1 => new[at] = format!("{indent}instead = 7"),
            2 if count > 1 => {
                new.remove(at);
            }
            _ => {
                let words: Vec<&str> = line.split(' ').collect();
                let which = words.iter().position(|word| !word.is_empty()).unwrap_or(0);
                let which = which + dice.below(words.len() - which);
                let changed = words.iter().enumerate().map(|(at, word)| {
                    if at == which { format!("{word}_changed") } else { (*word).to_owned() }
                });
                new[at] = changed.collect::<Vec<_>>().join(" ");
            }
        }
        Self { path, before, first, old, new }
    }

    fn after(&self) -> Vec<String> {
        let rest = &self.before[self.first + self.old.len()..];
        [&self.before[..self.first], &self.new, rest].concat()
    }
}

/// A way to get it wrong: of the lines of the model, or of those of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mistake {
    None,
    NoIndentation,
    MoreIndentation,
    TabsForSpaces,
    SpacesForTabs,
    TrailingBlanks,
    WideSpaces,
    NoBlankLines,
    LineNumbers,
    CurlyQuotesInTheFile,
    HardBlanksInTheFile,
    CrlfInTheFile,
    EscapedQuotes,
    Entities,
}

const MISTAKES: &[Mistake] = &[
    Mistake::None,
    Mistake::NoIndentation,
    Mistake::MoreIndentation,
    Mistake::TabsForSpaces,
    Mistake::SpacesForTabs,
    Mistake::TrailingBlanks,
    Mistake::WideSpaces,
    Mistake::NoBlankLines,
    Mistake::LineNumbers,
    Mistake::CurlyQuotesInTheFile,
    Mistake::HardBlanksInTheFile,
    Mistake::CrlfInTheFile,
    Mistake::EscapedQuotes,
    Mistake::Entities,
];

impl Mistake {
    /// The model's lines, wrong; the same is done to old and new ones.
    fn lines(self, lines: &[String], edit: &Edit) -> Vec<String> {
        let each = |change: &dyn Fn(&str) -> String| -> Vec<String> {
            lines.iter().map(|line| change(line)).collect()
        };
        let all = || edit.old.iter().chain(&edit.new).filter(|line| !line.is_empty());
        let depth = |line: &String| line.len() - line.trim_start().len();
        match self {
            Self::NoIndentation => {
                let common = all().map(depth).min().unwrap_or(0);
                each(&|line| line.get(common..).unwrap_or_default().to_owned())
            }
            Self::MoreIndentation => {
                let sign = if edit.path.ends_with(".go") { "\t" } else { "    " };
                each(&|line| if line.is_empty() { String::new() } else { format!("{sign}{line}") })
            }
            Self::TabsForSpaces => each(&|line| {
                let bare = line.trim_start_matches(' ');
                let blanks = line.len() - bare.len();
                format!("{}{}{bare}", "\t".repeat(blanks / 4), " ".repeat(blanks % 4))
            }),
            Self::SpacesForTabs => each(&|line| {
                let bare = line.trim_start_matches('\t');
                format!("{}{bare}", "    ".repeat(line.len() - bare.len()))
            }),
            Self::TrailingBlanks => each(&|line| {
                if edit.old.iter().any(|old| old == line) {
                    format!("{line}  ")
                } else {
                    line.to_owned()
                }
            }),
            Self::WideSpaces => each(&|line| {
                if !edit.old.iter().any(|old| old == line) {
                    return line.to_owned();
                }
                let bare = line.trim_start();
                let indent = &line[..line.len() - bare.len()];
                format!("{indent}{}", bare.replace(" = ", "  =  ").replace(", ", ",  "))
            }),
            Self::NoBlankLines => {
                lines.iter().filter(|line| !line.trim().is_empty()).cloned().collect()
            }
            Self::LineNumbers => {
                let number =
                    |(at, line): (usize, &String)| format!("{:>6}\t{line}", edit.first + 1 + at);
                lines.iter().enumerate().map(number).collect()
            }
            Self::EscapedQuotes => each(&|line| line.replace('"', "\\\"")),
            Self::Entities => {
                each(&|line| line.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"))
            }
            _ => lines.to_vec(),
        }
    }

    /// The file, as the model does not see it.
    fn file(self, lines: &[String]) -> String {
        let end = if self == Self::CrlfInTheFile { "\r\n" } else { "\n" };
        let text: String = lines.iter().flat_map(|line| [line.as_str(), end]).collect();
        match self {
            Self::CurlyQuotesInTheFile => text.replace('"', "”").replace('\'', "’"),
            Self::HardBlanksInTheFile => text.replace(" in ", "\u{a0}in\u{a0}"),
            _ => text,
        }
    }
}

/// What a tool would make of it: the exact place first, then a healed one.
fn outcome(content: &str, old: &str, new: &str, path: &str) -> Option<String> {
    let at: Vec<usize> = content.match_indices(old).map(|(at, _)| at).collect();
    if let [at] = at.as_slice() {
        return Some(format!("{}{new}{}", &content[..*at], &content[at + old.len()..]));
    }
    if !at.is_empty() {
        return None;
    }
    let strict = is_strict(Path::new(path));
    match heal(content.as_bytes(), Wanted { old, new, all: false, strict }) {
        Healed::Found { changes, .. } => {
            let mut after = content.to_owned();
            for (range, new) in changes.iter().rev() {
                after.replace_range(range.clone(), std::str::from_utf8(new).unwrap());
            }
            Some(after)
        }
        Healed::Several { .. } | Healed::Nothing => None,
    }
}

#[test]
fn a_right_edit_told_wrong_comes_out_right_or_not_at_all() {
    let mut counts: BTreeMap<Mistake, [usize; 3]> = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    for round in 0..EDITS {
        let edit = Edit::roll(&mut dice);
        for mistake in MISTAKES {
            let text = |lines: &[String]| -> String {
                let lines = mistake.lines(lines, &edit);
                lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
            };
            let (old, new) = (text(&edit.old), text(&edit.new));
            let (before, after) = (mistake.file(&edit.before), mistake.file(&edit.after()));
            if old == new || old.trim().is_empty() || before.matches(&old).count() == 1 {
                // It was not wrong.
                continue;
            }
            let [healed, refused, _] = counts.entry(*mistake).or_default();
            match outcome(&before, &old, &new, edit.path) {
                Some(now) if is_right(*mistake, &now, &after) => *healed += 1,
                None => *refused += 1,
                Some(now) => {
                    counts.entry(*mistake).or_default()[2] += 1;
                    wrong.push(format!(
                        "round {round}, {mistake:?}, {}:\n--- old\n{old}\n--- new\n{new}\n--- {}",
                        edit.path,
                        differing(&now, &after)
                    ));
                }
            }
        }
    }
    for (mistake, [healed, refused, wrong]) in &counts {
        let name = format!("{mistake:?}");
        println!("{name:<22} {healed:>5} healed {refused:>5} refused {wrong:>3} wrong");
    }
    assert!(
        wrong.is_empty(),
        "{} are wrong:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(6)].join("\n")
    );
}

/// Where a line comes or goes beside a blank line that the model left away, nobody can say whether
/// the blank line is above it or below.
fn is_right(mistake: Mistake, now: &str, after: &str) -> bool {
    let visible = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    };
    match mistake {
        Mistake::NoBlankLines => visible(now) == visible(after),
        // A blank beside a word that changed may be of either kind.
        Mistake::HardBlanksInTheFile => now.replace('\u{a0}', " ") == after.replace('\u{a0}', " "),
        _ => now == after,
    }
}

fn differing(now: &str, after: &str) -> String {
    let at = now.lines().zip(after.lines()).position(|(now, after)| now != after).unwrap_or(0);
    let part = |text: &str| {
        text.split('\n')
            .skip(at.saturating_sub(1))
            .take(4)
            .map(|line| format!("{line:?}\n"))
            .collect::<String>()
    };
    format!("became\n{}--- not\n{}", part(now), part(after))
}
