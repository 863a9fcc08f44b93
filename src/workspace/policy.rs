//! What a checkpoint leaves out, and why: one table, and the limits.

/// Folders that are left out because something makes them again.
pub(crate) const RULES: &[Rule] = &[
    Rule {
        number: 16,
        name: "node_modules",
        folders: &["node_modules"],
        marker: None,
        why: "the package manager installs it again from its lock file",
    },
    Rule {
        number: 17,
        name: "venv",
        folders: &[".venv", "venv", "env"],
        marker: Some("pyvenv.cfg"),
        why: "a virtual environment of Python: pip installs it again",
    },
    Rule {
        number: 18,
        name: "pycache",
        folders: &["__pycache__"],
        marker: None,
        why: "compiled Python, made again at the next import",
    },
    Rule {
        number: 19,
        name: "tool-caches",
        folders: &[
            ".mypy_cache",
            ".pytest_cache",
            ".ruff_cache",
            ".tox",
            ".nox",
            ".parcel-cache",
            ".turbo",
        ],
        marker: None,
        why: "a cache that its tool makes again",
    },
    Rule {
        number: 20,
        name: "cachedir",
        folders: &[],
        marker: Some("CACHEDIR.TAG"),
        why: "a cache by its own word, such as Cargo's target: it holds a CACHEDIR.TAG",
    },
];

/// How a file begins that says its folder is a cache (bford.info/cachedir).
pub(crate) const CACHEDIR_SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// A sort of folder that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// How it is stored; never used again for another.
    pub(crate) number: u8,
    /// What it is called in lists.
    pub(crate) name: &'static str,
    /// The names of such folders; any name when empty.
    pub(crate) folders: &'static [&'static str],
    /// A file that has to lie in it.
    pub(crate) marker: Option<&'static str>,
    /// Why it is left out.
    pub(crate) why: &'static str,
}

/// Why something is not in a checkpoint, or not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// A rule of this crate's table, by its number.
    Rule(u8),
    /// It is larger than the policy's limit.
    TooLarge,
    /// It may not be read.
    Unreadable,
    /// A socket, a pipe or a device.
    Special,
    /// It lies on another file system.
    OtherFileSystem,
    /// It lies too deep.
    TooDeep,
    /// limn's own data folder.
    OwnData,
    /// Kept, but it changed each time it was read: what is kept is what was read last.
    Changing,
    /// Kept, but its repository lies outside of the workspace: that is in no checkpoint.
    GitElsewhere,
}

impl Reason {
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::TooLarge => 0,
            Self::Unreadable => 1,
            Self::Special => 2,
            Self::OtherFileSystem => 3,
            Self::TooDeep => 4,
            Self::OwnData => 5,
            Self::Changing => 6,
            Self::GitElsewhere => 7,
            Self::Rule(number) => number,
        }
    }

    /// A rule that this version does not know is a rule all the same.
    pub(crate) const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::TooLarge,
            1 => Self::Unreadable,
            2 => Self::Special,
            3 => Self::OtherFileSystem,
            4 => Self::TooDeep,
            5 => Self::OwnData,
            6 => Self::Changing,
            7 => Self::GitElsewhere,
            8..16 => return None,
            rule => Self::Rule(rule),
        })
    }

    /// The word for it in lists and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TooLarge => "too-large",
            Self::Unreadable => "unreadable",
            Self::Special => "special",
            Self::OtherFileSystem => "other-file-system",
            Self::TooDeep => "too-deep",
            Self::OwnData => "own-data",
            Self::Changing => "changing",
            Self::GitElsewhere => "git-elsewhere",
            Self::Rule(number) => rule(number).map_or("rule", |rule| rule.name),
        }
    }

    /// Why, as the end of a sentence.
    #[must_use]
    pub fn why(self) -> &'static str {
        match self {
            Self::TooLarge => "it is larger than checkpoints take",
            Self::Unreadable => "it may not be read",
            Self::Special => "it is a socket, a pipe or a device",
            Self::OtherFileSystem => "it lies on another file system",
            Self::TooDeep => "it lies too deep",
            Self::OwnData => "it is limn's own data folder",
            Self::Changing => "kept, but it changed while it was read",
            Self::GitElsewhere => "its repository lies outside of the workspace and is not kept",
            Self::Rule(number) => rule(number).map_or("a rule of a newer limn", |rule| rule.why),
        }
    }

    /// Whether it is not in the checkpoint at all.
    #[must_use]
    pub const fn is_left_out(self) -> bool {
        !matches!(self, Self::Changing | Self::GitElsewhere)
    }
}

fn rule(number: u8) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.number == number)
}

/// What checkpoints take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// A longer file is left out, bytes.
    pub file_bytes_max: u64,
    /// A longer pack of a git repository is left out, bytes.
    pub pack_bytes_max: u64,
    /// More bytes than this are no workspace: no checkpoint is taken.
    pub tree_bytes_max: u64,
    /// More entries than this are no workspace: no checkpoint is taken.
    pub entries_max: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            file_bytes_max: 256 << 20,
            pack_bytes_max: 1 << 30,
            tree_bytes_max: 16 << 30,
            entries_max: 500_000,
        }
    }
}

/// The rules that may hold for a folder of this name; their markers are still to be looked for.
pub(crate) fn rules_for(name: &[u8]) -> impl Iterator<Item = &'static Rule> {
    RULES.iter().filter(move |rule| {
        rule.folders.is_empty() || rule.folders.iter().any(|it| it.as_bytes() == name)
    })
}
