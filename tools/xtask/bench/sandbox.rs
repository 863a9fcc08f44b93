//! What a command costs in each tier of the sandbox, beside one without any and one in `bwrap`.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Result, bail};
use sandbox::{CommandSpec, Policy, PolicyFile, Sandbox, Surroundings, TerminalSize, Tier};

use super::{Bench, Figure, Unit};
use crate::measure::{Samples, repeat};
use crate::process::target;

/// Commands of which the median is taken.
const COMMANDS: usize = 200;
/// Seconds that a command may take.
const AIM_S: f64 = 0.005;

/// From a spawn of `true` to the last word of its end.
pub(super) fn spawn(bench: &Bench) -> Result<Vec<Figure>> {
    let workspace = target().join("measure").join("sandbox");
    std::fs::create_dir_all(&workspace)?;
    let workspace = workspace.canonicalize()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let plain = plain(&["true"])?;
    let mut figures = vec![Figure::new("sandbox: plain spawn", Unit::Seconds, plain.clone())];
    let words = ["bwrap", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"];
    match self::plain(&[&words[..], &["--unshare-all", "true"]].concat()) {
        Ok(samples) => figures.push(
            Figure::new("sandbox: bwrap … true", Unit::Seconds, samples)
                .against("plain spawn", &plain),
        ),
        Err(error) => println!("no figure for bwrap: {error}"),
    }
    let mut measure = |name: &str, sandbox: &Sandbox| -> Result<()> {
        let samples = repeat(COMMANDS, || runtime.block_on(once(sandbox, &workspace)))?;
        let samples = Samples::of(samples);
        let name = format!("sandbox: {name}");
        let figure = Figure::new(&name, Unit::Seconds, samples).against("plain spawn", &plain);
        figures.push(figure.aim(AIM_S));
        Ok(())
    };
    measure("off, on a terminal", &Sandbox::off())?;
    let mut starts = Vec::new();
    for tier in Tier::ISOLATING {
        let began = Instant::now();
        let sandbox = isolated(bench, &workspace, tier)?;
        starts.push((tier, began.elapsed().as_secs_f64()));
        match sandbox.untried() {
            [] => measure(tier.as_str(), &sandbox)?,
            [why, ..] => println!("no figure for {tier}: {}", why.reason),
        }
    }
    for (tier, first) in starts {
        let mut times = vec![first];
        for _ in 1..bench.reps.max(5) {
            let began = Instant::now();
            isolated(bench, &workspace, tier)?;
            times.push(began.elapsed().as_secs_f64());
        }
        let name = format!("sandbox: begin {tier}");
        figures.push(Figure::new(&name, Unit::Seconds, Samples::of(times)));
    }
    Ok(figures)
}

fn isolated(bench: &Bench, workspace: &Path, tier: Tier) -> Result<Sandbox> {
    let policy = policy(workspace)?;
    #[cfg(target_os = "linux")]
    {
        use sandbox::holder::{HolderProgram, WORD};
        let program = HolderProgram { path: bench.limn.clone(), args: vec![WORD.into()] };
        Ok(Sandbox::with_program(policy, &[tier], &program))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = bench;
        Ok(Sandbox::strongest(policy, &[tier]))
    }
}

fn policy(workspace: &Path) -> Result<Policy> {
    let around = Surroundings {
        workspace: workspace.to_owned(),
        home: std::env::var_os("HOME").map(Into::into),
        ..Surroundings::default()
    };
    PolicyFile::default().policy(&around).map_err(|refusal| anyhow::anyhow!("{refusal}"))
}

/// The same without any of ours.
fn plain(words: &[&str]) -> Result<Samples> {
    let (program, rest) = words.split_first().unwrap_or((&"true", &[]));
    let times = repeat(COMMANDS, || {
        let began = Instant::now();
        let status = Command::new(program).args(rest).stdin(Stdio::null()).status()?;
        if !status.success() {
            bail!("{program} ended with {status}");
        }
        Ok(began.elapsed().as_secs_f64())
    })?;
    Ok(Samples::of(times))
}

async fn once(sandbox: &Sandbox, workspace: &Path) -> Result<f64> {
    let began = Instant::now();
    let running = sandbox.spawn(CommandSpec {
        argv: vec!["true".into()],
        cwd: workspace.to_owned(),
        env: vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())],
        size: TerminalSize::default(),
        timeout: None,
        lingers: false,
        exec: None,
    })?;
    let finished = running.wait().await?;
    if !finished.exit.success() {
        bail!("true ended with {:?}", finished.exit);
    }
    Ok(began.elapsed().as_secs_f64())
}
