//! The programs that try, carried in the test itself: who runs it may not be able to read the
//! folder of the sources.

use std::fs;
use std::path::Path;

const PROBES: &[(&str, &str)] = &[
    ("try.py", include_str!("probes/try.py")),
    ("hands.py", include_str!("probes/hands.py")),
    ("files.py", include_str!("probes/files.py")),
    ("kernel.py", include_str!("probes/kernel.py")),
    ("limits.py", include_str!("probes/limits.py")),
    ("network.py", include_str!("probes/network.py")),
    ("processes.py", include_str!("probes/processes.py")),
    ("repository.py", include_str!("probes/repository.py")),
    ("terminal.py", include_str!("probes/terminal.py")),
];

/// What stays outside and listens.
pub const HOST: &str = include_str!("probes/host.py");

pub fn write(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for (name, text) in PROBES {
        fs::write(folder.join(name), text).unwrap();
    }
}
