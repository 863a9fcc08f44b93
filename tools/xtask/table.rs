//! Tables and figures as text, for people.

use std::fmt;
use std::time::Duration;

/// Rows under headings; the first column is left-aligned, and so is every column of words.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(|heading| (*heading).to_owned()).collect()] }
    }

    /// Adds a row; cells that are left out are empty.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(move |row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        (0..columns).map(width).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for (at, row) in self.rows.iter().enumerate() {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(&format!("{cell:width$}  "));
            }
            writeln!(formatter, "{}", line.trim_end())?;
            if at == 0 {
                let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
                writeln!(formatter, "{}", rules.join("  "))?;
            }
        }
        Ok(())
    }
}

/// A duration with three digits and the unit that suits it.
pub(crate) fn time_text(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds >= 120.0 {
        format!("{} min {:02} s", time.as_secs() / 60, time.as_secs() % 60)
    } else if seconds >= 1.0 {
        format!("{} s", three_digits(seconds))
    } else if seconds >= 1e-3 {
        format!("{} ms", three_digits(seconds * 1e3))
    } else {
        format!("{} µs", three_digits(seconds * 1e6))
    }
}

/// A size in decimal units: 1 MB is a million bytes.
pub(crate) fn size_text(bytes: f64) -> String {
    if bytes >= 1e9 {
        format!("{} GB", three_digits(bytes / 1e9))
    } else if bytes >= 1e6 {
        format!("{} MB", three_digits(bytes / 1e6))
    } else if bytes >= 1e3 {
        format!("{} kB", three_digits(bytes / 1e3))
    } else {
        format!("{bytes:.0} B")
    }
}

fn three_digits(value: f64) -> String {
    if value >= 99.95 {
        format!("{value:.0}")
    } else if value >= 9.995 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Table, size_text, time_text};

    #[test]
    fn columns_line_up_and_nothing_trails() {
        let mut table = Table::new(&["name", "time"]);
        table.row(vec!["a".to_owned(), "1 ms".to_owned()]);
        table.row(vec!["longer".to_owned(), String::new()]);
        assert_eq!(table.to_string(), "name    time\n------  ----\na       1 ms\nlonger\n");
    }

    #[test]
    fn figures_have_three_digits_and_a_unit() {
        assert_eq!(time_text(Duration::from_nanos(1500)), "1.50 µs");
        assert_eq!(time_text(Duration::from_micros(12_340)), "12.3 ms");
        assert_eq!(time_text(Duration::from_millis(99_960)), "100 s");
        assert_eq!(time_text(Duration::from_secs(125)), "2 min 05 s");
        assert_eq!(size_text(512.0), "512 B");
        assert_eq!(size_text(24_600_000.0), "24.6 MB");
    }
}
