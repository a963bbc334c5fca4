//! PostgreSQL without any of our programs.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What goes before a program of PostgreSQL: root may not run it, so it steps down to `postgres`; anybody else runs it
/// as they are.
#[must_use]
pub fn step_down() -> Vec<String> {
    if nix::unistd::Uid::effective().is_root() {
        ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"].map(str::to_owned).to_vec()
    } else {
        vec!["env".to_owned()]
    }
}

/// The directory of the newest version's programs.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed");
    versions.flatten().map(|version| version.path().join("bin")).max().expect("PostgreSQL is installed")
}

/// Makes a data directory of its own system identifier, with a superuser `lab`.
///
/// # Panics
/// When `initdb` refuses.
pub fn initialise(data: &Path) {
    std::fs::create_dir_all(data).expect("a directory");
    if let Ok(Some(user)) = nix::unistd::User::from_name("postgres") {
        // Only root can, and only root has to.
        let _ = std::os::unix::fs::chown(data, Some(user.uid.as_raw()), Some(user.gid.as_raw()));
    }
    let words = step_down();
    let made = Command::new(&words[0])
        .args(&words[1..])
        .arg(programs().join("initdb"))
        .args(["--username=lab", "--auth=trust", "--no-sync", "-D"])
        .arg(data)
        .output()
        .expect("initdb runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}
