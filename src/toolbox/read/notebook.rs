//! Jupyter notebooks as text: each cell's source, then what it printed.

use serde_json::Value;

/// What is shown of one output.
const OUTPUT_CHARS_MAX: usize = 4_000;

/// The cells as text; `None` when it is no notebook.
pub(super) fn text(content: &[u8]) -> Option<String> {
    let notebook: Value = serde_json::from_slice(content).ok()?;
    let cells = notebook.get("cells")?.as_array()?;
    let language = notebook
        .pointer("/metadata/language_info/name")
        .or_else(|| notebook.pointer("/metadata/kernelspec/language"))
        .and_then(Value::as_str)
        .unwrap_or("code");
    let mut text = format!(
        "[notebook of {} cells; the lines are of this text, the file itself is JSON]\n",
        cells.len()
    );
    for (index, cell) in cells.iter().enumerate() {
        let kind = match cell.get("cell_type").and_then(Value::as_str) {
            Some("code") => language,
            Some(other) => other,
            None => "unknown",
        };
        text.push_str(&format!("--- cell {}: {kind} ---\n", index + 1));
        push(&mut text, &joined(cell.get("source")), usize::MAX);
        for output in cell.get("outputs").and_then(Value::as_array).into_iter().flatten() {
            push_output(&mut text, output);
        }
    }
    Some(text)
}

fn push_output(text: &mut String, output: &Value) {
    match output.get("output_type").and_then(Value::as_str) {
        Some("stream") => {
            let name = output.get("name").and_then(Value::as_str).unwrap_or("stdout");
            text.push_str(&format!("--- {name} ---\n"));
            push(text, &joined(output.get("text")), OUTPUT_CHARS_MAX);
        }
        Some("error") => {
            text.push_str("--- error ---\n");
            let traceback: Vec<&str> = output
                .get("traceback")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            let said = if traceback.is_empty() {
                let part = |name| output.get(name).and_then(Value::as_str).unwrap_or_default();
                format!("{}: {}", part("ename"), part("evalue"))
            } else {
                traceback.join("\n")
            };
            push(text, &uncoloured(&said), OUTPUT_CHARS_MAX);
        }
        _ => push_data(text, output.get("data")),
    }
}

/// What came out as a value: its plain form, and the names of the others that say more.
fn push_data(text: &mut String, data: Option<&Value>) {
    let Some(data) = data.and_then(Value::as_object) else {
        return;
    };
    text.push_str("--- output ---\n");
    let plain = ["text/plain", "text/markdown", "text/latex", "application/json", "text/html"];
    if let Some(value) = plain.iter().find_map(|kind| data.get(*kind)) {
        push(text, &joined(Some(value)), OUTPUT_CHARS_MAX);
    }
    for kind in data.keys().filter(|kind| kind.starts_with("image/")) {
        let kind: String = kind.chars().take(60).collect();
        text.push_str(&format!("[{kind}, not shown]\n"));
    }
}

/// A text that the format keeps as one string or as a list of lines.
fn joined(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(lines)) => lines.iter().filter_map(Value::as_str).collect(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

fn push(text: &mut String, piece: &str, chars_max: usize) {
    let end = piece.char_indices().nth(chars_max).map_or(piece.len(), |(at, _)| at);
    text.push_str(piece.get(..end).unwrap_or_default());
    if !text.ends_with('\n') {
        text.push('\n');
    }
    if end < piece.len() {
        let left = piece.get(end..).unwrap_or_default().chars().count();
        text.push_str(&format!("[{left} more characters of this output]\n"));
    }
}

/// Without the escape sequences that colour a traceback.
fn uncoloured(text: &str) -> String {
    let mut plain = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '\u{1b}' && letters.next_if_eq(&'[').is_some() {
            while letters.next().is_some_and(|letter| !letter.is_ascii_alphabetic()) {}
        } else {
            plain.push(letter);
        }
    }
    plain
}
