//! What can be typed after `limn serve`.

use std::path::PathBuf;

use clap::Args;

use super::{DeviceArg, PrecisionArg};

/// Serve a model of this machine: a run of `limn train`, a model's folder, or a GGUF file, by an API
/// that is compatible with OpenAI's. Ctrl-c ends it.
#[derive(Debug, Args)]
#[command(after_help = "A key is wanted of clients when it is in a file (--key-file) or in \
    LIMN_SERVE_KEY, and has to be there for any --host but this machine. A run with an adapter \
    serves two models: the run's, and the one that it was made of.\n\nExit codes: 0 it was ended, 1 it failed, 2 usage.\n\nExample:\n  \
    limn serve runs/one --port 8080\n  limn --base-url http://127.0.0.1:8080/v1 --model one")]
pub(crate) struct ServeArgs {
    /// The run, the model's folder or the .gguf file; or `local:RUN`, a name of `limn models`.
    pub(crate) target: PathBuf,
    /// Serve the adapter of another run of the same model too, under this name; may be repeated.
    #[arg(long = "adapter", value_name = "NAME=RUN")]
    pub(crate) adapters: Vec<String>,
    /// The address to listen at: 127.0.0.1 unless told.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) host: Option<String>,
    /// The port: 8080 unless told; 0 takes a free one.
    #[arg(long, value_name = "N")]
    pub(crate) port: Option<u16>,
    /// The file with the key that clients have to send.
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// A chat template in the place of the model's own: a file, or `chatml-tools` or
    /// `deepseek-tools`.
    #[arg(long, value_name = "FILE")]
    pub(crate) template: Option<PathBuf>,
    /// Tokens that fit into a request and its reply; otherwise as many as the model was made for,
    /// 32,768 at most.
    #[arg(long, value_name = "N")]
    pub(crate) context: Option<usize>,
    /// Requests that are answered at once; others wait.
    #[arg(long, value_name = "N")]
    pub(crate) slots: Option<usize>,
    /// In what the model is computed.
    #[arg(long, value_enum)]
    pub(crate) precision: Option<PrecisionArg>,
    /// What computes.
    #[arg(long, value_enum)]
    pub(crate) device: Option<DeviceArg>,
    /// On a GPU, ask for each small thing of a step anew instead of replaying a CUDA graph.
    #[arg(long)]
    pub(crate) no_graphs: bool,
    /// The model's name; otherwise that of its folder.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Say as a line of JSON on stdout where it answers, once it does.
    #[arg(long)]
    pub(crate) json: bool,
    /// End when stdin does: with the program that started it.
    #[arg(long)]
    pub(crate) until_stdin_ends: bool,
}
