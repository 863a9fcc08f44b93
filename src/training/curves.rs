//! The curves of a run as SVG: loss, held-out loss and learning rate over the steps.
//!
//! Written by hand, without a script or a font of its own, so that it is seen wherever the model card
//! is. More points than pixels are thinned: of each stretch its mean is drawn.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use crate::metrics::History;
use crate::plan::thousands;

const WIDTH: f64 = 720.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 34.0;
const LOSS_HEIGHT: f64 = 220.0;
const GAP: f64 = 34.0;
const RATE_HEIGHT: f64 = 70.0;
const BOTTOM: f64 = 30.0;

/// More points than this are thinned.
const POINTS_MAX: usize = 600;

const LOSS_COLOUR: &str = "#4a90d9";
const HELD_OUT_COLOUR: &str = "#d9764a";
const RATE_COLOUR: &str = "#6aa84f";
const TEXT_COLOUR: &str = "#777";

/// A point: step and value.
type Point = (f64, f64);

/// A picture within the picture: where it is, and what its edges mean.
struct Frame {
    top: f64,
    height: f64,
    steps: [f64; 2],
    values: [f64; 2],
}

impl Frame {
    fn x(&self, step: f64) -> f64 {
        let [from, to] = self.steps;
        LEFT + (step - from) / (to - from).max(1.0) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        let [from, to] = self.values;
        let share = (value - from) / (to - from).max(f64::MIN_POSITIVE);
        self.top + self.height * (1.0 - share.clamp(0.0, 1.0))
    }

    fn line(&self, svg: &mut String, points: &[Point], colour: &str) {
        if let [(step, value)] = points {
            let (x, y) = (self.x(*step), self.y(*value));
            let _ =
                writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
            return;
        }
        let places = points.iter().map(|(step, value)| (self.x(*step), self.y(*value)));
        let places: Vec<String> = places.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>",
            places.join(" ")
        );
    }

    /// Lines across at round values, with their labels.
    fn grid(&self, svg: &mut String, label: impl Fn(f64) -> String) {
        for value in ticks(self.values) {
            let y = self.y(value);
            let _ = writeln!(
                svg,
                "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#8884\"/>\n\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"{TEXT_COLOUR}\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                y + 4.0,
                label(value),
            );
        }
    }
}

/// The curves of a run.
#[must_use]
pub fn svg(history: &History) -> String {
    let loss: Vec<Point> = points(history.steps.values().map(|step| (step.step, step.loss)));
    let rate: Vec<Point> = points(history.steps.values().map(|step| (step.step, step.lr)));
    let held_out = points(history.held_out.values().map(|it| (it.step, it.loss)));
    let height = TOP + LOSS_HEIGHT + GAP + RATE_HEIGHT + BOTTOM;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>loss and learning rate</title>\n"
    );
    if loss.is_empty() {
        let _ = writeln!(
            svg,
            "<text x=\"{LEFT}\" y=\"{TOP}\" fill=\"{TEXT_COLOUR}\">no step was made yet</text>\n</svg>"
        );
        return svg;
    }
    let steps = bounds(loss.iter().chain(&held_out).map(|point| point.0));
    let values = padded(bounds(loss.iter().chain(&held_out).map(|point| point.1)));
    let upper = Frame { top: TOP, height: LOSS_HEIGHT, steps, values };
    upper.grid(&mut svg, number);
    upper.line(&mut svg, &thin(&loss), LOSS_COLOUR);
    if !held_out.is_empty() {
        upper.line(&mut svg, &thin(&held_out), HELD_OUT_COLOUR);
    }
    let mut legend = vec![("loss", LOSS_COLOUR)];
    legend.extend((!held_out.is_empty()).then_some(("held-out loss", HELD_OUT_COLOUR)));
    write_legend(&mut svg, TOP - 14.0, &legend);
    let most = rate.iter().map(|point| point.1).fold(0.0, f64::max);
    let top = TOP + LOSS_HEIGHT + GAP;
    let lower = Frame { top, height: RATE_HEIGHT, steps, values: [0.0, most] };
    lower
        .grid(&mut svg, |value| if value == 0.0 { "0".to_owned() } else { format!("{value:.1e}") });
    lower.line(&mut svg, &thin(&rate), RATE_COLOUR);
    write_legend(&mut svg, top - 10.0, &[("learning rate", RATE_COLOUR)]);
    write_steps(&mut svg, &lower, height);
    svg.push_str("</svg>\n");
    svg
}

fn write_legend(svg: &mut String, y: f64, names: &[(&str, &str)]) {
    let mut x = LEFT;
    for (name, colour) in names {
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{}\" width=\"14\" height=\"3\" fill=\"{colour}\"/>\n\
             <text x=\"{}\" y=\"{y}\" fill=\"{TEXT_COLOUR}\">{name}</text>",
            y - 5.0,
            x + 20.0,
        );
        x += 130.0;
    }
}

fn write_steps(svg: &mut String, frame: &Frame, height: f64) {
    for step in ticks(frame.steps).into_iter().filter(|step| step.fract() == 0.0) {
        let x = frame.x(step);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the number of a step"
        )]
        let label = thousands(step as u64);
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"{TEXT_COLOUR}\">{label}</text>",
            height - 12.0,
        );
    }
}

/// Points that are numbers: a loss that is none is no place in a picture.
fn points(all: impl Iterator<Item = (u64, f64)>) -> Vec<Point> {
    all.filter(|(_, value)| value.is_finite()).map(|(step, value)| (step as f64, value)).collect()
}

fn bounds(values: impl Iterator<Item = f64>) -> [f64; 2] {
    values.fold([f64::INFINITY, f64::NEG_INFINITY], |[from, to], it| [from.min(it), to.max(it)])
}

/// Some room above and below.
fn padded([from, to]: [f64; 2]) -> [f64; 2] {
    let room = ((to - from) * 0.05).max(to.abs() * 0.01).max(1e-6);
    [(from - room).max(0.0), to + room]
}

/// Round values between two, five or so.
fn ticks([from, to]: [f64; 2]) -> Vec<f64> {
    let span = to - from;
    if !(span.is_finite() && span > 0.0) {
        return vec![from];
    }
    let power = 10f64.powf((span / 5.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|it| it * power);
    let step = step.into_iter().find(|step| span / step <= 6.0).unwrap_or(span);
    let first = (from / step).ceil();
    (0..8).map(|place| (first + f64::from(place)) * step).filter(|tick| *tick <= to).collect()
}

/// Means of stretches, where there are more points than can be seen.
fn thin(points: &[Point]) -> Vec<Point> {
    if points.len() <= POINTS_MAX {
        return points.to_vec();
    }
    let stretch = points.len().div_ceil(POINTS_MAX);
    let mean = |some: &[Point]| {
        let count = some.len() as f64;
        let (steps, values) = some.iter().fold((0.0, 0.0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
        (steps / count, values / count)
    };
    points.chunks(stretch).map(mean).collect()
}

fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
