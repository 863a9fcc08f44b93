//! A model is trained on what was recorded, and asked what it was held out: before, and after.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use chat::Format;
use serde_json::Value;
use training::answers::{self, Answer};
use training::metrics::{HeldOut, History};

use super::classroom::Classroom;
use super::lessons::{Lesson, lessons};
use super::{small, smollm2};
use crate::process::run as run_command;
use crate::table::Table;

/// Where the lessons come from, and random weights.
const SEED: u64 = 8;

/// What is trained, and how.
pub(crate) struct Exercise {
    /// How many topics the lessons are about.
    topics: usize,
    /// The recipe, as a file.
    recipe: &'static str,
    /// Whether a model that somebody trained goes on, or one begins that knows nothing.
    is_real: bool,
}

/// A model that is made on the spot learns the form of a call within a minute.
pub(crate) const SHORT: Exercise = Exercise {
    topics: 6,
    is_real: false,
    recipe: r#"# A model that knows nothing: all weights, a high rate.
method = "full"
epochs = 16
batch = 2
precision = "f32"
device = "cpu"

[optimizer]
learning_rate = 5e-3
learning_rate_min = 5e-4

[cadence]
eval_steps = 100000
save_steps = 100000
"#,
};

/// SmolLM2-135M, which makes no call by itself.
pub(crate) const FULL: Exercise = Exercise {
    topics: 12,
    is_real: true,
    recipe: r#"# An adapter with the defaults, at a higher rate: there are few steps.
method = "lora"
epochs = 1
batch = 2
precision = "f32"

[optimizer]
learning_rate = 5e-4
learning_rate_min = 5e-5

[cadence]
eval_steps = 100000
save_steps = 100000
"#,
};

/// Records, exports, trains and tells.
pub(crate) fn run(room: &Classroom, runner: &Path, exercise: &Exercise) -> Result<()> {
    let lessons = lessons(exercise.topics, SEED);
    let questions: usize = lessons.iter().map(|lesson| lesson.questions.len()).sum();
    println!("recording {} sessions with {questions} questions …", lessons.len());
    room.record(&lessons)?;
    let data = room.export()?;
    println!("exported to {}", data.display());
    let model = model(room, exercise, &data)?;
    let run = room.path("run");
    train(room, runner, &[&data, &model, &run], exercise)?;
    tell(&run)?;
    let held_out = lessons.iter().find(|lesson| lesson.held_out);
    ask(room, runner, &run, held_out.context("no lesson is held out")?)
}

fn model(room: &Classroom, exercise: &Exercise, data: &Path) -> Result<PathBuf> {
    if exercise.is_real {
        return smollm2::ensure();
    }
    let folder = room.path("model");
    small::make(&folder, &fs::read_to_string(data.join("train.jsonl"))?, SEED)?;
    Ok(folder)
}

/// Lets `limn train` do it, on this terminal.
fn train(
    room: &Classroom,
    runner: &Path,
    [data, model, run]: &[&Path; 3],
    exercise: &Exercise,
) -> Result<()> {
    let file = room.path("recipe.toml");
    fs::write(&file, exercise.recipe)?;
    let mut train = room.command(&["train"]);
    train.arg(data).arg("--model").arg(model).arg("--out").arg(run).arg("--recipe").arg(&file);
    if exercise.is_real {
        // Its own template drops tools.
        train.args(["--template", "chatml-tools"]);
    } else {
        // Matrices are so small that threads would mostly wait for each other.
        train.env("OMP_NUM_THREADS", "1");
    }
    run_command(train.env("LIMN_TRAIN", runner))
}

/// Asks the model a question as anybody would, in a folder that it does not know: limn serves it and
/// records what it does. How much of it makes sense is another matter.
fn ask(room: &Classroom, runner: &Path, run: &Path, lesson: &Lesson) -> Result<()> {
    let workspace = room.path("asked");
    lesson.lay(&workspace)?;
    let settings = room.path("own/.config/limn");
    fs::create_dir_all(&settings)?;
    fs::write(settings.join("config.toml"), "[local]\nparams = { temperature = 0.0 }\n")?;
    let question = lesson.questions.first().context("a lesson without a question")?;
    let model = format!("local:{}", run.display());
    println!("\nserved, and asked in a session of its own:");
    let mut exec = room.command(&["exec", "--model", &model, "--sandbox", "off"]);
    exec.args(["--no-checkpoints", "--max-steps", "3", &question.asked]);
    exec.env("LIMN_TRAIN", runner).current_dir(&workspace);
    // What it does may fail, and be cut short. That it can be asked may not.
    match exec.status().context("limn could not be started")?.code() {
        Some(0 | 1) => Ok(()),
        code => bail!("the model could not be asked (exit code {code:?})"),
    }
}

