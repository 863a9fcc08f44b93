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

/// Numbers of processes that the kernel gives only once.
const RESERVED_NUMBERS: u64 = 300;
/// The kernel has no more.
const PROCESS_NUMBERS_MAX: u64 = 4 * 1024 * 1024;

/// A step whose source has been taken hold of, while it could still be seen.
enum Held<'a> {
    Plain(&'a Mount),
    Tree(&'a Path, OwnedFd),
    Devices(Vec<(&'static str, OwnedFd)>, u64),
}

/// Follows the plan.
pub(super) fn set_up(mounts: &[Mount], bounds: &Bounds) -> Result<(), Failure> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .doing("keep mounts from spreading")?;
    rustix::process::chdir("/").doing("go to /")?;
    let held = mounts.iter().map(hold).collect::<Result<Vec<_>, _>>()?;
    set_attributes(CWD, "/", READ_ONLY | NO_SET_USER_ID).doing("make / read-only")?;
    let masks = masks(mounts)?;
    let mut masks = masks.into_iter();
    for step in held {
        match step {
            Held::Tree(at, tree) => lay(&tree, at)?,
            Held::Devices(devices, bytes) => make_devices(&devices, bytes)?,
            Held::Plain(Mount::Processes) => make_processes(bounds)?,
            Held::Plain(Mount::Empty { at, bytes }) => make_empty(Path::new(at), *bytes)?,
            Held::Plain(Mount::Hide { at }) => {
                let mask = masks.next().ok_or_else(|| Failure::new("a mask is missing"))?;
                if fs::symlink_metadata(at).is_ok() {
                    attach(&mask, Path::new(at)).doing(&format!("hide {}", show(at)))?;
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
        Mount::Devices { bytes } => DEVICES
            .iter()
            .map(|name| {
                let path = Path::new("/dev").join(name);
                Ok((*name, clone(&path).doing(&format!("show {}", path.display()))?))
            })
            .collect::<Result<_, _>>()
            .map(|devices| Held::Devices(devices, *bytes)),
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

fn make_empty(at: &Path, bytes: u64) -> Result<(), Failure> {
    let doing = format!("cover {}", at.display());
    make_folder(at).doing(&doing)?;
    let everybody = ["/tmp", "/var/tmp"].iter().any(|it| at == Path::new(it));
    let mode = if everybody { "1777" } else { "0755" };
    mount_memory(at, &format!("size={bytes},mode={mode}")).doing(&doing)
}

fn mount_memory(at: &Path, options: &str) -> io::Result<()> {
    let options = std::ffi::CString::new(options)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    Ok(mount(c"tmpfs", at, c"tmpfs", flags, options.as_c_str())?)
}

/// What cannot be opened, a file or a folder for each thing that is hidden.
fn masks(mounts: &[Mount]) -> Result<Vec<OwnedFd>, Failure> {
    const DOING: &str = "make what hides files";
    // It is uncovered again, and covered for good later.
    let place = Path::new("/dev");
    mount_memory(place, "size=64k,mode=0700").doing(DOING)?;
    let (file, folder) = (place.join("file"), place.join("folder"));
    make_file(&file).doing(DOING)?;
    make_folder(&folder).doing(DOING)?;
    for path in [&file, &folder] {
        fs::set_permissions(path, fs::Permissions::from_mode(0)).doing(DOING)?;
    }
    let masks = mounts
        .iter()
        .filter_map(|step| if let Mount::Hide { at } = step { Some(Path::new(at)) } else { None })
        .map(|at| {
            let mask = clone(if at.is_dir() { &folder } else { &file }).doing(DOING)?;
            set_attributes(&mask, "", READ_ONLY | NO_SET_USER_ID | NO_DEVICES).doing(DOING)?;
            Ok(mask)
        })
        .collect();
    unmount(place, UnmountFlags::DETACH).doing(DOING)?;
    masks
}

fn make_devices(devices: &[(&str, OwnedFd)], bytes: u64) -> Result<(), Failure> {
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
    mount_memory(&folder.join("shm"), &format!("size={bytes},mode=1777")).doing(DOING)
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
