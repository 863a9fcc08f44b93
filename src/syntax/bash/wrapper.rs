//! Commands that run other commands.

use crate::bash::{Line, SimpleCommand, Word, read};

/// A program that runs the command behind its own options.
struct Wrapper {
    name: &'static str,
    /// It runs that command as it is, with no more rights, once and here: allowing the command
    /// allows this too.
    is_plain: bool,
    /// Options without a value. Short ones may be joined.
    flags: &'static [&'static str],
    /// Options whose value is the next word, or the rest of the word.
    values: &'static [&'static str],
    /// Words that stand between the options and the command.
    operands: usize,
}

const fn plain(name: &'static str) -> Wrapper {
    Wrapper { name, is_plain: true, flags: &[], values: &[], operands: 0 }
}

const WRAPPERS: &[Wrapper] = &[
    plain("builtin"),
    plain("nohup"),
    Wrapper { flags: &["-p"], ..plain("command") },
    Wrapper { flags: &["-c", "-l"], values: &["-a"], is_plain: false, ..plain("exec") },
    Wrapper { flags: &["-p"], ..plain("time") },
    Wrapper {
        flags: &["--foreground", "--preserve-status", "-v", "--verbose"],
        values: &["-k", "--kill-after", "-s", "--signal"],
        operands: 1,
        ..plain("timeout")
    },
    Wrapper { values: &["-n", "--adjustment"], ..plain("nice") },
    Wrapper { flags: &["-t"], values: &["-c", "-n"], ..plain("ionice") },
    Wrapper { values: &["-i", "-o", "-e", "--input", "--output", "--error"], ..plain("stdbuf") },
    Wrapper { flags: &["-c", "-f", "-w"], is_plain: false, ..plain("setsid") },
    Wrapper {
        flags: &["-A", "-b", "-E", "-H", "-K", "-k", "-n", "-P", "-S"],
        values: &["-C", "-D", "-g", "-h", "-p", "-R", "-T", "-u", "--user", "--group"],
        is_plain: false,
        ..plain("sudo")
    },
    Wrapper { flags: &["-n"], values: &["-u", "-C"], is_plain: false, ..plain("doas") },
    Wrapper { is_plain: false, operands: 1, ..plain("chroot") },
    Wrapper {
        flags: &["-b", "-d", "-e", "-t", "-g", "-x", "-c", "--beep", "--errexit", "--no-title"],
        values: &["-n", "--interval"],
        is_plain: false,
        ..plain("watch")
    },
    Wrapper {
        flags: &["-f", "-c", "-q", "-y"],
        values: &["-e", "-o", "-p", "-s"],
        is_plain: false,
        ..plain("strace")
    },
    Wrapper {
        flags: &["-0", "-o", "-p", "-r", "-t", "-x", "--null", "--no-run-if-empty", "--verbose"],
        values: &[
            "-a",
            "-d",
            "-E",
            "-I",
            "-L",
            "-n",
            "-P",
            "-s",
            "--delimiter",
            "--max-args",
            "--max-procs",
            "--max-lines",
        ],
        is_plain: false,
        ..plain("xargs")
    },
    Wrapper { is_plain: false, ..plain("busybox") },
];

/// Builtins and words whose effect on what follows, or whose arguments, are programs.
const OPAQUE: &[&str] = &[
    ".",
    "alias",
    "bind",
    "compgen",
    "complete",
    "compopt",
    "coproc",
    "declare",
    "enable",
    "eval",
    "export",
    "fc",
    "function",
    "getopts",
    "hash",
    "let",
    "local",
    "mapfile",
    "parallel",
    "readarray",
    "readonly",
    "select",
    "set",
    "shopt",
    "source",
    "trap",
    "typeset",
    "unalias",
    "unset",
    "case",
    "do",
    "done",
    "elif",
    "else",
    "esac",
    "fi",
    "for",
    "if",
    "in",
    "then",
    "until",
    "while",
    "{",
    "}",
    "!",
    "[[",
    "]]",
];

