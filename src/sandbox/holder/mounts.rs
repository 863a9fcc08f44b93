//! The file system as commands see it: made inside the holder's own mount namespace.
//!
//! The machine's file system stays where it is and becomes read-only as a whole, without the rights
//! of set-user-id programs; then folders are covered, and what is to be seen of them is laid on top
//! again. There is no new root: what is covered can be uncovered only by unmounting, which nobody
//! inside may do, and the paths are those of the machine, so that what a compiler writes into its
//! output is true outside as well. Nothing is ever created on the machine for it: a mount point is
//! either there or lies in memory.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::CWD;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount,
    mount_change, move_mount, open_tree, unmount,
};

use super::failure::{Doing, Failure};
use super::plan::{Bounds, Mount};

const READ_ONLY: u64 = 0x1;
const NO_SET_USER_ID: u64 = 0x2;
const NO_DEVICES: u64 = 0x4;
const NO_PROGRAMS: u64 = 0x8;

/// The devices that programs need.
const DEVICES: &[&str] = &["full", "null", "random", "tty", "urandom", "zero"];

/// Links that programs expect beside them.
const LINKS: &[(&str, &str)] = &[
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
];

/// Parts of `/proc` that belong to the machine: as real root, their files would let themselves be
/// written without any capability.
const MACHINE: &[&str] = &["sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "scsi"];

/// What is in memory needs room for itself.
const LEAST_BYTES: u64 = 64 * 1024;

/// Numbers of processes that the kernel gives only once.
const RESERVED_NUMBERS: u64 = 300;
/// The kernel has no more.
const PROCESS_NUMBERS_MAX: u64 = 4 * 1024 * 1024;

/// A step whose source has been taken hold of, while it could still be seen.
enum Held<'a> {
    Plain(&'a Mount),
    Tree(&'a Path, OwnedFd),
    Devices(Vec<(&'static str, OwnedFd)>),
}

/// Follows the plan.
pub(super) fn set_up(mounts: &[Mount], bounds: &Bounds) -> Result<(), Failure> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .doing("keep mounts from spreading")?;
    rustix::process::chdir("/").doing("go to /")?;
    let held = mounts.iter().map(hold).collect::<Result<Vec<_>, _>>()?;
    set_attributes(CWD, "/", READ_ONLY | NO_SET_USER_ID).doing("make / read-only")?;
    let mut covers = covers(mounts)?.into_iter();
    let mut cover = || covers.next().ok_or_else(|| Failure::new("a cover is missing"));
    for step in held {
        match step {
            Held::Tree(at, tree) => lay(&tree, at)?,
            Held::Devices(devices) => make_devices(&devices, &cover()?)?,
            Held::Plain(Mount::Processes) => make_processes(bounds)?,
            Held::Plain(Mount::Empty { at, .. }) => {
                let (at, doing) = (Path::new(at), format!("cover {}", show(at)));
                make_folder(at).doing(&doing)?;
                attach(&cover()?, at).doing(&doing)?;
            }
            Held::Plain(Mount::Hide { at }) => {
                let cover = cover()?;
                if fs::symlink_metadata(at).is_ok() {
                    attach(&cover, Path::new(at)).doing(&format!("hide {}", show(at)))?;
                }
            }
            Held::Plain(_) => return Err(Failure::new("a step of the plan makes no sense")),
        }
    }
    Ok(())
}

fn show(path: &OsStr) -> String {
    path.display().to_string()
}

/// Takes hold of what a step shows.
fn hold(step: &Mount) -> Result<Held<'_>, Failure> {
    match step {
        Mount::Show { at, writable } => {
            let doing = format!("show {}", show(at));
            let tree = clone(Path::new(at)).doing(&doing)?;
            let attributes = if *writable { 0 } else { READ_ONLY };
            set_attributes(&tree, "", attributes | NO_SET_USER_ID | NO_DEVICES).doing(&doing)?;
            Ok(Held::Tree(Path::new(at), tree))
        }
        Mount::Devices { .. } => DEVICES
            .iter()
            .map(|name| {
                let path = Path::new("/dev").join(name);
                Ok((*name, clone(&path).doing(&format!("show {}", path.display()))?))
            })
            .collect::<Result<_, _>>()
            .map(Held::Devices),
        plain => Ok(Held::Plain(plain)),
    }
}

/// A copy of the mounts at and below a path, which is nowhere yet.
fn clone(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    open_tree(CWD, path, flags)
}

fn attach(tree: &OwnedFd, at: &Path) -> rustix::io::Result<()> {
    move_mount(tree, "", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

/// Lays something at a path, which is made if it lies in memory.
fn lay(tree: &OwnedFd, at: &Path) -> Result<(), Failure> {
    let doing = format!("show {}", at.display());
    let is_folder = rustix::fs::fstat(tree)
        .map(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir())
        .doing(&doing)?;
    if is_folder {
        make_folder(at).doing(&doing)?;
    } else if fs::symlink_metadata(at).is_err() {
        make_folder(at.parent().unwrap_or(at)).doing(&doing)?;
        make_file(at).doing(&doing)?;
    }
    attach(tree, at).doing(&doing)
}

fn make_folder(at: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(at)
}

fn make_file(at: &Path) -> io::Result<()> {
    File::options().write(true).create_new(true).mode(0o444).open(at).map(drop)
}

fn mount_memory(at: &Path, options: &str) -> io::Result<()> {
    let options = std::ffi::CString::new(options)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    Ok(mount(c"tmpfs", at, c"tmpfs", flags, options.as_c_str())?)
}

/// What is laid over paths in the order of the plan: empty folders, and what cannot be opened.
/// All of it lies in one file system in memory, so that one size bounds everything together.
fn covers(mounts: &[Mount]) -> Result<Vec<OwnedFd>, Failure> {
    const DOING: &str = "make what covers folders";
    let sizes = mounts.iter().filter_map(|step| match step {
        Mount::Empty { bytes, .. } | Mount::Devices { bytes } => Some(*bytes),
        _ => None,
    });
    let bytes = sizes.max().unwrap_or(0).max(LEAST_BYTES);
    // It is uncovered again, and covered for good later.
    let place = Path::new("/dev");
    mount_memory(place, &format!("size={bytes},mode=0700")).doing(DOING)?;
    let (file, folder) = (place.join("file"), place.join("folder"));
    make_file(&file).doing(DOING)?;
    make_folder(&folder).doing(DOING)?;
    for path in [&file, &folder] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o000)).doing(DOING)?;
    }
    let mut covers = Vec::new();
    for (index, step) in mounts.iter().enumerate() {
        let empty = |mode| {
            let path = place.join(index.to_string());
            make_folder(&path).doing(DOING)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).doing(DOING)?;
            clone(&path).doing(DOING)
        };
        covers.push(match step {
            Mount::Empty { at, .. } if at == "/tmp" || at == "/var/tmp" => empty(0o1777)?,
            Mount::Empty { .. } => empty(0o755)?,
            // Shared memory.
            Mount::Devices { .. } => empty(0o1777)?,
            Mount::Hide { at } => {
                let mask = clone(if Path::new(at).is_dir() { &folder } else { &file });
                let mask = mask.doing(DOING)?;
                set_attributes(&mask, "", READ_ONLY | NO_SET_USER_ID | NO_DEVICES).doing(DOING)?;
                mask
            }
            Mount::Show { .. } | Mount::Processes => continue,
        });
    }
    unmount(place, UnmountFlags::DETACH).doing(DOING)?;
    Ok(covers)
}

