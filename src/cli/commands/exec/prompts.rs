//! Where prompts come from: the command line, or stdin.

use std::io::{BufRead, Read};
use std::path::PathBuf;

use serde::Deserialize;
use tokio::sync::mpsc;

use crate::args::{ExecArgs, InputFormat};
use crate::attachments::{Draft, GivenFile, Ready};
use crate::error::CliError;

/// A prompt on stdin, when it comes as JSON lines: `{"prompt": …, "attachments": […]}`, or
/// `{"type": "prompt", "text": …}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    r#type: Option<LineType>,
    #[serde(alias = "text")]
    prompt: String,
    #[serde(default)]
    attachments: Vec<PathBuf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum LineType {
    Prompt,
}

/// Prompts as the command line names them, before any file is read.
pub(super) enum Asked {
    /// This one.
    Once(Draft),
    /// Lines of stdin.
    Lines,
}

impl Asked {
    pub(super) fn read(args: &ExecArgs) -> Result<Self, CliError> {
        let image = |image: bool| move |path: &PathBuf| GivenFile { path: path.clone(), image };
        let images = args.images.iter().map(image(true));
        let files: Vec<GivenFile> =
            images.chain(args.attachments.iter().map(image(false))).collect();
        if args.input_format == InputFormat::Jsonl {
            if args.prompt.as_deref().is_some_and(|prompt| prompt != "-") {
                return Err(CliError::usage(
                    "With --input-format jsonl the prompts come from stdin. Leave the prompt out.",
                ));
            }
            if !files.is_empty() {
                return Err(CliError::usage(
                    "With --input-format jsonl each line names its own files. Put them into its \
                     \"attachments\".",
                ));
            }
            return Ok(Self::Lines);
        }
        let text = match args.prompt.as_deref() {
            Some("-") => {
                let mut text = String::new();
                std::io::stdin().read_to_string(&mut text).map_err(|error| {
                    CliError::usage(format!("Cannot read the prompt from stdin: {error}."))
                })?;
                text
            }
            Some(prompt) => prompt.to_owned(),
            None => String::new(),
        };
        if text.trim().is_empty() {
            return Err(CliError::usage(
                "The prompt is empty. Say what to do: `limn exec \"…\"`, or `-` to read stdin.",
            ));
        }
        Ok(Self::Once(Draft { text, files }))
    }

    /// The prompts to send; files that came with them are read.
    pub(super) fn open(self) -> Result<Prompts, CliError> {
        match self {
            Self::Once(draft) => Ok(Prompts::Given(vec![draft.load()?].into_iter())),
            Self::Lines => Ok(Prompts::from_stdin()),
        }
    }
}

/// Where prompts come from.
pub(crate) enum Prompts {
    /// Known beforehand.
    Given(std::vec::IntoIter<Ready>),
    /// Read from stdin, a line each, as the rounds go by.
    Lines(mpsc::Receiver<Result<Ready, CliError>>),
}

impl Prompts {
    /// These, in this order.
    pub(crate) fn given(texts: Vec<String>) -> Self {
        let ready = |text| Ready { text, attached: Vec::new() };
        Self::Given(texts.into_iter().map(ready).collect::<Vec<_>>().into_iter())
    }

    /// Whether pictures come with them, as far as is known beforehand.
    pub(super) fn have_pictures(&self) -> bool {
        match self {
            Self::Given(prompts) => {
                prompts.as_slice().iter().any(|prompt| !prompt.attached.is_empty())
            }
            Self::Lines(_) => false,
        }
    }

    fn from_stdin() -> Self {
        let (sender, receiver) = mpsc::channel(1);
        // A thread, because a blocked read of stdin cannot be cancelled: it dies with the process.
        std::thread::spawn(move || {
            for (number, line) in std::io::stdin().lock().lines().enumerate() {
                let drafted = draft(number + 1, line).transpose();
                let loaded = drafted.map(|draft| draft.and_then(Draft::load));
                let failed = matches!(loaded, Some(Err(_)));
                if let Some(loaded) = loaded
                    && (sender.blocking_send(loaded).is_err() || failed)
                {
                    return;
                }
            }
        });
        Self::Lines(receiver)
    }

    pub(super) async fn next(&mut self) -> Result<Option<Ready>, CliError> {
        match self {
            Self::Given(prompts) => Ok(prompts.next()),
            Self::Lines(lines) => lines.recv().await.transpose(),
        }
    }
}

/// What a line asks; nothing, when it is empty.
fn draft(number: usize, line: std::io::Result<String>) -> Result<Option<Draft>, CliError> {
    let bad = |what: String| {
        CliError::usage(format!(
            "stdin, line {number}: {what}. Expected {{\"prompt\":\"…\",\"attachments\":[\"…\"]}}."
        ))
    };
    let line = line.map_err(|error| bad(error.to_string()))?;
    if line.trim().is_empty() {
        return Ok(None);
    }
    let line: Line = serde_json::from_str(&line).map_err(|error| bad(error.to_string()))?;
    // There is one type of line, and it need not be named.
    let Line { r#type: None | Some(LineType::Prompt), prompt, attachments } = line;
    if prompt.trim().is_empty() {
        return Err(bad("the prompt is empty".to_owned()));
    }
    let files = attachments.into_iter().map(|path| GivenFile { path, image: false }).collect();
    Ok(Some(Draft { text: prompt, files }))
}
