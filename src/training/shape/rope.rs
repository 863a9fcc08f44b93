//! How positions turn queries and keys, read exactly as `transformers` reads it.
//!
//! Since version 5 everything is under `rope_parameters`; before, the base was `rope_theta` and the
//! scaling `rope_scaling`, whose kind was called `type` once. All three are read. A kind of scaling
//! that is not here is refused, never taken for none.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Refused;

/// How positions turn heads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rope {
    /// The base of the wavelengths.
    pub theta: f64,
    /// The share of each head that is turned, from its beginning.
    pub partial_factor: f64,
    /// Which numbers of a head make a pair.
    pub rotation: Rotation,
    /// How wavelengths are stretched for longer texts.
    pub scaling: RopeScaling,
}

/// Which numbers of a head make a pair that is turned together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rotation {
    /// One of the first half with the one at the same place of the second.
    Halves,
    /// Neighbours.
    Interleaved,
}

/// How wavelengths are stretched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// All alike.
    Linear {
        /// By how much.
        factor: f64,
    },
    /// The long ones, and those between by degrees.
    Llama3 {
        /// By how much at most.
        factor: f64,
        /// Wavelengths beyond the original length divided by this are stretched whole.
        low_frequency_factor: f64,
        /// Wavelengths below the original length divided by this stay.
        high_frequency_factor: f64,
        /// The length that the model was made for at first.
        original_max_position: usize,
    },
    /// By place within the head; cosines and sines are scaled too.
    Yarn {
        /// By how much at most.
        factor: f64,
        /// The length that the model was made for at first.
        original_max_position: usize,
        /// Pairs that turn more often than this in that length stay.
        beta_fast: f64,
        /// Pairs that turn less often are stretched whole.
        beta_slow: f64,
        /// What cosines and sines are multiplied by.
        attention_factor: f64,
        /// Whether the bounds between are whole numbers.
        truncate: bool,
    },
}

