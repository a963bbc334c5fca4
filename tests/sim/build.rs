//! Names the source that a schedule runs on, so that results of different sources are not added up unnoticed.

#![allow(clippy::print_stdout, reason = "this is how cargo is told")]

use std::path::{Path, PathBuf};

const SOURCES: &[&str] = &[
    "src",
    "../../crates/sb-consensus/src",
    "../../crates/sb-failover/src",
    "../../crates/sb-pgtypes/src",
    "../../crates/sb-topology/src",
];

fn main() {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
        let mut files = Vec::new();
        collect(Path::new(source), &mut files);
        files.sort();
        for file in files {
            let bytes = std::fs::read(&file).expect("a file that was just listed");
            // FNV-1a: the same everywhere and for ever.
            for byte in file.to_string_lossy().bytes().chain(bytes) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        }
    }
    println!("cargo::rustc-env=SB_SIM_SOURCE={hash:016x}");
}

fn collect(at: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(at).expect("the sources are there") {
        let path = entry.expect("the sources can be listed").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}
