//! A curve of dots: each character holds two columns of four.

#[cfg(test)]
mod tests;

/// Where the highest and lowest value are written.
const LABEL_COLUMNS: usize = 9;

/// The bits of the dots of a character, by column and row.
const DOTS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];

/// The values from left to right, so wide and high at the most, in characters.
pub(super) fn draw(values: &[f64], columns: usize, rows: usize) -> Vec<String> {
    let width = columns.saturating_sub(LABEL_COLUMNS).max(4);
    let values: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    let means = thin(&values, width * 2);
    let low = means.iter().copied().fold(f64::INFINITY, f64::min);
    let high = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if means.is_empty() || rows == 0 {
        return Vec::new();
    }
    let heights = rows * 4;
    let span = (high - low).max(1e-9);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a few rows"
    )]
    let place = |value: &f64| ((high - value) / span * (heights - 1) as f64).round() as usize;
    let mut cells = vec![vec![0u8; width]; rows];
    let mut before: Option<usize> = None;
    for (column, value) in means.iter().enumerate() {
        let row = place(value).min(heights - 1);
        // A steep curve has no holes: up to the one before, which is drawn already.
        let from =
            before.map_or(row, |before| if before < row { before + 1 } else { before.max(1) - 1 });
        let from = if before == Some(row) { row } else { from };
        for dot in from.min(row)..=from.max(row) {
            cells[dot / 4][column / 2] |= DOTS[column % 2][dot % 4];
        }
        before = Some(row);
    }
    let label = |row: usize| match row {
        0 => format!("{high:8.4} "),
        _ if row + 1 == rows => format!("{low:8.4} "),
        _ => " ".repeat(LABEL_COLUMNS),
    };
    let line = |(row, cells): (usize, &Vec<u8>)| {
        let dots = cells.iter().map(|bits| char::from_u32(0x2800 + u32::from(*bits)));
        let dots: String = dots.map(|dot| dot.unwrap_or(' ')).collect();
        format!("{}{}", label(row), dots.trim_end_matches('\u{2800}'))
    };
    cells.iter().enumerate().map(line).collect()
}

/// As many values as there are columns at the most: means of stretches.
fn thin(values: &[f64], columns: usize) -> Vec<f64> {
    let stretch = values.len().div_ceil(columns.max(1)).max(1);
    values.chunks(stretch).map(|some| some.iter().sum::<f64>() / some.len() as f64).collect()
}
