//! The crate alone: its example of a tunnel between two hosts, as a reader would run it.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::host::{Host, is_root, stream, succeed};

/// A program that ends with this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where cargo puts examples, seen from a test.
fn example() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let path = own.ancestors().nth(2).unwrap().join("examples/two_hosts");
    assert!(path.is_file(), "build it first: cargo build -p sb-wireguard --example two_hosts");
    path
}

/// The example on a host. Two hosts have two directories of control sockets, which two namespaces have not.
fn two_hosts(host: &Host, words: &[&str]) -> Command {
    const APART: &str =
        "mkdir -p /run/wireguard && mount -t tmpfs tmpfs /run/wireguard && exec \"$0\" \"$@\"";
    let mut command = host.command("unshare");
    command.args(["--mount", "sh", "-c", APART]).arg(example()).args(words);
    command
}

#[test]
fn two_hosts_are_connected_by_the_example_alone() {
    if !is_root() {
        return;
    }
    let (left, right) = (Host::new(), Host::new());
    left.lay_line(&right, ("line", "192.0.2.1/24"), ("line", "192.0.2.2/24"));
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    let (left_file, right_file) = (file("left"), file("right"));
    let left_key = succeed(&mut two_hosts(&left, &[&left_file, "10.9.0.1/24"]));
    let right_key = succeed(&mut two_hosts(&right, &[&right_file, "10.9.0.2/24"]));

    let serve =
        |host: &Host, words: &[&str]| Running(two_hosts(host, words).stdout(Stdio::null()).spawn().unwrap());
    let _left = serve(&left, &[&left_file, "10.9.0.1/24", "10.9.0.2", right_key.trim(), "192.0.2.2:51820"]);
    let _right = serve(&right, &[&right_file, "10.9.0.2/24", "10.9.0.1", left_key.trim(), "192.0.2.1:51820"]);
    left.reaches("10.9.0.2");
    right.reaches("10.9.0.1");
    stream(&left, &right, "10.9.0.2", 1_000_000);
}