impl Rope {
    /// Reads it from a configuration. `defaults` hold what the family means when nothing is said.
    pub(super) fn read(
        config: &Map<String, Value>,
        defaults: Self,
        max_position: usize,
    ) -> Result<Self, Refused> {
        let object = |key: &str| match config.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object)),
            Some(other) => Err(Refused::broken(format!("{key} is {other}"))),
        };
        let parameters = object("rope_parameters")?;
        let scaling = parameters.or(object("rope_scaling")?);
        let said = |key: &str| {
            let found = parameters.and_then(|it| it.get(key)).or_else(|| config.get(key));
            number(found, key)
        };
        let theta = said("rope_theta")?.unwrap_or(defaults.theta);
        let partial_factor = said("partial_rotary_factor")?.unwrap_or(defaults.partial_factor);
        let scaling = match scaling {
            Some(scaling) => read_scaling(scaling, max_position)?,
            None => RopeScaling::None,
        };
        Ok(Self { theta, partial_factor, scaling, ..defaults })
    }

    /// How many numbers of a head are turned.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a head's width, checked to lie between"
    )]
    pub fn width(&self, head_dim: usize) -> usize {
        (head_dim as f64 * self.partial_factor) as usize
    }

    pub(super) fn checked(&self, head_dim: usize) -> Result<(), Refused> {
        if !(self.theta.is_finite() && self.theta > 1.0) {
            return Err(Refused::broken(format!("rope_theta is {}", self.theta)));
        }
        let is_share = self.partial_factor > 0.0 && self.partial_factor <= 1.0;
        if !is_share {
            let reason = format!("partial_rotary_factor is {}", self.partial_factor);
            return Err(Refused::broken(reason));
        }
        let width = self.width(head_dim);
        if width == 0 || !width.is_multiple_of(2) {
            let reason = format!("{width} numbers of each head are turned, and they make no pairs");
            return Err(Refused::broken(reason));
        }
        if self.rotation == Rotation::Halves && width != head_dim {
            let reason = "it turns a part of each head (partial_rotary_factor)";
            return Err(Refused::unknown(reason));
        }
        Ok(())
    }

    /// The angle by which each pair turns from one position to the next, and what cosines and sines
    /// are multiplied by.
    #[must_use]
    pub fn frequencies(&self, head_dim: usize) -> (Vec<f32>, f64) {
        let width = self.width(head_dim);
        // In single precision as `transformers` has it: a difference in the last digit is a
        // different angle at position 100,000.
        let exponent = |pair: usize| (2 * pair) as f32 / width as f32;
        let base = self.theta as f32;
        let plain: Vec<f32> =
            (0..width / 2).map(|pair| base.powf(exponent(pair)).recip()).collect();
        match &self.scaling {
            RopeScaling::None => (plain, 1.0),
            RopeScaling::Linear { factor } => {
                (plain.into_iter().map(|angle| angle / *factor as f32).collect(), 1.0)
            }
            RopeScaling::Llama3 { .. } => {
                (plain.into_iter().map(|angle| self.llama3(angle)).collect(), 1.0)
            }
            RopeScaling::Yarn { attention_factor, .. } => {
                let pairs = plain.into_iter().enumerate();
                let stretched = pairs.map(|(pair, angle)| self.yarn(angle, pair, width));
                (stretched.collect(), *attention_factor)
            }
        }
    }

    /// What a configuration says of it, as `transformers` reads it.
    pub(super) fn parameters(&self) -> Value {
        let mut parameters = match &self.scaling {
            RopeScaling::None => json!({ "rope_type": "default" }),
            RopeScaling::Linear { factor } => json!({ "rope_type": "linear", "factor": factor }),
            RopeScaling::Llama3 {
                factor,
                low_frequency_factor,
                high_frequency_factor,
                original_max_position,
            } => json!({
                "rope_type": "llama3",
                "factor": factor,
                "low_freq_factor": low_frequency_factor,
                "high_freq_factor": high_frequency_factor,
                "original_max_position_embeddings": original_max_position,
            }),
            RopeScaling::Yarn {
                factor,
                original_max_position,
                beta_fast,
                beta_slow,
                attention_factor,
                truncate,
            } => json!({
                "rope_type": "yarn",
                "factor": factor,
                "original_max_position_embeddings": original_max_position,
                "beta_fast": beta_fast,
                "beta_slow": beta_slow,
                "attention_factor": attention_factor,
                "truncate": truncate,
            }),
        };
        parameters["rope_theta"] = json!(self.theta);
        parameters
    }

    /// Llama 3's way of scaling that divides the angle of each pair by such factors; none where no
    /// such way does. The formula is that of `frequencies`: of the pairs between, `1 / factor` is a
    /// line over the angle, and two of them tell it but for one number, the low factor, which is 1
    /// in every published model.
    pub(super) fn scaling_of(&self, factors: &[f32], head_dim: usize) -> Option<RopeScaling> {
        // A file may claim any width; that of the factors is known to be one.
        if head_dim.checked_div(2) != Some(factors.len()) {
            return None;
        }
        let (plain, _) = self.frequencies(head_dim);
        let factor = f64::from(factors.iter().copied().fold(1.0, f32::max)).round();
        let between: Vec<(f64, f64)> = plain
            .iter()
            .zip(factors)
            .map(|(angle, by)| (f64::from(*angle) / std::f64::consts::TAU, f64::from(*by)))
            .filter(|(_, by)| *by > 1.001 && *by < factor * 0.999)
            .map(|(turns, by)| (turns, (by.recip() - factor.recip()) / (1.0 - factor.recip())))
            .collect();
        let (first, last) = (between.first()?, between.last()?);
        let slope = (first.1 - last.1) / (first.0 - last.0);
        let span = -(first.1 - slope * first.0).recip();
        let found = RopeScaling::Llama3 {
            factor,
            low_frequency_factor: 1.0,
            high_frequency_factor: 1.0 + (span * 100.0).round() / 100.0,
            original_max_position: length((slope * span).round()).ok()?,
        };
        let (angles, _) = Self { scaling: found.clone(), ..self.clone() }.frequencies(head_dim);
        let is_so =
            |((angle, plain), by): ((&f32, &f32), &f32)| (angle * by / plain - 1.0).abs() < 1e-5;
        let is_it = angles.iter().zip(&plain).zip(factors).all(is_so);
        is_it.then_some(found)
    }

    fn llama3(&self, angle: f32) -> f32 {
        let RopeScaling::Llama3 {
            factor,
            low_frequency_factor: low,
            high_frequency_factor: high,
            original_max_position,
        } = self.scaling
        else {
            return angle;
        };
        let original = original_max_position as f64;
        let wavelength = std::f32::consts::TAU / angle;
        if f64::from(wavelength) > original / low {
            return angle / factor as f32;
        }
        if f64::from(wavelength) < original / high {
            return angle;
        }
        let smooth = ((original as f32 / wavelength) - low as f32) / (high - low) as f32;
        (1.0 - smooth) * angle / factor as f32 + smooth * angle
    }

    fn yarn(&self, angle: f32, pair: usize, width: usize) -> f32 {
        let RopeScaling::Yarn {
            factor, original_max_position, beta_fast, beta_slow, truncate, ..
        } = self.scaling
        else {
            return angle;
        };
        let original = original_max_position as f64;
        let at = |rotations: f64| {
            width as f64 * (original / (rotations * std::f64::consts::TAU)).ln()
                / (2.0 * self.theta.ln())
        };
        let (low, high) = (at(beta_fast), at(beta_slow));
        let (low, high) = if truncate { (low.floor(), high.ceil()) } else { (low, high) };
        let (low, mut high) = (low.max(0.0), high.min(width as f64 - 1.0));
        if low == high {
            high += 0.001;
        }
        let ramp = ((pair as f32 - low as f32) / (high - low) as f32).clamp(0.0, 1.0);
        let stays = 1.0 - ramp;
        angle / factor as f32 * (1.0 - stays) + angle * stays
    }
}

