//! What the demo's model learns from: short sessions about small folders, each question of which is
//! answered with one tool and a sentence.
//!
//! They are made, not written: topics and words are in a table, and a seed says what is asked of
//! them. A topic is a group of queries. Those that are held out use the same tools, and no word of
//! theirs occurs in what is trained.

use std::fs;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use crate::random::Random;

/// Topics, each with the words that its files are named after. The last ones are held out.
const TOPICS: [(&str, [&str; 6]); 12] = [
    ("garden", ["tulip", "fern", "moss", "ivy", "rose", "clover"]),
    ("harbour", ["anchor", "buoy", "sail", "tide", "mast", "pier"]),
    ("kitchen", ["ladle", "kettle", "oven", "spoon", "whisk", "pan"]),
    ("orchard", ["apple", "pear", "quince", "plum", "basket", "cider"]),
    ("workshop", ["chisel", "hammer", "vice", "glue", "bench", "saw"]),
    ("library", ["atlas", "novel", "shelf", "card", "ink", "page"]),
    ("mountain", ["ridge", "cairn", "glacier", "hut", "trail", "summit"]),
    ("theatre", ["curtain", "stage", "mask", "ticket", "choir", "lamp"]),
    ("railway", ["signal", "engine", "tunnel", "whistle", "track", "guard"]),
    ("island", ["lagoon", "palm", "reef", "cove", "gull", "dune"]),
    ("museum", ["vase", "coin", "statue", "map", "fossil", "crown"]),
    ("farm", ["barn", "tractor", "wheat", "goat", "fence", "hay"]),
];

/// Sessions about each topic.
const SESSIONS: usize = 4;

/// Questions of each session.
const QUESTIONS: usize = 3;

/// A session that is played.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lesson {
    pub(crate) topic: &'static str,
    /// Whether it is measured with instead of trained.
    pub(crate) held_out: bool,
    /// What lies in its workspace: paths and contents.
    pub(crate) files: Vec<(String, String)>,
    pub(crate) questions: Vec<Question>,
}

impl Lesson {
    /// Lays its files into a folder.
    pub(crate) fn lay(&self, workspace: &Path) -> Result<()> {
        for (path, content) in &self.files {
            let path = workspace.join(path);
            fs::create_dir_all(path.parent().unwrap_or(workspace))?;
            fs::write(path, content)?;
        }
        Ok(())
    }
}

/// A question, the call that it takes, and the answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Question {
    pub(crate) asked: String,
    pub(crate) tool: &'static str,
    pub(crate) arguments: Value,
    /// What the tool has to say for the answer to be true.
    pub(crate) seen: String,
    pub(crate) answer: String,
}

/// Sessions about so many topics at most, a sixth of which is held out.
pub(crate) fn lessons(topics: usize, seed: u64) -> Vec<Lesson> {
    let topics = topics.min(TOPICS.len());
    let held_out = topics / 6;
    let chosen = TOPICS.iter().take(topics - held_out).map(|topic| (topic, false));
    let last = TOPICS.iter().rev().take(held_out).map(|topic| (topic, true));
    chosen
        .chain(last)
        .enumerate()
        .flat_map(|(place, (&(topic, words), held_out))| {
            (0..SESSIONS).map(move |session| {
                let number = place * SESSIONS + session;
                let mut random = Random::new(seed, number as u64);
                lesson((topic, words), held_out, number, &mut random)
            })
        })
        .collect()
}

fn lesson(
    (topic, mut words): (&'static str, [&'static str; 6]),
    held_out: bool,
    number: usize,
    random: &mut Random,
) -> Lesson {
    random.shuffle(&mut words);
    let [first, second, word, new, said, _] = words;
    let lines = 1 + random.below(4);
    let price = 2 + random.below(97);
    let folder = Folder { topic, first, second, word, new, said, lines, price };
    // All kinds in turn, so that each tool is called as often as the others.
    let mut questions: Vec<Question> = (0..QUESTIONS)
        .map(|at| folder.question((number * QUESTIONS + at) % KINDS, random.below(3)))
        .collect();
    random.shuffle(&mut questions);
    Lesson { topic, held_out, files: folder.files(), questions }
}

/// How many kinds of questions there are.
const KINDS: usize = 6;

/// A small folder, by the words in it.
struct Folder {
    topic: &'static str,
    first: &'static str,
    second: &'static str,
    /// It stands in the notes alone.
    word: &'static str,
    new: &'static str,
    said: &'static str,
    lines: u64,
    price: u64,
}

impl Folder {
    fn files(&self) -> Vec<(String, String)> {
        let Self { topic, first, second, word, lines, price, .. } = self;
        let long: String = (1..=*lines).map(|line| format!("row {line}\n")).collect();
        vec![
            (format!("{topic}/{first}.txt"), format!("The {first} costs {price} cents.\n")),
            (format!("{topic}/{second}.txt"), long),
            ("notes.md".to_owned(), format!("# Notes\n\nAsk about the {word}.\n")),
        ]
    }