const SHELLS: &[&str] = &["ash", "bash", "dash", "fish", "ksh", "mksh", "rbash", "sh", "zsh"];

/// Programs that run what they read when they are given no file.
const INTERPRETERS: &[&str] = &[
    "bun",
    "deno",
    "irb",
    "julia",
    "lua",
    "node",
    "osascript",
    "perl",
    "php",
    "psql",
    "pwsh",
    "python",
    "python2",
    "python3",
    "R",
    "ruby",
    "sqlite3",
    "tclsh",
];

/// Puts a command on the list, and all those that it runs.
pub(super) fn unwrap(words: Vec<Word>, depth: usize, found: &mut Line) {
    let Some(first) = words.first() else {
        return;
    };
    let Some(path) = first.literal().map(str::to_owned) else {
        found.hide("the name of a command cannot be known");
        found.commands.push(SimpleCommand { words, is_wrapper: false });
        return;
    };
    if depth > super::NESTING_MAX {
        return found.hide("it is nested too deep");
    }
    let name = path.rsplit('/').next().unwrap_or_default();
    let rest = words.get(1..).unwrap_or_default();
    // A program of that name elsewhere is another program.
    let is_usual = matches!(path.strip_suffix(name), Some("" | "/bin/" | "/usr/bin/"));
    let mut is_wrapper = false;
    if OPAQUE.contains(&name) || sets_variable(name, rest) {
        found.hide("it has a builtin that decides what other words mean");
    } else if SHELLS.contains(&name) {
        is_wrapper = shell(rest, depth, found) && is_usual;
    } else if INTERPRETERS.contains(&name) && rest.iter().all(is_option) {
        found.hide("an interpreter runs what it reads");
    } else if name == "env" {
        is_wrapper = environment(rest, depth, found) && is_usual;
    } else if name == "find" {
        find(rest, depth, found);
    } else if let Some(wrapper) = WRAPPERS.iter().find(|wrapper| wrapper.name == name) {
        is_wrapper = wrapper.is_plain && is_usual;
        match wrapper.inner(rest) {
            Some([]) => is_wrapper = false,
            Some(inner) => {
                let mut inner = inner.to_vec();
                if name == "xargs" {
                    inner.push(Word::Unknown);
                }
                if name == "watch" && inner.len() == 1 {
                    found.hide("a program runs text as a command");
                }
                unwrap(inner, depth + 1, found);
            }
            None if name == "command" && is_query(rest) => is_wrapper = false,
            None => found.hide("it is not clear which command a program runs"),
        }
    }
    found.commands.push(SimpleCommand { words, is_wrapper });
}

/// Builtins that set a variable programs may heed, or whose operand may be an expression.
fn sets_variable(name: &str, words: &[Word]) -> bool {
    let mut words = words.iter();
    match name {
        "read" => !words.all(|word| {
            let text = word.literal().unwrap_or("?");
            matches!(text, "-r" | "-s" | "-rs" | "-sr") || super::is_harmless(text, false)
        }),
        "printf" => words.next().is_some_and(may_name_variable),
        "test" => words.any(may_name_variable),
        _ => false,
    }
}

fn may_name_variable(word: &Word) -> bool {
    word.literal().is_none_or(|text| text.starts_with("-v"))
}

fn is_option(word: &Word) -> bool {
    word.literal().is_some_and(|text| text.starts_with('-'))
}

/// `command -v` only says where a command is.
fn is_query(words: &[Word]) -> bool {
    matches!(words.first().and_then(Word::literal), Some("-v" | "-V"))
}

