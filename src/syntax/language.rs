//! The languages that are understood, one row each.

use std::path::Path;

use tree_sitter_language::LanguageFn;

/// A language whose grammar is built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Language {
    Rust,
    Python,
    JavaScript,
    TypeScript,
    Tsx,
    Go,
    C,
    Cpp,
    Java,
    Json,
    Bash,
}

/// How a language is known and read.
pub(crate) struct Row {
    pub(crate) language: Language,
    pub(crate) grammar: LanguageFn,
    extensions: &'static [&'static str],
    /// Whole file names.
    names: &'static [&'static str],
    /// Programs after `#!`, without their version.
    interpreters: &'static [&'static str],
}

const ROWS: &[Row] = &[
    Row {
        language: Language::Rust,
        grammar: tree_sitter_rust::LANGUAGE,
        extensions: &["rs"],
        names: &[],
        interpreters: &["rust-script"],
    },
    Row {
        language: Language::Python,
        grammar: tree_sitter_python::LANGUAGE,
        extensions: &["py", "pyi", "pyw"],
        names: &["SConstruct", "SConscript"],
        interpreters: &["python", "pypy"],
    },
    Row {
        language: Language::JavaScript,
        grammar: tree_sitter_javascript::LANGUAGE,
        extensions: &["js", "mjs", "cjs", "jsx"],
        names: &[],
        interpreters: &["node", "nodejs", "bun"],
    },
    Row {
        language: Language::TypeScript,
        grammar: tree_sitter_typescript::LANGUAGE_TYPESCRIPT,
        extensions: &["ts", "mts", "cts"],
        names: &[],
        interpreters: &["deno", "ts-node", "tsx"],
    },
    Row {
        language: Language::Tsx,
        grammar: tree_sitter_typescript::LANGUAGE_TSX,
        extensions: &["tsx"],
        names: &[],
        interpreters: &[],
    },
    Row {
        language: Language::Go,
        grammar: tree_sitter_go::LANGUAGE,
        extensions: &["go"],
        names: &[],
        interpreters: &[],
    },
    Row {
        language: Language::C,
        grammar: tree_sitter_c::LANGUAGE,
        extensions: &["c", "h"],
        names: &[],
        interpreters: &[],
    },
    Row {
        language: Language::Cpp,
        grammar: tree_sitter_cpp::LANGUAGE,
        extensions: &["cc", "cpp", "cxx", "c++", "hh", "hpp", "hxx", "h++", "ipp", "tpp"],
        names: &[],
        interpreters: &[],
    },
    Row {
        language: Language::Java,
        grammar: tree_sitter_java::LANGUAGE,
        extensions: &["java"],
        names: &[],
        interpreters: &[],
    },
    Row {
        language: Language::Json,
        grammar: tree_sitter_json::LANGUAGE,
        extensions: &["json", "ipynb", "geojson", "webmanifest"],
        names: &[".prettierrc", ".eslintrc", ".babelrc"],
        interpreters: &[],
    },
    Row {
        language: Language::Bash,
        grammar: tree_sitter_bash::LANGUAGE,
        extensions: &["sh", "bash", "bats", "ebuild"],
        names: &[".bashrc", ".bash_profile", ".bash_aliases", ".profile", "PKGBUILD"],
        interpreters: &["sh", "bash", "dash"],
    },
];

/// How much of a first line is looked at for a `#!`.
const SHEBANG_BYTES_MAX: usize = 256;

impl Language {
    /// The language of a file, by its name, else by the `#!` with which its text begins.
    #[must_use]
    pub fn of(path: &Path, source: &str) -> Option<Self> {
        Self::by_name(path).or_else(|| {
            if path.extension().is_some() {
                return None;
            }
            let interpreter = interpreter(source)?;
            let row = ROWS.iter().find(|row| row.interpreters.contains(&interpreter))?;
            Some(row.language)
        })
    }

    /// The language that the name alone tells.
    #[must_use]
    pub fn by_name(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let extension = path.extension().and_then(|extension| extension.to_str());
        let extension = extension.map(str::to_ascii_lowercase);
        let extension = extension.as_deref();
        let row = ROWS.iter().find(|row| {
            row.names.contains(&name)
                || extension.is_some_and(|extension| row.extensions.contains(&extension))
        })?;
        Some(row.language)
    }

    /// The language whose names this one can mention: C for C++, one for all of JavaScript's kin.
    #[must_use]
    pub const fn family(self) -> Self {
        match self {
            Self::Cpp => Self::C,
            Self::TypeScript | Self::Tsx => Self::JavaScript,
            own => own,
        }
    }

    pub(crate) fn grammar(self) -> tree_sitter::Language {
        // Each language has a row, which a test holds.
        let row = ROWS.iter().find(|row| row.language == self);
        row.map_or(tree_sitter_json::LANGUAGE, |row| row.grammar).into()
    }
}

/// The program that a script asks for: `#!/usr/bin/env -S python3 -u` is `python`.
fn interpreter(source: &str) -> Option<&str> {
    let end = source.floor_char_boundary(SHEBANG_BYTES_MAX);
    let line = source.get(..end)?.lines().next()?.strip_prefix("#!")?;
    let mut words = line.split_whitespace().map(|word| word.rsplit('/').next().unwrap_or(word));
    let program = match words.next()? {
        "env" => words.find(|word| !word.starts_with('-') && !word.contains('='))?,
        program => program,
    };
    Some(program.trim_end_matches(|last: char| last.is_ascii_digit() || last == '.'))
}

#[cfg(test)]
mod tests;