fn make_devices(devices: &[(&str, OwnedFd)], shared: &OwnedFd) -> Result<(), Failure> {
    const DOING: &str = "make /dev";
    let folder = Path::new("/dev");
    mount_memory(folder, "size=64k,mode=0755").doing(DOING)?;
    for (name, device) in devices {
        let at = folder.join(name);
        make_file(&at).doing(DOING)?;
        attach(device, &at).doing(DOING)?;
    }
    for (to, name) in LINKS {
        symlink(to, folder.join(name)).doing(DOING)?;
    }
    make_folder(&folder.join("shm")).doing(DOING)?;
    make_folder(&folder.join("pts")).doing(DOING)?;
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    let options = c"newinstance,ptmxmode=0666,mode=0620";
    mount(c"devpts", "/dev/pts", c"devpts", flags, options).doing("make /dev/pts")?;
    attach(shared, &folder.join("shm")).doing(DOING)
}

fn make_processes(bounds: &Bounds) -> Result<(), Failure> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount(c"proc", "/proc", c"proc", flags, None).doing("make /proc")?;
    if let Some(processes) = bounds.processes {
        // Where the kernel has one for each process namespace (6.14), it bounds also those of real
        // root, whom no limit of resources binds. Elsewhere it may not be written.
        let most = processes.saturating_add(RESERVED_NUMBERS).min(PROCESS_NUMBERS_MAX);
        let _ = fs::write("/proc/sys/kernel/pid_max", most.to_string());
    }
    for name in MACHINE {
        let at = Path::new("/proc").join(name);
        if at.exists() {
            let doing = format!("make {} read-only", at.display());
            let tree = clone(&at).doing(&doing)?;
            let attributes = READ_ONLY | NO_SET_USER_ID | NO_DEVICES | NO_PROGRAMS;
            set_attributes(&tree, "", attributes).doing(&doing)?;
            attach(&tree, &at).doing(&doing)?;
        }
    }
    Ok(())
}

/// Sets attributes of the mount at a path and of all below it.
fn set_attributes(folder: impl AsFd, path: &str, set: u64) -> io::Result<()> {
    #[repr(C)]
    struct Attributes {
        set: u64,
        clear: u64,
        propagation: u64,
        user_namespace: u64,
    }
    const RECURSIVE: libc::c_int = 0x8000;
    let attributes = Attributes { set, clear: 0, propagation: 0, user_namespace: 0 };
    let path = std::ffi::CString::new(path)?;
    #[allow(unsafe_code, reason = "a system call that no library wraps")]
    // SAFETY: the path and the attributes are ours and outlive the call, which reads them only,
    // and the size is that of the attributes.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            folder.as_fd().as_raw_fd(),
            path.as_ptr(),
            RECURSIVE | libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<Attributes>(),
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