impl Wrapper {
    /// The command behind the options; `None` when an option is not known.
    fn inner<'a>(&self, mut words: &'a [Word]) -> Option<&'a [Word]> {
        while let Some((first, rest)) = words.split_first() {
            let option = first.literal()?;
            if !option.starts_with('-') || option == "-" {
                break;
            }
            words = rest;
            if option == "--" {
                break;
            }
            if self.values.contains(&option) {
                words = words.get(1..)?;
            } else if !self.is_flag(option) && !self.holds_value(option) {
                return None;
            }
        }
        words.get(self.operands.min(words.len())..)
    }

    fn is_flag(&self, option: &str) -> bool {
        let is_joined = !option.starts_with("--")
            && option.chars().skip(1).all(|letter| {
                self.flags.iter().any(|flag| flag.len() == 2 && flag.ends_with(letter))
            });
        self.flags.contains(&option) || is_joined
    }

    /// `--signal=9`, `-n5`.
    fn holds_value(&self, option: &str) -> bool {
        self.values.iter().any(|value| {
            option.strip_prefix(value).is_some_and(|rest| {
                if value.starts_with("--") { rest.starts_with('=') } else { !rest.is_empty() }
            })
        })
    }
}

/// `bash -c 'text' …`; true when its text was read. A shell with a file runs that file, which is
/// a command like any other; one without runs what it reads.
fn shell(words: &[Word], depth: usize, found: &mut Line) -> bool {
    for (index, word) in words.iter().enumerate() {
        let Some(text) = word.literal() else {
            found.hide("an interpreter runs what it reads");
            return false;
        };
        let is_joined = !text.starts_with("--") && text.starts_with('-');
        if is_joined && text.contains('c') {
            match words.get(index + 1).and_then(Word::literal) {
                Some(script) if !text.contains('i') && !text.contains('O') => {
                    read(script, depth + 1, found);
                }
                _ => found.hide("an interpreter runs what it reads"),
            }
            return index == 0 && matches!(text, "-c" | "-ec" | "-euc" | "-lc");
        }
        if !text.starts_with('-') {
            return false;
        }
        if !matches!(text, "-e" | "-u" | "-x" | "-l" | "--norc" | "--noprofile" | "-n") {
            found.hide("an interpreter runs what it reads");
            return false;
        }
    }
    found.hide("an interpreter runs what it reads");
    false
}

/// `env -i NAME=value command`; true when it does nothing but run it.
fn environment(mut words: &[Word], depth: usize, found: &mut Line) -> bool {
    let mut is_plain = true;
    while let Some((first, rest)) = words.split_first() {
        let Some(text) = first.literal() else {
            found.hide("it is not clear which command a program runs");
            return false;
        };
        if let Some((name, _)) = text.split_once('=').filter(|_| !text.starts_with('-')) {
            if !super::HARMLESS.contains(&name) {
                found.hide("it sets a variable that programs may heed");
            }
        } else if matches!(text, "-u" | "--unset" | "-C" | "--chdir") {
            is_plain = false;
            words = rest.get(1..).unwrap_or_default();
            continue;
        } else if !matches!(text, "-i" | "-" | "--ignore-environment" | "-0") {
            if text.starts_with('-') {
                found.hide("it is not clear which command a program runs");
                return false;
            }
            unwrap(words.to_vec(), depth + 1, found);
            return is_plain;
        }
        words = rest;
    }
    false
}

/// The commands of `-exec` and its like.
fn find(words: &[Word], depth: usize, found: &mut Line) {
    const RUN: &[&str] = &["-exec", "-execdir", "-ok", "-okdir"];
    let runs = |word: &Word| word.literal().is_some_and(|text| RUN.contains(&text));
    let mut rest = words;
    while let Some(at) = rest.iter().position(runs) {
        rest = rest.get(at + 1..).unwrap_or_default();
        let ends = |word: &Word| matches!(word.literal(), Some(";" | "+"));
        let end = rest.iter().position(ends).unwrap_or(rest.len());
        let inner: Vec<Word> = rest
            .get(..end)
            .unwrap_or_default()
            .iter()
            .map(|word| match word.literal() {
                Some(text) if text.contains("{}") => Word::Unknown,
                _ => word.clone(),
            })
            .collect();
        unwrap(inner, depth + 1, found);
    }
}
