//! The model card: `README.md` as the Hub reads it, from what is in a run's folder.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use serde_json::Value;

use crate::error::TrainingError;
use crate::folder::{CURVES, DatasetFacts, Run};
use crate::metrics::{HeldOut, History, Step};
use crate::plan::{duration, thousands};
use crate::recipe::{Method, Recipe};

/// The card of a run.
///
/// # Errors
/// When the run cannot be read.
pub fn text(run: &Run, history: &History) -> Result<String, TrainingError> {
    let recipe = run.recipe()?;
    let dataset = run.dataset()?.unwrap_or_default();
    let mut card = front(&recipe, history);
    let name = run.folder().file_name().map(|name| name.to_string_lossy().into_owned());
    let _ = writeln!(card, "# {}\n", plain(&name.unwrap_or_else(|| "A fine-tune".to_owned())));
    write_about(&mut card, &recipe, &dataset, history);
    write_results(&mut card, history);
    let _ = writeln!(card, "\n![loss and learning rate]({CURVES})");
    write_settings(&mut card, &recipe, history);
    write_dataset(&mut card, &dataset);
    write_use(&mut card, &recipe);
    write_versions(&mut card, history);
    Ok(card)
}

/// The head, in YAML: every text that comes from elsewhere is written as JSON, which is YAML.
fn front(recipe: &Recipe, history: &History) -> String {
    let mut front = "---\nlibrary_name: ".to_owned();
    front.push_str(match recipe.method {
        Method::Full => "transformers\n",
        Method::Lora(_) => "peft\n",
    });
    let _ = writeln!(front, "base_model: {}", Value::from(base_name(recipe)));
    let relation = if recipe.lora().is_some() { "adapter" } else { "finetune" };
    let _ = writeln!(front, "base_model_relation: {relation}");
    front.push_str("pipeline_tag: text-generation\ntags:\n- limn\n- agent\n- tool-use\n- sft\n");
    if recipe.lora().is_some() {
        front.push_str("- lora\n");
    }
    let steps: Vec<&Step> = history.steps.values().collect();
    let numbers = [
        ("loss", steps.last().map(|step| step.loss)),
        ("held_out_loss", latest(history).map(|it| it.loss)),
    ];
    if history.finished.is_none() {
        front.push_str("- unfinished\n");
    }
    let some: Vec<(&str, f64)> =
        numbers.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    if !some.is_empty() {
        front.push_str("limn:\n");
        for (name, value) in some {
            let _ = writeln!(front, "  {name}: {}", Value::from(value));
        }
    }
    front.push_str("---\n\n");
    front
}

/// The model it began as: the name of its folder, never the path of somebody's machine.
fn base_name(recipe: &Recipe) -> String {
    let name = recipe.model.file_name().map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "unknown".to_owned())
}

fn latest(history: &History) -> Option<&HeldOut> {
    history.held_out.values().next_back()
}

fn write_about(card: &mut String, recipe: &Recipe, dataset: &DatasetFacts, history: &History) {
    let how = match recipe.method {
        Method::Full => "all weights".to_owned(),
        Method::Lora(lora) => {
            format!("an adapter (LoRA of rank {}, alpha {})", lora.rank, lora.alpha)
        }
    };
    let [trained, held_out, _] = dataset.samples;
    let [tokens, loss] = dataset.tokens;
    let _ = write!(
        card,
        "A fine-tune of {} by limn: {how}, on {} samples of {} tokens, {} of them with loss",
        plain(&base_name(recipe)),
        thousands(trained as u64),
        thousands(tokens),
        thousands(loss),
    );
    let _ = match held_out {
        0 => writeln!(card, "."),
        _ => writeln!(card, "; {} samples are held out.", thousands(held_out as u64)),
    };
    let all = history.started.as_ref().map_or(0, |started| started.steps);
    let made = history.latest().map_or(0, |step| step.step);
    if history.finished.is_none() {
        let _ = writeln!(card, "\nIt is not finished: {made} of {all} steps are made.");
    }
}

/// A share that may have been measured.
type Rate = fn(&HeldOut) -> Option<f64>;

