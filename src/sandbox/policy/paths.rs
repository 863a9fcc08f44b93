//! Paths inside a policy: what they must look like, and how they are written down.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

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

/// A path as it is written: text where it is text, else its bytes.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Form {
    Text(String),
    Bytes(Vec<u8>),
}

impl From<&Path> for Form {
    fn from(path: &Path) -> Self {
        match path.to_str() {
            Some(text) => Self::Text(text.to_owned()),
            None => Self::Bytes(path.as_os_str().as_bytes().to_vec()),
        }
    }
}

impl From<Form> for PathBuf {
    fn from(form: Form) -> Self {
        match form {
            Form::Text(text) => Self::from(text),
            Form::Bytes(bytes) => Self::from(OsStr::from_bytes(&bytes)),
        }
    }
}

/// For serde: one path.
pub(super) mod one {
    use serde::{Deserializer, Serializer};

    use super::{Deserialize, Form, Path, PathBuf, Serialize};

    pub(in super::super) fn serialize<S: Serializer>(
        path: &Path,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        Form::from(path).serialize(to)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<PathBuf, D::Error> {
        Form::deserialize(from).map(PathBuf::from)
    }
}

/// For serde: a list of paths.
pub(super) mod many {
    use serde::{Deserializer, Serializer};

    use super::{Deserialize, Form, PathBuf};

    pub(in super::super) fn serialize<S: Serializer>(
        paths: &[PathBuf],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(paths.iter().map(|path| Form::from(path.as_path())))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<PathBuf>, D::Error> {
        let forms = Vec::<Form>::deserialize(from)?;
        Ok(forms.into_iter().map(PathBuf::from).collect())
    }
}
