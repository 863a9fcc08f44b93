//! `limn trust`: what a workspace's own settings ask for, and whether they get it.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::args::TrustArgs;
use crate::error::{CliError, CliResult, Exit};
use crate::print::{Out, note, safe_line};
use crate::settings::{self, Entry, Found, Trusted, WORKSPACE_FILE, workspace_file};

pub(crate) fn run(args: &TrustArgs) -> CliResult {
    let home = settings::home()?;
    let trusted = Trusted::read(&home)?;
    if args.list {
        return list(args, &trusted);
    }
    let path = args.path.clone().unwrap_or_else(|| PathBuf::from("."));
    if args.revoke {
        return revoke(args, trusted, &path);
    }
    let workspace = path.canonicalize().map_err(|error| {
        CliError::usage(format!("Cannot open {}: {error}. Name a folder.", path.display()))
    })?;
    trust(args, trusted, &workspace)
}

fn trust(args: &TrustArgs, mut trusted: Trusted, workspace: &Path) -> CliResult {
    let Some(found) = workspace_file(workspace)? else {
        return Err(CliError::usage(format!(
            "{} has no {WORKSPACE_FILE}, so there is nothing to trust.",
            workspace.display()
        )));
    };
    let already = trusted.is_trusted(workspace, &found.digest);
    if !args.json {
        show(workspace, &found);
    }
    let given = !found.asks.is_empty() && (already || args.yes || agreed(args)?);
    if given && !already {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        trusted.add(Entry {
            workspace: workspace.to_owned(),
            blake3: found.digest.clone(),
            at_s: now.as_secs(),
        })?;
    }
    if args.json {
        let asks: Vec<_> =
            found.asks.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
        Out::new().json(&json!({
            "workspace": workspace, "blake3": found.digest, "asks": asks, "trusted": given,
        }));
    } else if already {
        note("It is trusted as it is now.");
    } else if given {
        note("Trusted, until it changes.");
    }
    let refused = !found.asks.is_empty() && !given;
    if refused && !args.json {
        note("Not trusted. Pass --yes to trust it as it is now.");
    }
    Ok(if refused { Exit::Failed } else { Exit::Completed })
}

fn show(workspace: &Path, found: &Found) {
    let place = workspace.join(WORKSPACE_FILE);
    if found.asks.is_empty() {
        note(&format!(
            "{} only makes things stricter: it needs no trust.",
            safe_line(&place.display().to_string())
        ));
        return;
    }
    let mut out = Out::new();
    out.line(&format!("{} asks for:", safe_line(&place.display().to_string())));
    for (key, value) in &found.asks {
        out.line(&format!("  {:<22} {}", safe_line(key), safe_line(value)));
    }
}

/// Whether the user says yes; without a terminal nobody can.
fn agreed(args: &TrustArgs) -> Result<bool, CliError> {
    if args.json || !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    note("Trust it, until it changes? [y/N]");
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| CliError::failed(format!("Cannot read the answer: {error}.")))?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

fn revoke(args: &TrustArgs, mut trusted: Trusted, path: &Path) -> CliResult {
    // The folder may be gone; its name is enough.
    let workspace =
        path.canonicalize().or_else(|_| std::path::absolute(path)).map_err(|error| {
            CliError::usage(format!("Cannot name {}: {error}. Name a folder.", path.display()))
        })?;
    let revoked = trusted.revoke(&workspace)?;
    if args.json {
        Out::new().json(&json!({ "workspace": workspace, "revoked": revoked }));
    } else if revoked {
        note(&format!("{} is trusted no more.", safe_line(&workspace.display().to_string())));
    } else {
        note(&format!("{} was not trusted.", safe_line(&workspace.display().to_string())));
    }
    Ok(Exit::Completed)
}

fn list(args: &TrustArgs, trusted: &Trusted) -> CliResult {
    let mut out = Out::new();
    for entry in trusted.entries() {
        let now = workspace_file(&entry.workspace);
        let state = match now {
            Ok(Some(found)) if found.digest == entry.blake3 => "trusted",
            Ok(Some(_)) | Err(_) => "changed",
            Ok(None) => "gone",
        };
        if args.json {
            out.json(&json!({
                "workspace": entry.workspace, "blake3": entry.blake3, "at_s": entry.at_s,
                "state": state,
            }));
        } else {
            let shown = safe_line(&entry.workspace.display().to_string());
            out.line(&format!("{state:<8} {shown}"));
        }
    }
    Ok(Exit::Completed)
}
