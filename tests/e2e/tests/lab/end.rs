//! What is left when a lab ends: nothing, whoever is killed.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use sb_e2e::eventually;
use sb_lab::namespace::NetworkNamespace;
use sb_lab::network::Network;
use sb_lab::options::Storage;
use sb_lab::place::Place;
use sb_lab::stage::{Stage, launch_attended};
use sb_lab::unit::{Order, Program, Unit};

/// Makes this program a lab that waits to be killed; its value marks the lab's processes.
pub const SLEEPER_VARIABLE: &str = "SB_E2E_SLEEPER";

const LIMIT: Duration = Duration::from_secs(10);

/// A lab with a process on every server, which prints `ready` and waits.
pub fn sleep() -> ExitCode {
    let marker = std::env::var(SLEEPER_VARIABLE).expect("a marker");
    match Stage::now() {
        Stage::Outside => launch_attended(&Storage::Memory).unwrap_or(ExitCode::FAILURE),
        Stage::Inside(inside) => {
            let root = inside.mount().expect("mounts");
            let network = Network::build(sb_lab::options::Mesh::Off).expect("a network");
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            runtime.block_on(async {
                let _units: Vec<_> = Place::servers()
                    .map(|place| idle(&marker, network.namespace(place), root.join(place.name())))
                    .collect();
                let servers = Place::servers().map(|place| network.namespace(place).inode());
                for inode in servers {
                    while sb_lab::processes::of_namespace(inode).expect("processes").is_empty() {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
                println!("ready {}", root.display());
                inside.interrupt().pulled().await;
            });
            ExitCode::from(130)
        }
    }
}

fn idle(marker: &str, namespace: &NetworkNamespace, log: PathBuf) -> Unit {
    let program = Program {
        name: "idle".into(),
        path: PathBuf::from("/bin/bash"),
        arguments: vec!["-c".into(), format!("exec -a {marker} sleep 1000")],
        environment: Vec::new(),
        log,
        brake: None,
    };
    let unit = Unit::new(program, namespace).expect("a unit");
    unit.order(Order::Run);
    unit
}

struct Sleeper {
    launcher: Child,
    marker: String,
    root: PathBuf,
    before: BTreeSet<String>,
}

impl Sleeper {
    fn start(name: &str) -> Self {
        let marker = format!("sb-e2e-{name}-{}", std::process::id());
        let before = visible();
        let mut launcher = Command::new(std::env::current_exe().expect("this program"))
            .env(SLEEPER_VARIABLE, &marker)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a launcher");
        let root = ready(launcher.stdout.take().expect("its output"));
        let sleeper = Self { launcher, marker, root, before };
        // A process is in its namespace before it has the name that it is known by.
        eventually("an idle process was on every server", LIMIT, || {
            (sleeper.idle().len() == Place::servers().count()).then_some(())
        });
        sleeper
    }

    fn launcher(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.launcher.id()).expect("a process id"))
    }

    fn idle(&self) -> Vec<i32> {
        processes(|arguments, _| arguments.first().is_some_and(|word| *word == self.marker))
    }

    /// The launcher, init and the lab, by the variable in their environment; the idle ones have inherited it.
    fn family(&self) -> Vec<i32> {
        let wanted = format!("{SLEEPER_VARIABLE}={}", self.marker);
        processes(|arguments, environment| {
            environment.contains(&wanted) && arguments.first() != Some(&self.marker)
        })
    }

    fn assert_gone(mut self) {
        eventually("no process of the lab is left", LIMIT, || {
            let _ = self.launcher.try_wait();
            (self.idle().is_empty() && self.family().is_empty()).then_some(())
        });
        assert!(!self.root.join("ravena-1").exists(), "files are left in {}", self.root.display());
        let left: Vec<_> = visible().difference(&self.before).cloned().collect();
        assert!(left.is_empty(), "something is left: {left:?}");
    }
}