/// Says what the held-out sessions say of it, and shows an answer.
fn tell(run: &Path) -> Result<()> {
    let history = History::of(run)?;
    let mut measured = history.held_out.values();
    let before = measured.next().context("the held-out sessions were not measured")?;
    let after = measured.next_back().context("they were measured once only")?;
    let answers = answers::read_all(run)?;
    println!("\n{}", table(before, after, &answers));
    let Some(answer) = best(&answers, after.step) else {
        bail!("nothing was asked of the held-out sessions");
    };
    println!("asked:    {}", question(&answer.asked));
    println!("it says:  {}", answer.said.trim().replace('\n', "\n          "));
    if answer.said.trim() != answer.wanted.trim() {
        println!("recorded: {}", answer.wanted.trim().replace('\n', "\n          "));
    }
    println!("\nthe run   {}, with all its answers in {}", run.display(), answers::FILE);
    Ok(())
}

fn table(before: &HeldOut, after: &HeldOut, answers: &[Answer]) -> Table {
    let mut table = Table::new(&["held out", "before", "after"]);
    let percent = |rate: Option<f64>| {
        rate.map_or_else(|| "none".to_owned(), |rate| format!("{:.0} %", 100.0 * rate))
    };
    let mut row = |name: &str, cells: [String; 2]| {
        table.row([name.to_owned()].into_iter().chain(cells).collect());
    };
    row("loss of a token", [before, after].map(|it| format!("{:.3}", it.loss)));
    row("calls that are valid", [before, after].map(|it| percent(it.tool_validity)));
    row("calls of the right tool", [before, after].map(|it| percent(it.exact_name)));
    row("the very call", [before, after].map(|it| percent(same(answers, it.step))));
    row("replies", [before, after].map(|it| it.replies.unwrap_or(0).to_string()));
    table
}

/// The share of answers that are the recorded call, with its arguments.
fn same(answers: &[Answer], step: u64) -> Option<f64> {
    let of_step: Vec<&Answer> = answers.iter().filter(|answer| answer.step == step).collect();
    let same = of_step.iter().filter(|answer| is_same(answer)).count();
    (!of_step.is_empty()).then(|| same as f64 / of_step.len() as f64)
}

fn is_same(answer: &Answer) -> bool {
    let call = |text: &str| {
        let call = Format::Hermes.read(text, false, &[]).calls.into_iter().next()?;
        let arguments: Value = serde_json::from_str(&call.arguments).ok()?;
        Some((call.name, arguments))
    };
    let said = call(&answer.said);
    said.is_some() && said == call(&answer.wanted)
}

/// The answer to show: of the last ones the first that is right, or as right as any.
fn best(answers: &[Answer], step: u64) -> Option<&Answer> {
    let of_step = answers.iter().filter(|answer| answer.step == step);
    of_step.rev().max_by_key(|answer| (is_same(answer), answer.exact, answer.valid))
}

/// What the user asked, out of the end of a prompt in ChatML.
fn question(asked: &str) -> &str {
    let begun = asked.rsplit_once("<|im_start|>user\n").map_or(asked, |(_, rest)| rest);
    begun.split_once("<|im_end|>").map_or(begun, |(question, _)| question).trim()
}

#[cfg(test)]
mod tests {
    use training::answers::Answer;

    use super::{best, question, same};

    fn answer(step: u64, said: &str) -> Answer {
        let call = |text: &str| format!("<tool_call>\n{text}\n</tool_call>");
        Answer {
            step,
            said: call(said),
            wanted: call(r#"{"name": "read", "arguments": {"file_path": "a"}}"#),
            valid: true,
            ..Answer::default()
        }
    }

    #[test]
    fn a_call_is_the_same_however_it_is_spelled() {
        let answers = [
            answer(0, r#"{"name": "read", "arguments": {"file_path": "b"}}"#),
            answer(5, r#"{"name": "list", "arguments": {}}"#),
            answer(5, r#"{"name":"read","arguments":{"file_path":"a"}}"#),
        ];
        assert_eq!(same(&answers, 0), Some(0.0));
        assert_eq!(same(&answers, 5), Some(0.5));
        assert_eq!(same(&answers, 9), None);
        assert_eq!(best(&answers, 5), Some(&answers[2]));
    }

    #[test]
    fn the_question_is_what_the_user_said_last() {
        let asked =
            "of it<|im_end|>\n<|im_start|>user\nRead a.\n<|im_end|>\n<|im_start|>assistant\n";
        assert_eq!(question(asked), "Read a.");
        assert_eq!(question("cut"), "cut");
    }
}
