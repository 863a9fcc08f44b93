//! `cargo xtask libtorch`: the library that `limn-train` computes with, without its own download site.
//!
//! The wheel of PyTorch holds the same libraries and headers. It and the two of CUDA's libraries
//! that the processor's half is linked against come by pip, each by its hash, and what is needed of
//! them is laid into a cache that belongs to the user, named after the version. The root of the
//! workspace has a link to it, `.libtorch`, which cargo's settings name; git does not see it.
//!
//! The wheel's `libtorch.so` asks for the half that computes on a GPU (a gigabyte). Here a line for
//! the linker stands in its place, so that a binary needs the processor's half only, and finds the
//! other one by itself where there is a GPU.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::Usage;
use crate::process::root;
use crate::wheels::{self, Wheel, cache};

pub(crate) const HELP: &str = "\
Usage: cargo xtask libtorch

Fetches libtorch (544 MB, of which 498 MB are kept) by pip, once for each user and version, and
links it as .libtorch at the root of the workspace. What is there is left alone, so that it works
without a network from then on. Linux on x86_64 only; elsewhere set LIBTORCH yourself.";

/// What `tch` in the root manifest is made for; they have to match exactly.
const VERSION: &str = "2.11.0+cu130";

/// What builds ask for the version, and the last file that is written.
const MARK: &str = "build-version";

const WHEELS: &[Wheel] = &[
    Wheel {
        package: "torch==2.11.0",
        sha256: "7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a",
        kept: &[
            ("torch/lib/libtorch_cpu.so", "lib"),
            ("torch/lib/libc10.so", "lib"),
            ("torch/lib/libgomp.so.1", "lib"),
            ("torch/include/", "include"),
        ],
    },
    Wheel {
        package: "nvidia-cuda-runtime==13.0.96",
        sha256: "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
        kept: &[("nvidia/cu13/lib/libcudart.so.13", "lib")],
    },
    Wheel {
        package: "nvidia-cuda-cupti==13.0.85",
        sha256: "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
        kept: &[("nvidia/cu13/lib/libcupti.so.13", "lib")],
    },
];

pub(crate) fn run(args: &[String]) -> Result<()> {
    if let Some(arg) = args.first() {
        let told = format!("libtorch takes no `{arg}`; see cargo xtask libtorch --help");
        return Err(Usage(told).into());
    }
    match ensure()? {
        Libtorch::There(place) => println!("libtorch {VERSION} is at {}", place.display()),
        Libtorch::Unavailable(why) => bail!("{why}"),
    }
    Ok(())
}

/// Whether there is a libtorch to build with.
pub(crate) enum Libtorch {
    /// In this folder, with `lib` and `include`.
    There(PathBuf),
    /// Nobody made one for this machine.
    Unavailable(&'static str),
}

/// Fetches libtorch unless it is there, and links it.
///
/// # Errors
/// When it has to be fetched and cannot be.
pub(crate) fn ensure() -> Result<Libtorch> {
    // Cargo's settings name the link itself, which is no wish of the user's.
    let named = std::env::var_os("LIBTORCH").map(PathBuf::from);
    let named = named.filter(|it| *it != root().join(".libtorch") && it.join("lib").is_dir());
    if let Some(named) = named {
        return Ok(Libtorch::There(named));
    }
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Ok(Libtorch::Unavailable("libtorch comes for Linux on x86_64 only"));
    }
    let place = cache()?.join(format!("libtorch-{VERSION}"));
    if !place.join(MARK).is_file() {
        lay(&place)?;
    }
    link(&place)?;
    Ok(Libtorch::There(place))
}

/// Whether [`ensure`] would have nothing to fetch.
pub(crate) fn is_there() -> bool {
    let laid = fs::read_to_string(root().join(".libtorch").join(MARK));
    laid.is_ok_and(|version| version.trim() == VERSION)
}

/// Fetches the wheels and lays what is kept of them.
fn lay(place: &Path) -> Result<()> {
    wheels::lay(place, MARK, WHEELS, |laid| {
        fs::write(laid.join("lib/libtorch.so"), "INPUT(-ltorch_cpu)\n")?;
        Ok(fs::write(laid.join(MARK), format!("{VERSION}\n"))?)
    })
    .context("libtorch could not be laid")
}

/// Makes `.libtorch` lead to it.
fn link(place: &Path) -> Result<()> {
    let link = root().join(".libtorch");
    if fs::read_link(&link).is_ok_and(|leads| leads == place) {
        return Ok(());
    }
    if link.exists() && !link.is_symlink() {
        bail!("{} is no link; move it away, or build with it by LIBTORCH", link.display());
    }
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink(place, &link)
        .with_context(|| format!("{} could not be linked", link.display()))
}
