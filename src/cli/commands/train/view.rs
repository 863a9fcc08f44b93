//! How a run is shown: a curve with a few lines below it in a terminal, plain lines elsewhere, JSON
//! for programs.

mod chart;

use std::io::{IsTerminal as _, Write as _};

use serde_json::json;
use training::metrics::{History, Line, Metric, Step};
use training::plan::duration;

use crate::print::{Out, note, safe_line, thousands};

/// The widest and highest curve.
const COLUMNS_MAX: usize = 100;
const CHART_ROWS: usize = 8;
/// Numbers, the question, and where the cursor stands.
const ROWS_BELOW: usize = 6;

/// Where a run is shown.
enum Form {
    /// Drawn over and over: so many lines are on the screen.
    Live {
        lines: usize,
    },
    Plain,
    Json,
}

/// How a run is shown.
pub(super) struct View {
    form: Form,
    out: Out,
}

impl View {
    pub(super) fn new(as_json: bool) -> Self {
        let form = if as_json {
            Form::Json
        } else if std::io::stdout().is_terminal() {
            Form::Live { lines: 0 }
        } else {
            Form::Plain
        };
        Self { form, out: Out::new() }
    }

    pub(super) fn is_live(&self) -> bool {
        matches!(self.form, Form::Live { .. })
    }

    /// Tells of a line, before it is part of the history.
    pub(super) fn tell(&mut self, line: &Line, history: &History) {
        match self.form {
            Form::Json => {
                if line.metric != Metric::Unknown {
                    self.out.json(&serde_json::to_value(line).unwrap_or_default());
                }
            }
            Form::Plain => {
                if let Metric::Step(step) = &line.metric {
                    self.out.line(&plain(step, history));
                } else if let Some(text) = event(&line.metric) {
                    self.out.line(&text);
                }
            }
            Form::Live { .. } => {
                if let Some(text) = event(&line.metric) {
                    self.clear();
                    self.out.line(&text);
                }
            }
        }
        if !self.is_live() {
            self.out.flush();
        }
    }

    /// Draws the run as it is now.
    pub(super) fn draw(&mut self, history: &History) {
        if !self.is_live() {
            return;
        }
        self.clear();
        let [columns, rows] = size();
        let mut lines = picture(history, columns, rows);
        lines.iter_mut().for_each(|line| *line = cut(line, columns));
        for line in &lines {
            self.out.line(line);
        }
        self.form = Form::Live { lines: lines.len() };
        self.out.flush();
    }

    /// Asks at the foot of the picture.
    pub(super) fn ask(&mut self, question: &str) {
        self.out.text(question);
        self.out.flush();
    }

    /// What was typed is on the screen: the next picture is drawn below it.
    pub(super) fn forget(&mut self) {
        if self.is_live() {
            self.form = Form::Live { lines: 0 };
        }
        self.out.line("");
        self.out.flush();
    }

    /// Says how it ended.
    pub(super) fn end(&mut self, ended: &str, text: &str) {
        if matches!(self.form, Form::Json) {
            self.out.json(&json!({ "type": "result", "ended": ended }));
        }
        self.out.flush();
        if !text.is_empty() && !matches!(self.form, Form::Json) {
            note(text);
        }
    }

    /// Takes the picture off the screen.
    fn clear(&mut self) {
        let Form::Live { lines } = &mut self.form else { return };
        if *lines > 0 {
            let _ = write!(self.out, "\u{1b}[{lines}A\u{1b}[J");
            *lines = 0;
        }
    }
}

/// A step on a line.
fn plain(step: &Step, history: &History) -> String {
    let steps = history.started.as_ref().map_or(0, |started| started.steps);
    format!(
        "step {} of {steps}  loss {:.4}  lr {:.2e}  norm {:.2}  {} tokens/s  {} left",
        step.step,
        step.loss,
        step.lr,
        step.grad_norm,
        thousands(step.tokens_per_s as u64),
        duration(step.eta_s),
    )
}

/// What else happened, in a sentence.
fn event(metric: &Metric) -> Option<String> {
    let text = match metric {
        Metric::Started(started) => {
            let from = if started.step > 0 {
                format!(" after step {}", started.step)
            } else {
                String::new()
            };
            format!("training on {}{from}: {} steps", started.device, started.steps)
        }
        Metric::HeldOut(held_out) => {
            let rate = |name: &str, rate: Option<f64>| {
                rate.map_or_else(String::new, |rate| format!(", {name} {:.0} %", 100.0 * rate))
            };
            format!(
                "held out after step {}: loss {:.4}{}{}",
                held_out.step,
                held_out.loss,
                rate("valid calls", held_out.tool_validity),
                rate("the right tool", held_out.exact_name),
            )
        }
        Metric::Checkpoint(checkpoint) => {
            format!("saved after step {}: {}", checkpoint.step, checkpoint.folder)
        }
        Metric::Rung(rung) => {
            format!("step {}: {} ({} before): {}", rung.step, rung.to, rung.from, rung.why)
        }
        Metric::Note(note) => note.text.clone(),
        Metric::Step(_) | Metric::Stopped(_) | Metric::Finished(_) | Metric::Unknown => {
            return None;
        }
    };
    Some(safe_line(&text))
}

/// The curve and the numbers.
fn picture(history: &History, columns: usize, rows: usize) -> Vec<String> {
    let Some(step) = history.latest() else {
        return vec!["waiting for the first step …".to_owned()];
    };
    let losses: Vec<f64> = history.steps.values().map(|step| step.loss).collect();
    // What is higher than the terminal cannot be taken off it again.
    let is_low = rows < CHART_ROWS + ROWS_BELOW;
    let chart_rows = if is_low { 0 } else { CHART_ROWS };
    let mut lines = chart::draw(&losses, columns.min(COLUMNS_MAX), chart_rows);
    let steps = history.started.as_ref().map_or(step.step, |started| started.steps);
    let held_out = history.held_out.values().next_back();
    let held_out = held_out.map_or_else(String::new, |it| format!(" · held out {:.4}", it.loss));
    lines.push(format!(
        "step {} of {steps} · epoch {:.2} · loss {:.4}{held_out} · lr {:.2e}",
        step.step, step.epoch, step.loss, step.lr
    ));
    let mut numbers = vec![format!("{} tokens/s", thousands(step.tokens_per_s as u64))];
    if step.mfu > 0.0 {
        numbers.push(format!("{:.0} % of the device", 100.0 * step.mfu));
    }
    if step.peak_bytes > 0 {
        numbers.push(format!("{:.1} GiB", step.peak_bytes as f64 / f64::from(1 << 30)));
    }
    numbers.push(format!("{} left", duration(step.eta_s)));
    lines.push(numbers.join(" · "));
    if let Some((first, others)) = step.samples.split_first() {
        let more = match others.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        lines.push(format!("{}{more}", safe_line(first)));
    }
    lines
}

/// How wide and high the terminal is.
fn size() -> [usize; 2] {
    let size = rustix::termios::tcgetwinsize(std::io::stdout());
    let [columns, rows] = size.map_or([80, 24], |size| [size.ws_col, size.ws_row].map(usize::from));
    [columns.max(20), rows]
}

/// A line that a terminal of this width does not break: everything in it is one column wide, or two
/// in names, of which few are that long.
fn cut(line: &str, columns: usize) -> String {
    line.chars().take(columns.saturating_sub(1)).collect()
}
