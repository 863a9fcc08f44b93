//! The command line of `limn-train serve`.

use std::ffi::OsString;
use std::path::PathBuf;

use training::recipe::{Device, Precision};

#[cfg(test)]
mod tests;

pub(crate) const USAGE: &str = "\
Usage: limn-train serve TARGET [--adapter NAME=RUN]... [--host HOST] [--port PORT]
                        [--key-file FILE] [--template FILE|chatml-tools|deepseek-tools]
                        [--context TOKENS] [--slots N] [--precision f32|bf16]
                        [--device auto|cpu|cuda] [--no-graphs] [--name NAME] [--json]
                        [--until-stdin-ends]

TARGET is a model's folder, a GGUF file, or the folder of a run of limn train. A key is needed where
HOST is no loopback; it is read from FILE, or from LIMN_SERVE_KEY.
";

/// More texts at once are another kind of server.
const SLOTS_MAX: usize = 256;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// A model's folder, a GGUF file, or a run.
    pub(crate) target: PathBuf,
    /// More adapters: the name of each model, and a run or an adapter's folder.
    pub(crate) adapters: Vec<(String, PathBuf)>,
    /// Where it listens.
    pub(crate) host: String,
    /// 0 is any that is free.
    pub(crate) port: u16,
    /// Where the key is.
    pub(crate) key_file: Option<PathBuf>,
    /// Another chat template.
    pub(crate) template: Option<PathBuf>,
    /// Tokens of a text; the default depends on the model.
    pub(crate) context: Option<usize>,
    /// Texts at once.
    pub(crate) slots: usize,
    /// In what it is computed; the default depends on the device.
    pub(crate) precision: Option<Precision>,
    /// What computes.
    pub(crate) device: Device,
    /// Whether steps are recorded as CUDA graphs where a GPU computes.
    pub(crate) graphs: bool,
    /// What the first model is called.
    pub(crate) name: Option<String>,
    /// Whether it is said as JSON that it serves.
    pub(crate) json: bool,
    /// Whether it ends when its input does.
    pub(crate) until_stdin_ends: bool,
}

impl Options {
    /// Reads the words after `serve`.
    ///
    /// # Errors
    /// What is wrong with them, as a sentence.
    pub(crate) fn read(words: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let mut words = words;
        let mut target = None;
        let mut options = Self {
            target: PathBuf::new(),
            adapters: Vec::new(),
            host: "127.0.0.1".to_owned(),
            port: 8080,
            key_file: None,
            template: None,
            context: None,
            slots: 4,
            precision: None,
            device: Device::Auto,
            graphs: true,
            name: None,
            json: false,
            until_stdin_ends: false,
        };
        while let Some(word) = words.next() {
            let flag = word.to_str().filter(|word| word.starts_with("--"));
            match flag {
                Some("--json") => options.json = true,
                Some("--no-graphs") => options.graphs = false,
                Some("--until-stdin-ends") => options.until_stdin_ends = true,
                Some(flag) => {
                    let value = words.next().ok_or_else(|| format!("{flag} needs a value."))?;
                    options.set(flag, value)?;
                }
                None if target.is_none() => target = Some(PathBuf::from(word)),
                None => {
                    let word = word.to_string_lossy();
                    return Err(format!("One TARGET is served, and {word} is another."));
                }
            }
        }
        options.target = target.ok_or("TARGET is missing.")?;
        Ok(options)
    }

    fn set(&mut self, flag: &str, value: OsString) -> Result<(), String> {
        match flag {
            "--key-file" => self.key_file = Some(value.into()),
            "--template" => self.template = Some(value.into()),
            "--adapter" => self.adapters.push(adapter(&value)?),
            "--host" => self.host = text(flag, value)?,
            "--name" => self.name = Some(text(flag, value)?),
            "--port" => {
                let port = text(flag, value)?.parse();
                self.port = port.map_err(|_| "--port takes a number from 0 to 65535.")?;
            }
            "--context" => {
                let tokens = text(flag, value)?.parse().ok().filter(|tokens| *tokens > 0);
                self.context = Some(tokens.ok_or("--context takes a number of tokens from 1.")?);
            }
            "--slots" => {
                let slots = text(flag, value)?.parse().ok();
                let slots = slots.filter(|slots| (1..=SLOTS_MAX).contains(slots));
                self.slots = slots
                    .ok_or_else(|| format!("--slots takes a number from 1 to {SLOTS_MAX}."))?;
            }
            "--precision" => {
                self.precision = Some(match text(flag, value)?.as_str() {
                    "f32" => Precision::F32,
                    "bf16" => Precision::Bf16,
                    _ => return Err("--precision takes f32 or bf16.".to_owned()),
                });
            }
            "--device" => {
                self.device = match text(flag, value)?.as_str() {
                    "auto" => Device::Auto,
                    "cpu" => Device::Cpu,
                    "cuda" => Device::Cuda,
                    _ => return Err("--device takes auto, cpu or cuda.".to_owned()),
                };
            }
            _ => return Err(format!("serve takes no {flag}.")),
        }
        Ok(())
    }
}

fn text(flag: &str, value: OsString) -> Result<String, String> {
    let text = value.into_string().ok().filter(|text| !text.is_empty());
    text.ok_or_else(|| format!("{flag} takes a text."))
}

/// A name and a folder; a folder may be called anything.
fn adapter(value: &OsString) -> Result<(String, PathBuf), String> {
    use std::os::unix::ffi::OsStrExt;
    let bytes = value.as_bytes();
    let split = bytes.iter().position(|byte| *byte == b'=').map(|at| bytes.split_at(at));
    let name = split.and_then(|(name, _)| str::from_utf8(name).ok());
    match (name.filter(|name| !name.is_empty()), split) {
        (Some(name), Some((_, path))) if path.len() > 1 => {
            Ok((name.to_owned(), PathBuf::from(std::ffi::OsStr::from_bytes(&path[1..]))))
        }
        _ => Err("--adapter takes NAME=RUN: what the model is called, and a run.".to_owned()),
    }
}
