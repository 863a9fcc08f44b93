//! Paths inside a policy: what they must look like.

use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use super::Refusal;

/// The longest path that the system takes.
const PATH_BYTES_MAX: usize = 4_095;

/// Whether a path can stand in a policy: absolute, plain, of a sensible length.
pub(super) fn check(path: &Path) -> Result<(), Refusal> {
    let bytes = path.as_os_str().as_bytes();
    let plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    let what = if bytes.is_empty() {
        "is empty"
    } else if !path.is_absolute() {
        "is not absolute"
    } else if bytes.contains(&0) {
        "holds a NUL byte"
    } else if bytes.len() > PATH_BYTES_MAX {
        "is longer than the system takes"
    } else if !path.components().all(plain) {
        "holds `..`"
    } else {
        return Ok(());
    };
    let shown: String = path.display().to_string().chars().take(200).collect();
    Err(Refusal {
        rule: format!("a path of the policy {what}: {shown:?}"),
        remedy: "write it as an absolute path, or beginning with ~/".into(),
    })
}