/// A failed case leaves nothing either.
impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.launcher.kill();
        let _ = self.launcher.wait();
    }
}

fn ready(output: ChildStdout) -> PathBuf {
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line).expect("a line");
    PathBuf::from(line.strip_prefix("ready ").expect("the lab is ready").trim_end())
}

/// Processes by arguments and environment.
fn processes(wanted: impl Fn(&[String], &[String]) -> bool) -> Vec<i32> {
    let words = |pid: i32, file: &str| -> Vec<String> {
        let text = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        String::from_utf8_lossy(&text).split('\0').map(str::to_owned).collect()
    };
    let pids = std::fs::read_dir("/proc").expect("/proc").flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_string_lossy().parse::<i32>().ok());
    pids.filter(|pid| wanted(&words(*pid, "cmdline"), &words(*pid, "environ"))).collect()
}

/// What a lab could leave behind here: devices, mounts, sockets and directories.
fn visible() -> BTreeSet<String> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let devices = read("/proc/net/dev")
        .lines()
        .filter_map(|line| Some(line.split_once(':')?.0.to_owned()))
        .collect::<Vec<_>>();
    let mounts = read("/proc/self/mounts").lines().map(str::to_owned).collect::<Vec<_>>();
    let sockets = read("/proc/net/unix")
        .lines()
        .filter_map(|line| line.split_whitespace().last())
        .filter(|name| name.contains("show-build-lab"))
        .map(str::to_owned)
        .collect::<Vec<_>>();
    let directories = ["/srv", "/tmp", "/run", "/mnt"].iter().flat_map(std::fs::read_dir).flatten().flatten();
    let directories = directories
        .map(|entry| entry.path().display().to_string())
        .filter(|path| path.starts_with("/srv") || path.contains("sb-lab-"));
    devices.into_iter().chain(mounts).chain(sockets).chain(directories).collect()
}

pub fn killed_launcher() {
    let sleeper = Sleeper::start("launcher");
    kill(sleeper.launcher(), Signal::SIGKILL).expect("to kill");
    sleeper.assert_gone();
}

pub fn killed_lab() {
    let sleeper = Sleeper::start("lab");
    // Of the family, the lab is the one that was started last.
    let lab = sleeper.family().into_iter().max().expect("a lab");
    assert_ne!(lab, sleeper.launcher().as_raw());
    kill(Pid::from_raw(lab), Signal::SIGKILL).expect("to kill");
    sleeper.assert_gone();
}

pub fn interrupted() {
    let mut sleeper = Sleeper::start("interrupt");
    kill(sleeper.launcher(), Signal::SIGINT).expect("to interrupt");
    let status = sleeper.launcher.wait().expect("an end");
    assert_eq!(status.code(), Some(130));
    sleeper.assert_gone();
}

/// As `nobody`, with a TUN device that `nobody` may open, the cases of the network and of the clients once more.
pub fn without_root() {
    if !Uid::effective().is_root() {
        println!("  skipped: everything here runs without root already");
        return;
    }
    let script = r#"
        mount -t tmpfs -o mode=0755 sb-e2e /dev/net && mknod -m 666 /dev/net/tun c 10 200 &&
        install -m 755 "$1" /dev/net/program && shift && cd / &&
        exec setpriv --reuid=65534 --regid=65534 --clear-groups /dev/net/program "$@"
    "#;
    let output = Command::new("unshare")
        .args(["--mount", "--propagation=private", "sh", "-c", script, "sh"])
        .arg(std::env::current_exe().expect("this program"))
        .args(["round_trips", "one_direction", "clients_survive", "lost_host"])
        .output()
        .expect("unshare runs");
    let (told, complaints) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if complaints.contains("cannot make namespaces") {
        println!("  skipped: this system gives no user namespaces to users: {}", complaints.trim());
        return;
    }
    assert!(output.status.success(), "{told}\n{complaints}");
    assert!(told.contains("test result: ok. 4 passed"), "{told}\n{complaints}");
}
