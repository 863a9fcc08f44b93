//! A repository to search: generated, the same every time.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::Result;

/// Its files.
pub(super) const FILES: usize = 20_000;
const FILES_PER_FOLDER: usize = 80;
const FUNCTIONS: usize = 9;
const LINES: usize = 14;

/// Fills a folder: Rust, Python and JavaScript, each file with functions that call those of others.
pub(super) fn plant(folder: &Path) -> Result<()> {
    for number in 0..FILES {
        let place = folder.join(format!("part{}", number / FILES_PER_FOLDER));
        if number.is_multiple_of(FILES_PER_FOLDER) {
            fs::create_dir_all(&place)?;
        }
        let (ending, text) = match number % 3 {
            0 => ("rs", source(number, "fn", "{", "}", "    let", ";")?),
            1 => ("py", source(number, "def", ":", "", "   ", "")?),
            _ => ("js", source(number, "function", "{", "}", "    const", ";")?),
        };
        fs::write(place.join(format!("file{number}.{ending}")), text)?;
    }
    Ok(())
}

fn source(
    number: usize,
    keyword: &str,
    open: &str,
    close: &str,
    bind: &str,
    end: &str,
) -> Result<String> {
    let mut text = String::new();
    for function in 0..FUNCTIONS {
        writeln!(text, "{keyword} work_{number}_{function}(){open}")?;
        for line in 0..LINES {
            // Few are called by many, as in real code.
            let called = (number * 31 + function * 17 + line * 7) % (number / 50 + 1);
            writeln!(text, "{bind} value_{line} = work_{called}_{}(){end}", line % FUNCTIONS)?;
        }
        writeln!(text, "{close}\n")?;
    }
    Ok(text)
}
