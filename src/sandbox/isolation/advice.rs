//! Why a tier does not work on a machine, and what its owner can do about it.

use std::fs;

use super::{Tier, Untried};

const APPARMOR: &str = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";
const CLONE: &str = "/proc/sys/kernel/unprivileged_userns_clone";
const COUNT: &str = "/proc/sys/user/max_user_namespaces";

/// The fix for a tier, where somebody knows one.
pub(super) fn fix(untried: &Untried) -> Option<&'static str> {
    let holds =
        |path: &str, value: &str| fs::read_to_string(path).is_ok_and(|text| text.trim() == value);
    match untried.tier {
        Tier::Namespaces if holds(COUNT, "0") => {
            Some("User namespaces are switched off: sysctl user.max_user_namespaces=15000.")
        }
        Tier::Namespaces if holds(CLONE, "0") => Some(
            "The kernel lets only root make user namespaces: sysctl \
             kernel.unprivileged_userns_clone=1.",
        ),
        Tier::Namespaces if holds(APPARMOR, "1") => Some(
            "AppArmor lets only named programs make user namespaces: limn doctor --apparmor | sudo \
             tee /etc/apparmor.d/limn && sudo apparmor_parser -r /etc/apparmor.d/limn.",
        ),
        Tier::Namespaces if is_in_container() => Some(
            "A container keeps its programs from making namespaces: start it with \
             --security-opt seccomp=unconfined and --security-opt systempaths=unconfined, or run \
             limn outside of it.",
        ),
        Tier::Bwrap if untried.reason.contains("not found") => {
            Some("Install bubblewrap with the system's package manager.")
        }
        Tier::Landlock => Some(
            "Landlock needs Linux 6.2 or newer, built with CONFIG_SECURITY_LANDLOCK and named in \
             the kernel's lsm= parameter.",
        ),
        _ => None,
    }
}

fn is_in_container() -> bool {
    ["/.dockerenv", "/run/.containerenv"].iter().any(|path| fs::exists(path).unwrap_or(false))
}
