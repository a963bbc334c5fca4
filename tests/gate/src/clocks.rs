//! Who reads the wall clock: nothing that decides.
//!
//! A wall clock may jump by hours, on one server only (patroni #3560). What is decided by CLOCK_BOOTTIME and by durations
//! does not notice; so the few places that read the time of day are listed, each with what it reads it for.

use crate::Finding;
use crate::workspace::{Workspace, WorkspaceError, read_text};

/// Files that may read the time of day: path and what for.
pub const WALL_CLOCK_FILES: &[(&str, &str)] = &[
    ("crates/sb-client/src/bundle/authority.rs", "the first and last day of a certificate"),
    ("crates/sb-node/src/mesh/health/prober.rs", "how far the clocks of two servers are apart, for people"),
    ("crates/sb-node/src/mesh/preshared/file.rs", "how old a preshared key is, for people"),
    ("crates/sb-node/src/mesh/upkeep.rs", "how old a handshake is, which WireGuard dates by it"),
    ("crates/sb-node/src/operations.rs", "the time that people read beside an event"),
    ("crates/sb-wireguard/src/userspace/clock.rs", "the date of a handshake, as WireGuard's tools show it"),
];

/// The lab is a person's tool on one machine, with one clock.
const ELSEWHERE: &[&str] = &["crates/sb-lab/"];

/// Words of the ways to read it.
const WORDS: &[&str] =
    &["SystemTime", "UNIX_EPOCH", "Timestamp::now", "Zoned::now", "Realtime", "CLOCK_REALTIME"];

/// Sources of the crates that read the wall clock without being listed, and entries without a reader.
///
/// # Errors
/// When a file cannot be read.
pub fn check(workspace: &Workspace) -> Result<Vec<Finding>, WorkspaceError> {
    let mut readers = Vec::new();
    for file in workspace.files("crates", "rs")? {
        let path = workspace.relative(&file).into_owned();
        let ours = path.contains("/src/") && !ELSEWHERE.iter().any(|place| path.starts_with(place));
        if ours && reads_wall_clock(&read_text(&file)?) {
            readers.push(path);
        }
    }
    Ok(compare(&readers, WALL_CLOCK_FILES))
}

fn reads_wall_clock(text: &str) -> bool {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.into_iter().any(|line| WORDS.iter().any(|word| line.contains(word)))
}

fn compare(readers: &[String], listed: &[(&str, &str)]) -> Vec<Finding> {
    let unlisted = readers.iter().filter(|path| !listed.iter().any(|(file, _)| file == path)).map(|path| {
        let hint =
            "Decide by CLOCK_BOOTTIME and durations; if it is for people only, list it in WALL_CLOCK_FILES.";
        Finding::new(path, "reads the wall clock, which may jump", hint)
    });
    let idle = listed.iter().filter(|(file, _)| !readers.iter().any(|path| path == file));
    let idle = idle.map(|(file, _)| {
        Finding::new(*file, "is listed as a reader of the wall clock and is none", "Remove the entry.")
    });
    unlisted.chain(idle).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_is_not_listed_is_found_and_so_is_an_entry_without_a_reader() {
        let listed = [("crates/a/src/x.rs", "people")];
        assert!(compare(&["crates/a/src/x.rs".into()], &listed).is_empty());
        assert_eq!(compare(&["crates/a/src/y.rs".into()], &listed).len(), 2);
    }

    #[test]
    fn words_in_comments_do_not_count() {
        assert!(reads_wall_clock("let now = std::time::SystemTime::now();"));
        assert!(!reads_wall_clock("/// Not `SystemTime`: it jumps.\nlet now = boottime::now();"));
    }
}