fn read_scaling(scaling: &Map<String, Value>, max_position: usize) -> Result<RopeScaling, Refused> {
    let kind = ["rope_type", "type"].into_iter().find_map(|key| scaling.get(key)?.as_str());
    let need = |key: &str| {
        number(scaling.get(key), key)?
            .ok_or_else(|| Refused::broken(format!("its scaling of positions lacks {key}")))
    };
    let or = |key: &str, other: f64| Ok(number(scaling.get(key), key)?.unwrap_or(other));
    let factor = || {
        let factor = need("factor")?;
        // Below 1 a text would be made shorter, and below 0 turned around.
        if factor.is_finite() && factor >= 1.0 {
            return Ok(factor);
        }
        Err(Refused::broken(format!("its scaling of positions has the factor {factor}")))
    };
    match kind.unwrap_or("default") {
        "default" => Ok(RopeScaling::None),
        "linear" => Ok(RopeScaling::Linear { factor: factor()? }),
        "llama3" => {
            let (low, high) = (need("low_freq_factor")?, need("high_freq_factor")?);
            if !(low > 0.0 && high > low) {
                let reason = format!("its scaling has low_freq_factor {low} and high {high}");
                return Err(Refused::broken(reason));
            }
            Ok(RopeScaling::Llama3 {
                factor: factor()?,
                low_frequency_factor: low,
                high_frequency_factor: high,
                original_max_position: length(need("original_max_position_embeddings")?)?,
            })
        }
        "yarn" => {
            let original = or("original_max_position_embeddings", max_position as f64)?;
            let factor = factor()?;
            let truncate = scaling.get("truncate").and_then(Value::as_bool).unwrap_or(true);
            Ok(RopeScaling::Yarn {
                factor,
                original_max_position: length(original)?,
                beta_fast: positive(or("beta_fast", 32.0)?, "beta_fast")?,
                beta_slow: positive(or("beta_slow", 1.0)?, "beta_slow")?,
                attention_factor: attention_factor(scaling, factor)?,
                truncate,
            })
        }
        other => {
            Err(Refused::unknown(format!("its positions are scaled by {other:?} (rope_scaling)")))
        }
    }
}

/// What YaRN multiplies cosines and sines by, where it is not said.
fn attention_factor(scaling: &Map<String, Value>, factor: f64) -> Result<f64, Refused> {
    if let Some(said) = number(scaling.get("attention_factor"), "attention_factor")? {
        return positive(said, "attention_factor");
    }
    let scale = |by: f64| if factor <= 1.0 { 1.0 } else { 0.1 * by * factor.ln() + 1.0 };
    let said = |key: &str| Ok(number(scaling.get(key), key)?.filter(|it| *it != 0.0));
    Ok(match (said("mscale")?, said("mscale_all_dim")?) {
        (Some(one), Some(all)) => scale(one) / scale(all),
        _ => scale(1.0),
    })
}

fn positive(number: f64, key: &str) -> Result<f64, Refused> {
    if number.is_finite() && number > 0.0 {
        return Ok(number);
    }
    Err(Refused::broken(format!("its scaling of positions has {key} {number}")))
}

/// A length in tokens.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be a small whole number first"
)]
fn length(number: f64) -> Result<usize, Refused> {
    if number.fract() == 0.0 && (1.0..=1e9).contains(&number) {
        return Ok(number as usize);
    }
    Err(Refused::broken(format!("original_max_position_embeddings is {number}")))
}

/// A number, where one is said.
fn number(value: Option<&Value>, key: &str) -> Result<Option<f64>, Refused> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_f64() {
            Some(number) => Ok(Some(number)),
            None => Err(Refused::broken(format!("{key} is {value}"))),
        },
    }
}
