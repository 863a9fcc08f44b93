//! A plan as a person reads it.

use std::fmt;

use super::{Plan, Rung};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [trained, held_out, skipped] = self.samples;
        let mut row = |name: &str, text: &str| writeln!(f, "{name:<15}{text}");
        row("device", &format!("{}, {} free", self.machine.name, gib(self.machine.device_bytes)))?;
        let [all, own] = self.parameters.map(count);
        let share = if all == own { String::new() } else { format!(", {own} of them trained") };
        row("parameters", &format!("{all}{share}"))?;
        let left = if skipped > 0 { format!(", {skipped} too long") } else { String::new() };
        row("samples", &format!("{trained} trained, {held_out} held out{left}"))?;
        let [tokens, loss] = self.tokens.map(count);
        let longest = thousands(self.longest as u64);
        row("tokens", &format!("{tokens} an epoch, {loss} with loss; at most {longest} at once"))?;
        let [steps, of_epoch] = self.steps.map(thousands);
        row("steps", &format!("{steps}, {of_epoch} an epoch"))?;
        let way =
            if self.rung == Rung::HandOver { self.rung.describe() } else { self.way.describe() };
        row("way", way)?;
        let speed = format!("{} tokens/s", thousands(self.tokens_per_s as u64));
        row("time", &format!("about {} at about {speed}", duration(self.seconds)))?;
        self.write_memory(f)?;
        for refusal in &self.refused {
            writeln!(f, "\nNot {}: {}.", refusal.rung.describe(), refusal.why)?;
        }
        for sentence in &self.advice {
            writeln!(f, "\n{sentence}")?;
        }
        Ok(())
    }
}

impl Plan {
    fn write_memory(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = &self.memory;
        let parts = [
            ("weights", memory.weights),
            ("gradients", memory.gradients),
            ("optimizer", memory.optimizer),
            ("layer inputs", memory.layer_inputs),
            ("attention", memory.attention),
            ("layers", memory.layers),
            ("one layer", memory.layer),
            ("one MLP", memory.mlp),
            ("logits", memory.logits),
            ("process", memory.context),
        ];
        let is_enough = self.rung != Rung::HandOver;
        let head = if is_enough { "memory" } else { "memory (short)" };
        writeln!(f, "{head:<15}{}", gib(memory.total()))?;
        for (name, bytes) in parts.into_iter().filter(|(_, bytes)| *bytes > 0) {
            writeln!(f, "  {name:<13}{}", gib(bytes))?;
        }
        if self.host_bytes > 0 {
            writeln!(f, "host memory    {}", gib(self.host_bytes))?;
        }
        Ok(())
    }
}

/// Bytes in GiB, or MiB where they are few.
#[must_use]
pub fn gib(bytes: u64) -> String {
    let gib = bytes as f64 / f64::from(1 << 30);
    if gib >= 100.0 {
        format!("{gib:.0} GiB")
    } else if gib >= 1.0 {
        format!("{gib:.1} GiB")
    } else {
        format!("{} MiB", bytes >> 20)
    }
}

/// A large number in words that fit.
fn count(number: u64) -> String {
    match number {
        0..10_000 => thousands(number),
        10_000..10_000_000 => format!("{:.1}k", number as f64 / 1e3),
        10_000_000..1_000_000_000 => format!("{:.0}M", number as f64 / 1e6),
        _ => format!("{:.2}B", number as f64 / 1e9),
    }
}

/// `12,345`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 h 02 min`, `3 min 20 s`, `12 s`.
#[must_use]
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "an unknown time".to_owned();
    }
    let seconds = seconds.round().max(0.0) as u64;
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{minutes} min {:02} s", seconds % 60),
        3_600..172_800 => format!("{hours} h {minutes:02} min"),
        _ => format!("{} days {} h", hours / 24, hours % 24),
    }
}
