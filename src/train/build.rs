//! Compiles the shim against the libtorch that `tch` is built with, and says where to find it.
//!
//! The place is written into the binary as a RUNPATH, which `LD_LIBRARY_PATH` comes before: on a
//! machine with a GPU that names the folder of its Python's torch, whose CUDA half is then used.

use std::path::PathBuf;

const SOURCES: [&str; 5] = ["shim.cpp", "blocks.cpp", "few_rows.cpp", "graph.cpp", "leaner.cpp"];

fn main() {
    let beside = ["blocks.hpp", "few_rows.hpp", "guard.hpp"];
    for file in SOURCES.iter().chain(&beside) {
        println!("cargo:rerun-if-changed=torch/{file}");
    }
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    if std::env::var_os("CARGO_FEATURE_TORCH").is_none() {
        return;
    }
    let Some(libtorch) = std::env::var_os("LIBTORCH").map(PathBuf::from) else {
        println!("cargo:warning=LIBTORCH names no folder; `cargo xtask libtorch` lays one");
        return;
    };
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .pic(true)
        // The headers are not ours.
        .flag("-isystem")
        .flag(libtorch.join("include").display().to_string())
        .flag("-isystem")
        .flag(libtorch.join("include/torch/csrc/api/include").display().to_string())
        .flag("-D_GLIBCXX_USE_CXX11_ABI=1")
        .opt_level(3)
        // Without it libtorch's `parallel_for` is no more than a loop.
        .flag("-fopenmp")
        // A product and a sum are one operation where the processor has it.
        .flag("-ffp-contract=fast")
        .files(SOURCES.iter().map(|file| format!("torch/{file}")))
        .compile("limn_shim");
    let place = libtorch.canonicalize().unwrap_or(libtorch).join("lib");
    // The threads of libtorch, and none beside them.
    println!("cargo:rustc-link-arg={}", place.join("libgomp.so.1").display());
    println!("cargo:rustc-link-arg=-Wl,--enable-new-dtags");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", place.display());
    println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/../../.libtorch/lib");
}
