//! How sessions run: the flags of `limn`, `limn exec`, `limn resume` and, as far as they are about
//! any session, of `limn compare`.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::SandboxArgs;

/// How a session runs: each flag wins over its setting.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct RunArgs {
    /// The model: a name the endpoint knows, `PROVIDER/MODEL`, `local:RUN` (one of this machine),
    /// `scripted:FILE`, or `cassette:DIR`.
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// The provider, by its name: `limn models` lists them.
    #[arg(long, value_name = "NAME")]
    pub(crate) provider: Option<String>,
    /// The endpoint, such as http://127.0.0.1:8080/v1.
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<String>,
    /// The environment variable that holds the key for that endpoint.
    #[arg(long, value_name = "NAME")]
    pub(crate) api_key_env: Option<String>,
    /// The folder to work in: the current one, or with --resume the one it was.
    #[arg(long, value_name = "DIR")]
    pub(crate) workspace: Option<PathBuf>,
    /// Take no checkpoints of the workspace: nothing can be rewound then.
    #[arg(long)]
    pub(crate) no_checkpoints: bool,
    /// How many sessions run at a time, where that is more than this one: a server of ours has room
    /// for them.
    #[arg(skip)]
    pub(crate) at_a_time: Option<NonZeroU32>,
    #[command(flatten)]
    pub(crate) session: SessionArgs,
}

/// What is the same whoever begins a session, and with which model.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct SessionArgs {
    /// The API form.
    #[arg(long, value_enum)]
    pub(crate) api: Option<Api>,
    /// The names and shapes of the tools; otherwise as the model does best with them.
    #[arg(long, value_enum)]
    pub(crate) tools: Option<ToolsArg>,
    /// The model's context window in tokens, where the table of models is wrong or has none.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1024..))]
    pub(crate) context_window: Option<u64>,
    /// How often a request that failed in passing is asked again.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(crate) retries: Option<u32>,
    /// Seconds that a model may be silent before it is asked again.
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) silence: Option<u64>,
    /// How much the agent may do without asking.
    #[arg(long, value_enum)]
    pub(crate) approval: Option<ApprovalArg>,
    /// Whether commands are isolated: `auto` takes the strongest tier there is, and refuses
    /// commands where there is none.
    #[arg(long, value_enum)]
    pub(crate) sandbox: Option<SandboxArg>,
    #[command(flatten)]
    pub(crate) isolation: SandboxArgs,
    /// Requests to the model before a session is stopped.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_steps: Option<u32>,
    /// Input and output tokens before a session is stopped.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_tokens: Option<u64>,
    /// Seconds before a session is stopped.
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout: Option<u64>,
    /// Do not wait for the disk: a crash still loses nothing, a power cut may.
    #[arg(long)]
    pub(crate) no_fsync: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Api {
    /// Chat Completions.
    Chat,
    /// Responses.
    Responses,
}

impl From<Api> for model::Api {
    fn from(api: Api) -> Self {
        match api {
            Api::Chat => Self::Chat,
            Api::Responses => Self::Responses,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ToolsArg {
    /// `edit` and `write`.
    Edit,
    /// `apply_patch`, as GPT models know it.
    Patch,
    /// The names and shapes of SII CLI.
    Sii,
}

impl From<ToolsArg> for toolbox::ToolSet {
    fn from(tools: ToolsArg) -> Self {
        match tools {
            ToolsArg::Edit => Self::Edit,
            ToolsArg::Patch => Self::Patch,
            ToolsArg::Sii => Self::Sii,
        }
    }
}

/// How a server marks reasoning that it leaves inside the text. Only in the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ThinkArg {
    /// It does not: tags are text.
    Plain,
    /// Between `<think>` and `</think>`, both written by the model.
    Tagged,
    /// Up to `</think>`: the template had opened the tag.
    Opened,
}

impl From<ThinkArg> for trajectory::event::ThinkTags {
    fn from(think: ThinkArg) -> Self {
        match think {
            ThinkArg::Plain => Self::Plain,
            ThinkArg::Tagged => Self::Tagged,
            ThinkArg::Opened => Self::Opened,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ApprovalArg {
    /// Refuse whatever writes or executes.
    ReadOnly,
    /// Ask first; without a terminal, deny and say so.
    Ask,
    /// Allow what stays in the workspace policy.
    Auto,
    /// Never ask.
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SandboxArg {
    /// The strongest isolation the machine allows.
    Auto,
    /// None: commands run as you.
    Off,
}