fn write_results(card: &mut String, history: &History) {
    if history.steps.is_empty() {
        return;
    }
    card.push_str("\n## Results\n\n| | first | last |\n| --- | ---: | ---: |\n");
    let mut row = |name: &str, first: Option<f64>, last: Option<f64>, percent: bool| {
        let (Some(first), Some(last)) = (first, last) else { return };
        let show = |value: f64| {
            if percent { format!("{:.1} %", 100.0 * value) } else { format!("{value:.4}") }
        };
        let _ = writeln!(card, "| {name} | {} | {} |", show(first), show(last));
    };
    let steps = || history.steps.values();
    row("loss", steps().next().map(|it| it.loss), steps().next_back().map(|it| it.loss), false);
    let held = || history.held_out.values();
    let loss = |it: &HeldOut| it.loss;
    row("held-out loss", held().next().map(loss), held().next_back().map(loss), false);
    let rates: [(&str, Rate); 2] = [
        ("held-out calls that are valid", |it| it.tool_validity),
        ("held-out calls of the right tool", |it| it.exact_name),
    ];
    for (name, rate) in rates {
        let mut said = held().filter_map(rate);
        let first = said.next();
        row(name, first, said.next_back().or(first), true);
    }
}

fn write_settings(card: &mut String, recipe: &Recipe, history: &History) {
    let optimizer = &recipe.optimizer;
    let [first, second] = optimizer.betas;
    let steps = history.started.as_ref().map_or(0, |started| started.steps);
    let rows = [
        ("epochs", recipe.epochs.to_string()),
        ("samples a step", recipe.batch.to_string()),
        ("steps", thousands(steps)),
        (
            "learning rate",
            format!("{:e} to {:e}", optimizer.learning_rate, optimizer.learning_rate_min),
        ),
        ("schedule", serde_name(&optimizer.schedule)),
        ("warm-up", format!("{} steps", optimizer.warmup_steps(steps))),
        ("AdamW", format!("betas {first} and {second}, eps {:e}", optimizer.eps)),
        ("weight decay", optimizer.weight_decay.to_string()),
        ("gradients shortened to", optimizer.clip.to_string()),
        ("precision", recipe.precision.as_str().to_owned()),
        ("seed", recipe.seed.to_string()),
    ];
    card.push_str("\n## Training\n\n| | |\n| --- | --- |\n");
    for (name, value) in rows {
        let _ = writeln!(card, "| {name} | {value} |");
    }
    if let (Some(step), Some(started)) = (history.latest(), &history.started) {
        let speed = thousands(step.tokens_per_s as u64);
        let _ = writeln!(card, "| device | {} |", plain(&started.device));
        let _ = writeln!(card, "| speed | {speed} tokens/s |");
    }
    if let Some(finished) = &history.finished {
        let _ = writeln!(card, "| time | {} |", duration(finished.seconds));
    }
}

fn serde_name<T: serde::Serialize>(value: &T) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

fn write_dataset(card: &mut String, dataset: &DatasetFacts) {
    card.push_str("\n## Data\n\n| file | bytes | BLAKE3 |\n| --- | ---: | --- |\n");
    for file in &dataset.files {
        let (name, bytes) = (plain(&file.name), thousands(file.bytes));
        let _ = writeln!(card, "| {name} | {bytes} | `{}` |", &file.blake3);
    }
    let _ = writeln!(card, "\nTokenizer `{}`.", dataset.tokenizer);
    if let Some(template) = &dataset.template {
        let _ = writeln!(card, "Chat template `{template}`: serve the model with the same one.");
    }
    for note in &dataset.notes {
        let _ = writeln!(card, "\n{}", plain(note));
    }
}

fn write_use(card: &mut String, recipe: &Recipe) {
    let code = match recipe.method {
        Method::Full => {
            "from transformers import AutoModelForCausalLM, AutoTokenizer\n\
             model = AutoModelForCausalLM.from_pretrained(\"final\", torch_dtype=\"auto\")\n\
             tokenizer = AutoTokenizer.from_pretrained(\"final\")\n"
        }
        Method::Lora(_) => {
            "from peft import AutoPeftModelForCausalLM\n\
             model = AutoPeftModelForCausalLM.from_pretrained(\"final\", torch_dtype=\"auto\")\n"
        }
    };
    let _ = write!(card, "\n## Use\n\n```python\n{code}```\n");
}

fn write_versions(card: &mut String, history: &History) {
    let Some(started) = &history.started else { return };
    if started.versions.is_empty() {
        return;
    }
    let all = started.versions.iter().map(|(name, version)| format!("{name} {version}"));
    let all: Vec<String> = all.collect();
    let _ = writeln!(card, "\nMade with {}.", plain(&all.join(", ")));
}

/// A text from elsewhere inside Markdown: on one line, and nothing in it is markup.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_control() => plain.push(' '),
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '!' | '~' | '&' => {
                plain.push('\\');
                plain.push(c);
            }
            c => plain.push(c),
        }
    }
    plain
}
