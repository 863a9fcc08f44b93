//! `limn-train serve`: a model, or what came of a run, behind an OpenAI-compatible endpoint.
//!
//! Here it is found what is served, whether memory does for it, and the engine is made; texts, tools
//! and HTTP are `serving`'s.

mod open;
mod options;

#[cfg(test)]
mod tests;

use std::env::VarError;
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;

use secrecy::SecretString;
use serving::{Listen, Model, Ready, ServeError, Server};
use tch::{Device, Kind};
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use training::plan::{Machine, free_bytes, gib};
use training::shape::ModelShape;

use crate::decoder::{Cache, Decoder};
use crate::engine::TorchEngine;
use crate::error::TrainError;
use crate::machine;
use crate::method::beside;
use crate::torch::{Cuda, Kernels};

use open::Opened;
use options::Options;

pub(crate) use options::USAGE;

/// Where the key is when no file is named.
const KEY_VARIABLE: &str = "LIMN_SERVE_KEY";

/// No key is longer.
const KEY_BYTES_MAX: u64 = 4 << 10;

/// Tokens of a text where nobody says: what fits into most machines.
const CONTEXT: usize = 32_768;

/// Why nothing is served.
#[derive(Debug, Error)]
enum Failed {
    #[error(transparent)]
    Train(TrainError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// It is asked for what cannot be.
    #[error("{0}")]
    Refused(String),
}

impl From<TrainError> for Failed {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::OutOfMemory(what) => Self::Refused(format!(
                "The memory of the device is full: {what}. Serve with a smaller --context or fewer --slots."
            )),
            other => Self::Train(other),
        }
    }
}

/// Serves what the words after `serve` ask for, until it is told to end. Exit code 1 is a failure, 2
/// a command line that is none, or that would let others ask without a key.
pub(crate) fn serve(words: impl Iterator<Item = OsString>, cuda: &Cuda) -> ExitCode {
    match attempt(words, cuda) {
        Ok(()) => ExitCode::SUCCESS,
        Err((text, code)) => {
            // Whoever started this may be gone; then nobody reads it.
            let _ = writeln!(std::io::stderr(), "error: {text}");
            ExitCode::from(code)
        }
    }
}

fn attempt(words: impl Iterator<Item = OsString>, cuda: &Cuda) -> Result<(), (String, u8)> {
    let options = Options::read(words).map_err(|why| (format!("{why}\n\n{USAGE}"), 2))?;
    run(&options, cuda).map_err(|error| {
        let is_usage = matches!(error, Failed::Serve(ServeError::KeyNeeded(_)));
        (error.to_string(), if is_usage { 2 } else { 1 })
    })
}

fn run(options: &Options, cuda: &Cuda) -> Result<(), Failed> {
    let end = end(options.until_stdin_ends);
    // What can be refused at once is, before a model is read.
    let key = key(options.key_file.as_deref())?;
    let is_open = options.host.parse().is_ok_and(|address: IpAddr| !address.is_loopback());
    if is_open && key.is_none() {
        return Err(ServeError::KeyNeeded(options.host.clone()).into());
    }
    let opened = Opened::new(options)?;
    let shape = opened.weights.shape().clone();
    let room = (options.slots, context(options.context, &shape)?);
    let models = opened.models.iter();
    let models = models.map(|(name, variant)| Model { name: name.clone(), variant: *variant });
    let mut server =
        Server::open(&opened.spoken, opened.template.as_deref())?.with_models(models.collect());
    if let Some(key) = key {
        server = server.with_key(key);
    }
    let (device, machine) = machine::choose(options.device, cuda)?;
    let kind = machine::kind(options.precision.unwrap_or_else(|| machine.precision()));
    let mut notices = opened.notices.clone();
    notices.push(memory(&shape, kind, room, &machine)?);
    Kernels { varied: true, ..Kernels::default() }.apply()?;
    // What was mapped to be read goes with the thread that reads it.
    let graphs = options.graphs;
    let (engine, notice) = apart(move || engine(&opened, kind, device, room, graphs))?;
    notices.extend(notice);
    let listen = Listen { host: options.host.clone(), port: options.port };
    let ready = |ready: &Ready| say(ready, &notices, options.json);
    serving::serve(server, Box::new(engine), &listen, ready, end)?;
    Ok(())
}

/// The key of the file, or of the variable; of neither, there is none.
fn key(file: Option<&Path>) -> Result<Option<SecretString>, Failed> {
    let Some(file) = file else {
        return match std::env::var(KEY_VARIABLE) {
            Ok(key) => Ok(Some(SecretString::from(key))),
            Err(VarError::NotPresent) => Ok(None),
            Err(VarError::NotUnicode(_)) => Err(Failed::Refused(format!(
                "The key in {KEY_VARIABLE} is not text, and a header could not hold it. Choose one \
                 of letters and digits."
            ))),
        };
    };
    let mut text = String::new();
    let most = KEY_BYTES_MAX + 1;
    let read = File::open(file).and_then(|it| it.take(most).read_to_string(&mut text));
    match read {
        Ok(length) if length as u64 > KEY_BYTES_MAX => Err(Failed::Refused(format!(
            "{} has more than {KEY_BYTES_MAX} bytes, which is no key. Name a file with a key in it.",
            file.display()
        ))),
        Ok(_) => Ok(Some(SecretString::from(text.trim()))),
        Err(error) => {
            let file = file.display();
            Err(Failed::Refused(format!(
                "Cannot read {file}: {error}. Name a file with a key in it."
            )))
        }
    }
}

