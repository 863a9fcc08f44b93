//! macOS: a policy as a profile of its sandbox, which `sandbox-exec` enforces.
//!
//! There are no namespaces and no mounts: one list of rules, of which the last that fits counts.
//! So what is closed comes before what is opened again, and what is never to be reached comes last.
//! The loopback is the machine's own; commands reach on it what limn's proxy listens on and nobody
//! else, and serve nobody there. What is not bounded on macOS, [`docs/sandbox.md`] says.
//!
//! The text is made of a policy alone, by plain code that is tested on every system; whether macOS
//! does what it says has not been tried.
//!
//! [`docs/sandbox.md`]: ../../docs/sandbox.md

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::policy::Policy;

/// What every program needs: to start others, to ask about the machine, to look up users, and a
/// terminal. Terminals of others cannot be opened; a command's own is open when it begins.
const BASE: &str = r#"(version 1)
(deny default)
(allow process-exec)
(allow process-fork)
(allow signal (target same-sandbox))
(allow process-info* (target same-sandbox))
(allow sysctl-read)
(allow ipc-posix-sem)
(allow system-socket (require-all (socket-domain AF_SYSTEM) (socket-protocol 2)))
(allow mach-lookup
  (global-name "com.apple.system.notification_center")
  (global-name "com.apple.system.opendirectoryd.libinfo")
  (global-name "com.apple.system.opendirectoryd.membership")
  (global-name "com.apple.trustd")
  (global-name "com.apple.trustd.agent"))
(allow pseudo-tty)
(allow file-ioctl (literal "/dev/tty") (literal "/dev/ptmx") (regex #"^/dev/ttys[0-9]+$"))
(allow file-read-metadata)
(allow file-read*)
"#;

/// Devices that can be written.
const DEVICES: &[&str] = &["/dev/null", "/dev/ptmx", "/dev/tty", "/dev/zero"];

/// Places where everybody's temporary files lie, with their links resolved.
const PRIVATE: &[&str] = &["/private/tmp", "/private/var/folders", "/private/var/tmp"];

/// Devices that can only be read.
const READ_DEVICES: &[&str] = &["/dev/fd", "/dev/random", "/dev/stdin", "/dev/urandom"];

/// The profile of a policy, in which `private` stands for `/tmp` and this port on the loopback leads
/// to the proxy, where there is one.
///
/// # Errors
/// When a path cannot be written down, as a sentence without its full stop.
pub(super) fn profile(
    policy: &Policy,
    private: &Path,
    proxy_port: Option<u16>,
) -> Result<String, String> {
    let mut profile = Profile(BASE.to_owned());
    profile.reading(policy, private)?;
    profile.writing(policy, private)?;
    profile.rule("deny file-read* file-write*", "subpath", all(&policy.hidden))?;
    // A shared folder of sockets is the private one: in the workspace the user's may lie.
    profile.rule("allow network*", "subpath", [private])?;
    profile.rule("allow network-outbound", "literal", all(&policy.sockets))?;
    if let Some(port) = proxy_port {
        let _ = writeln!(profile.0, "(allow network-outbound (remote ip \"localhost:{port}\"))");
    }
    Ok(profile.0)
}

fn all(paths: &[PathBuf]) -> impl Iterator<Item = &Path> + Clone {
    paths.iter().map(PathBuf::as_path)
}

fn constant<'a>(paths: &'static [&'static str]) -> impl Iterator<Item = &'a Path> {
    paths.iter().map(Path::new)
}

/// A profile while it is written.
struct Profile(String);

impl Profile {
    /// A rule for these paths; one for none would be one for all, and is left out.
    fn rule<'a>(
        &mut self,
        head: &str,
        kind: &str,
        paths: impl IntoIterator<Item = &'a Path>,
    ) -> Result<(), String> {
        let mut filters = String::new();
        for path in paths {
            let _ = write!(filters, "\n  ({kind} {})", quoted(path)?);
        }
        if !filters.is_empty() {
            let _ = writeln!(self.0, "({head}{filters})");
        }
        Ok(())
    }

    fn reading(&mut self, policy: &Policy, private: &Path) -> Result<(), String> {
        let closed = all(&policy.closed).chain(constant(PRIVATE)).chain(constant(&["/dev"]));
        self.rule("deny file-read*", "subpath", closed)?;
        let shown = all(&policy.readable).chain(all(&policy.writable)).chain(all(&policy.git));
        let shown = shown.chain([policy.workspace.as_path(), private]);
        self.rule("allow file-read*", "subpath", shown.clone())?;
        // Programs ask for each folder on the way.
        let above: BTreeSet<&Path> = shown.flat_map(|path| path.ancestors().skip(1)).collect();
        self.rule("allow file-read-metadata", "literal", above)?;
        self.rule("allow file-read*", "subpath", constant(DEVICES).chain(constant(READ_DEVICES)))
    }

    fn writing(&mut self, policy: &Policy, private: &Path) -> Result<(), String> {
        let workspace = policy.workspace_writable.then_some(policy.workspace.as_path());
        let written = all(&policy.writable).chain(all(&policy.git)).chain(workspace);
        self.rule("allow file-write*", "subpath", written.clone().chain([private]))?;
        self.rule("allow file-write*", "literal", constant(DEVICES))?;
        // Whoever moves the folder away in which something stays as it is could put another there,
        // and what is hidden would be seen where it was moved to.
        let kept = all(&policy.frozen).chain(all(&policy.hidden));
        let folders = kept.flat_map(|path| path.ancestors().skip(1));
        let inside = folders.filter(|path| written.clone().any(|root| path.starts_with(root)));
        self.rule("deny file-write-unlink", "literal", inside.collect::<BTreeSet<_>>())?;
        self.rule("deny file-write*", "subpath", all(&policy.frozen))?;
        self.0.push_str("(deny file-write-setugid)\n");
        Ok(())
    }
}

/// A path as the profile spells it.
fn quoted(path: &Path) -> Result<String, String> {
    let plain = path.to_str().filter(|text| !text.chars().any(char::is_control));
    let plain = plain.ok_or_else(|| format!("a profile cannot name the path {path:?}"))?;
    Ok(format!("\"{}\"", plain.replace('\\', "\\\\").replace('"', "\\\"")))
}

#[cfg(test)]
mod tests;