    fn question(&self, kind: usize, way: u64) -> Question {
        match kind {
            0 => self.read(way),
            1 => self.list(way),
            2 => self.glob(way),
            3 => self.grep(way),
            4 => self.write(way),
            _ => self.count(way),
        }
    }

    fn read(&self, way: u64) -> Question {
        let Self { topic, first, price, .. } = self;
        let path = format!("{topic}/{first}.txt");
        let ways =
            [format!("Read {path}."), format!("What does {path} say?"), format!("Show {path}.")];
        let says = format!("The {first} costs {price} cents.");
        let arguments = json!({ "file_path": path });
        asked(ways, way, "read", arguments, &says, format!("It says: {says}"))
    }

    fn list(&self, way: u64) -> Question {
        let Self { topic, first, second, .. } = self;
        let ways = [
            format!("List the folder {topic}."),
            format!("Which files are in {topic}?"),
            format!("What does the folder {topic} hold?"),
        ];
        let mut names = [format!("{first}.txt"), format!("{second}.txt")];
        names.sort();
        let answer = format!("It holds {}.", names.join(" and "));
        asked(ways, way, "list", json!({ "path": topic }), &names[0], answer)
    }

    fn glob(&self, way: u64) -> Question {
        let Self { topic, second, .. } = self;
        let name = format!("{second}.txt");
        let ways = [
            format!("Where is the file {name}?"),
            format!("Find the file {name}."),
            format!("Which folder has the file {name}?"),
        ];
        let answer = format!("It is in the folder {topic}.");
        asked(ways, way, "glob", json!({ "pattern": name }), &format!("{topic}/{name}"), answer)
    }

    fn grep(&self, way: u64) -> Question {
        let word = self.word;
        let ways = [
            format!("Which file mentions the {word}?"),
            format!("Search the files for the {word}."),
            format!("Where is the {word} mentioned?"),
        ];
        let answer = "It is mentioned in notes.md.".to_owned();
        asked(ways, way, "grep", json!({ "pattern": word }), "notes.md", answer)
    }

    fn write(&self, way: u64) -> Question {
        let Self { new, said, .. } = self;
        let path = format!("{new}.txt");
        let ways = [
            format!("Write {said} into the new file {path}."),
            format!("Make a file {path} that says {said}."),
            format!("Put the word {said} into {path}."),
        ];
        let arguments = json!({ "file_path": path, "content": said });
        asked(ways, way, "write", arguments, &path, format!("{path} is written."))
    }

    fn count(&self, way: u64) -> Question {
        let Self { topic, second, lines, .. } = self;
        let path = format!("{topic}/{second}.txt");
        let ways = [
            format!("How many lines has {path}?"),
            format!("Count the lines of {path}."),
            format!("Tell me how many lines {path} has."),
        ];
        let arguments = json!({ "command": format!("wc -l {path}") });
        let seen = format!("{lines} {path}");
        asked(ways, way, "shell", arguments, &seen, format!("Number of lines: {lines}."))
    }
}

fn asked(
    ways: [String; 3],
    way: u64,
    tool: &'static str,
    arguments: Value,
    seen: &str,
    answer: String,
) -> Question {
    let [first, second, third] = ways;
    let asked = match way {
        0 => first,
        1 => second,
        _ => third,
    };
    Question { asked, tool, arguments, seen: seen.to_owned(), answer }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Lesson, TOPICS, lessons};

    fn tools(lessons: &[&Lesson]) -> BTreeSet<&'static str> {
        lessons.iter().flat_map(|it| &it.questions).map(|question| question.tool).collect()
    }

    #[test]
    fn forty_sessions_are_trained_and_others_are_held_out() {
        let all = lessons(TOPICS.len(), 8);
        assert_eq!(all, lessons(TOPICS.len(), 8));
        assert_ne!(all, lessons(TOPICS.len(), 9));
        let (held_out, trained): (Vec<&Lesson>, Vec<&Lesson>) =
            all.iter().partition(|lesson| lesson.held_out);
        assert_eq!((trained.len(), held_out.len()), (40, 8));
        assert_eq!(tools(&trained).len(), 6);
        assert_eq!(tools(&held_out), tools(&trained));
    }

    #[test]
    fn no_word_of_a_held_out_session_is_trained() {
        let words: Vec<&str> = TOPICS
            .iter()
            .flat_map(|(topic, words)| [topic].into_iter().chain(words))
            .copied()
            .collect();
        let different: BTreeSet<&str> = words.iter().copied().collect();
        assert_eq!(different.len(), words.len());
    }

    #[test]
    fn a_word_that_is_searched_for_stands_in_one_file() {
        for lesson in lessons(TOPICS.len(), 8) {
            for question in lesson.questions.iter().filter(|question| question.tool == "grep") {
                let word = question.arguments["pattern"].as_str().unwrap();
                let with = lesson.files.iter().filter(|(_, content)| content.contains(word));
                assert_eq!(with.count(), 1, "{lesson:?}");
            }
        }
    }
}