/// Says that it serves: an object in a line, or a sentence.
fn say(ready: &Ready, notices: &[String], as_json: bool) {
    let notices: Vec<String> = notices.iter().chain(&ready.notices).cloned().collect();
    let text = if as_json {
        let ready = Ready { notices, ..ready.clone() };
        let mut said = serde_json::json!(ready);
        said["type"] = "serving".into();
        format!("{said}\n")
    } else {
        let notices: String = notices.iter().map(|notice| format!("{notice}\n")).collect();
        let models = ready.models.join(", ");
        format!("{notices}Serving {models} at {}; ctrl-c ends it.\n", ready.url)
    };
    // Who does not listen is served all the same.
    let _ = if as_json {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush())
    } else {
        std::io::stderr().write_all(text.as_bytes())
    };
}

/// Over when the server is to end: at a signal, and with its input where that is asked for.
fn end(until_stdin_ends: bool) -> impl Future<Output = ()> {
    let (ended, input_ended) = oneshot::channel::<()>();
    // Begins before a model is read: what ends meanwhile ends the server as soon as it is.
    if until_stdin_ends {
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
            let _ = ended.send(());
        });
    }
    async move {
        let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
        let input = async {
            // Without a thread there is no input to end.
            if until_stdin_ends { drop(input_ended.await) } else { std::future::pending().await }
        };
        match signals {
            (Ok(mut terminate), Ok(mut interrupt)) => tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                () = input => {}
            },
            // Without handlers the process dies of a signal.
            _ => input.await,
        }
    }
}

/// The tokens that a text may have.
fn context(asked: Option<usize>, shape: &ModelShape) -> Result<usize, Failed> {
    match asked {
        None => Ok(shape.max_position.min(CONTEXT)),
        Some(tokens) if tokens <= shape.max_position => Ok(tokens),
        Some(tokens) => Err(Failed::Refused(format!(
            "--context is {tokens}, and the model was made for texts of {} tokens. Name no more.",
            shape.max_position
        ))),
    }
}

/// What memory is needed, as a notice. A GPU that does not have it is not begun with; of a
/// processor's memory what is written is taken, and texts need not become as long as they may. When
/// they do, it is they that end ([`TorchEngine::stay_within`]).
fn memory(
    shape: &ModelShape,
    kind: Kind,
    (slots, context): (usize, usize),
    machine: &Machine,
) -> Result<String, Failed> {
    let weights = shape.parameters() * kind.elt_size_in_bytes() as u64;
    let texts = Cache::bytes(shape, kind, slots, context);
    let told = format!(
        "The keys and values of {slots} texts of {context} tokens take {} when all are full, beside {} of weights",
        gib(texts),
        gib(weights)
    );
    match machine.lacks(weights.saturating_add(texts), 0) {
        None => Ok(format!("{told}.")),
        Some(_) if !machine.has_host_apart() => {
            Ok(format!("{told}; {} are free.", gib(machine.device_bytes)))
        }
        Some(_) => Err(Failed::Refused(format!(
            "{told}, and {} are free. Serve with a smaller --context or fewer --slots.",
            gib(machine.device_bytes)
        ))),
    }
}

/// Does something on a thread of its own, with which those that helped it end. Threads of OpenMP
/// that nobody will use again are counted all the same, and where there are more of them than cores,
/// those in use go to sleep between any two operations: eight texts had a fifth fewer tokens a second.
fn apart<T: Send>(work: impl FnOnce() -> Result<T, Failed> + Send) -> Result<T, Failed> {
    let done = std::thread::scope(|scope| scope.spawn(work).join());
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Reads the weights, and takes the memory. Where a GPU computes it is said how.
fn engine(
    opened: &Opened,
    kind: Kind,
    device: Device,
    (slots, context): (usize, usize),
    graphs: bool,
) -> Result<(TorchEngine, Option<String>), Failed> {
    let decoder = Decoder::new(&opened.weights, kind, device)?;
    let adapters = opened.adapters.iter().map(|adapter| beside(&decoder, adapter));
    let adapters = adapters.collect::<crate::Result<_>>()?;
    let mut engine = TorchEngine::new(decoder, adapters, slots, context)?;
    if !device.is_cuda() {
        engine.stay_within(free_bytes);
        return Ok((engine, None));
    }
    let notice = match engine.take_steps(graphs)? {
        Ok(()) => "Single tokens are computed by CUDA graphs.".to_owned(),
        Err(why) => format!("Single tokens are computed without CUDA graphs: {why}."),
    };
    Ok((engine, Some(notice)))
}
