//! The whole of a comparison: how often each model did its task, and at what cost.

use serde_json::{Value, json};
use trajectory::Usage;

use super::outcome::{Outcome, Side};
use crate::bill::dollars;
use crate::print::{safe_line, thousands};

/// What all sessions of a model came to.
#[derive(Clone, Debug, Default, PartialEq)]
struct Total {
    model: String,
    runs: usize,
    done: usize,
    reached: usize,
    steps: usize,
    usage: Usage,
    /// None once the price of one of them is not known.
    cost_usd: Option<f64>,
    seconds: f64,
}

/// Both, and how they compare task by task.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Summary {
    totals: [Total; 2],
    /// Some task says itself whether it was done.
    is_checked: bool,
    /// Sessions in pairs: both did it, A alone, B alone, neither.
    pairs: [usize; 4],
}

impl Summary {
    /// Of pairs of the same task; `has_check` says whether a task has a check.
    pub(super) fn of<'a>(
        models: [&str; 2],
        pairs: impl Iterator<Item = (bool, [&'a Outcome; 2])>,
    ) -> Self {
        let total = |model: &str| Total {
            model: model.to_owned(),
            cost_usd: Some(0.0),
            ..Total::default()
        };
        let mut summary = Self { totals: models.map(total), is_checked: false, pairs: [0; 4] };
        for (has_check, both) in pairs {
            summary.is_checked |= has_check;
            for (total, outcome) in summary.totals.iter_mut().zip(both) {
                total.add(outcome, has_check);
            }
            let place = match both.map(|outcome| outcome.is_done(has_check)) {
                [true, true] => 0,
                [true, false] => 1,
                [false, true] => 2,
                [false, false] => 3,
            };
            summary.pairs[place] += 1;
        }
        summary
    }

    /// Whether one of the models never answered.
    pub(super) fn is_one_unreachable(&self) -> bool {
        self.totals.iter().any(|total| total.runs > 0 && total.reached == 0)
    }

    pub(super) fn to_json(&self) -> Value {
        let of = |total: &Total| {
            json!({
                "model": total.model, "runs": total.runs, "done": total.done,
                "pass_rate": total.rate(), "reached": total.reached, "steps": total.steps,
                "usage": total.usage, "cost_usd": total.cost_usd, "seconds": total.seconds,
            })
        };
        let [a, b] = &self.totals;
        let [both, only_a, only_b, neither] = self.pairs;
        json!({
            "type": "summary", "a": of(a), "b": of(b), "checked": self.is_checked,
            "difference": b.rate() - a.rate(),
            "pairs": {"both": both, "only_a": only_a, "only_b": only_b, "neither": neither},
        })
    }

    /// As a table.
    pub(super) fn lines(&self) -> Vec<String> {
        let [a, b] = &self.totals;
        let what = if self.is_checked { "passed" } else { "completed" };
        let mean = |of: fn(&Total) -> f64| {
            [a, b].map(|total| format!("{:.1}", of(total) / total.reached.max(1) as f64))
        };
        let cost = |total: &Total| total.cost_usd.map_or("unknown".to_owned(), dollars);
        let points = (b.rate() - a.rate()) * 100.0;
        let rows = [
            ("", [Side::A, Side::B].map(|side| side.letter().to_owned()), String::new()),
            ("model", [a, b].map(|total| safe_line(&total.model)), String::new()),
            (
                what,
                [a, b].map(|it| format!("{} of {} ({:.0} %)", it.done, it.runs, it.rate() * 100.0)),
                format!("{points:+.0} points for B"),
            ),
            ("steps each", mean(|it| it.steps as f64), String::new()),
            ("seconds each", mean(|it| it.seconds), String::new()),
            ("tokens in", [a, b].map(|it| thousands(it.usage.input_tokens)), String::new()),
            ("tokens out", [a, b].map(|it| thousands(it.usage.output_tokens)), String::new()),
            ("cost", [a, b].map(cost), String::new()),
        ];
        let wide = |place: usize| {
            rows.iter().map(|(_, cells, _)| cells[place].chars().count()).max().unwrap_or(0)
        };
        let (first, second) = (wide(0), wide(1));
        let row = |(name, [a, b], more): &(&str, [String; 2], String)| {
            let line = format!("{name:<12}  {a:<first$}  {b:<second$}  {more}");
            line.trim_end().to_owned()
        };
        let mut lines: Vec<String> = rows.iter().map(row).collect();
        let [both, only_a, only_b, neither] = self.pairs;
        lines.push(format!(
            "{what} by both {both}, by A alone {only_a}, by B alone {only_b}, by neither {neither}"
        ));
        for (total, side) in self.totals.iter().zip(Side::BOTH) {
            let missing = total.runs - total.reached;
            if missing > 0 {
                let letter = side.letter();
                lines.push(format!("{letter} was not reached in {missing} of {}", total.runs));
            }
        }
        lines
    }
}

impl Total {
    fn add(&mut self, outcome: &Outcome, has_check: bool) {
        self.runs += 1;
        self.done += usize::from(outcome.is_done(has_check));
        self.reached += usize::from(outcome.reached);
        self.steps += outcome.steps.len();
        self.usage += outcome.usage;
        // Whoever was not reached did nothing, and asks for nothing.
        if outcome.reached {
            self.seconds += outcome.seconds;
            self.cost_usd = self.cost_usd.zip(outcome.cost_usd).map(|(all, one)| all + one);
        }
    }

    fn rate(&self) -> f64 {
        self.done as f64 / self.runs.max(1) as f64
    }
}

#[cfg(test)]
mod tests;
