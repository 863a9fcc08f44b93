//! The half of libtorch that computes on a GPU, found at run time.
//!
//! The binary is linked against the processor's half alone. Where `libtorch_cuda.so` lies beside the
//! `libc10.so` that was loaded (in the folder of a Python's torch, named by `LD_LIBRARY_PATH`), it is
//! loaded too, before anything asks libtorch for a GPU: the first question is answered once and for
//! all.

use std::ffi::{CStr, CString, OsStr, c_void};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// What came of looking for the half that computes on a GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cuda {
    /// It is loaded, from this file.
    Loaded(PathBuf),
    /// There is none beside the libtorch in this folder.
    Absent(PathBuf),
    /// It is there and cannot be loaded, and why.
    Broken(String),
}

/// Loads the CUDA half of libtorch if it is there. To be called first thing in `main`.
#[must_use]
pub fn load_cuda() -> Cuda {
    let Some(folder) = libtorch_folder() else {
        return Cuda::Broken("the folder of libc10.so is not known".to_owned());
    };
    let library = folder.join("libtorch_cuda.so");
    if !library.is_file() {
        return Cuda::Absent(folder);
    }
    match open(&library) {
        Ok(()) => Cuda::Loaded(library),
        Err(why) => Cuda::Broken(why),
    }
}

/// Where the libc10 lies that runs.
#[allow(unsafe_code, reason = "asking the dynamic linker")]
fn libtorch_folder() -> Option<PathBuf> {
    // SAFETY: the name is a C string, and looking a symbol up runs none of it.
    let symbol = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"_ZN3c1015GetCPUAllocatorEv".as_ptr()) };
    if symbol.is_null() {
        return None;
    }
    // SAFETY: all zeros are a valid Dl_info.
    let mut found: libc::Dl_info = unsafe { std::mem::zeroed() };
    // SAFETY: the symbol is an address in a loaded library, and `found` outlives the call.
    if unsafe { libc::dladdr(symbol.cast_const(), &raw mut found) } == 0 {
        return None;
    }
    // SAFETY: dladdr succeeded, so the name is a C string that lives as long as the library.
    let name = unsafe { CStr::from_ptr(found.dli_fname) };
    let path = Path::new(OsStr::from_bytes(name.to_bytes())).canonicalize().ok()?;
    path.parent().map(Path::to_owned)
}

/// Loads a library for good, its symbols for everyone.
#[allow(unsafe_code, reason = "loading a library")]
fn open(library: &Path) -> Result<(), String> {
    let path = CString::new(library.as_os_str().to_owned().into_vec())
        .map_err(|_| "its path holds a NUL".to_owned())?;
    // SAFETY: the path is a C string; what the library does when it is loaded is registering its
    // kernels, as in every Python that imports torch.
    let handle: *mut c_void =
        unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    if !handle.is_null() {
        return Ok(());
    }
    // SAFETY: dlerror gives a C string, or NULL when nothing failed, which is not so here.
    let why = unsafe { libc::dlerror() };
    if why.is_null() {
        return Err("the dynamic linker does not say why".to_owned());
    }
    // SAFETY: as above; it lives until the next call of the dynamic linker on this thread.
    Err(unsafe { CStr::from_ptr(why) }.to_string_lossy().into_owned())
}
