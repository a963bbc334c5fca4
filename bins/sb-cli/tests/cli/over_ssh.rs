//! `--ssh` through a real sshd.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::net::UnixListener;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use insta::assert_snapshot;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::agent::{FakeAgent, program, shown};
use crate::pictures;
use crate::sshd::{HOST, Sshd, set_mode};

const LIMIT: Duration = Duration::from_secs(20);

fn user() -> String {
    let id = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(id.stdout).unwrap().trim().to_owned()
}

/// `sb-cli --ssh` for the socket `remote`, with temporary files in `place`.
fn asking(ssh: &Path, remote: &Path, place: &TempDir) -> Command {
    let mut command = program();
    let path = format!("{}:{}", ssh.display(), std::env::var("PATH").unwrap());
    command.env("PATH", path).env("TMPDIR", place.path()).env("SB_SOCKET", remote).args(["--ssh", HOST]);
    command
}

/// What a person sees who asks for the status, with the names of places that differ each time left out.
fn told(sshd: &Sshd, ssh: &Path, remote: &Path) -> String {
    let place = TempDir::new().unwrap();
    let told = shown(asking(ssh, remote, &place).arg("status"), remote);
    assert_eq!(left_in(&place), Vec::<String>::new(), "{told}");
    sshd.without_places(&told)
}

fn left_in(place: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(place.path()).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The processes whose command line names `place`.
fn processes_of(place: &TempDir) -> Vec<String> {
    let wanted = place.path().display().to_string();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.contains(&wanted)).collect()
}

fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn an_agent_answers_through_sshd_and_nothing_is_left() {
    let agent = FakeAgent::start().answers("GET /v1/status", 200, &pictures::healthy());
    let Some(sshd) = Sshd::start("") else { return };
    let place = TempDir::new().unwrap();
    let ssh = sshd.client(&user(), "laptop");

    let told = shown(asking(&ssh, &agent.socket(), &place).arg("status"), &agent.socket());

    assert!(told.starts_with("exit: 0\n"), "{told}");
    assert_eq!((left_in(&place), processes_of(&place)), (vec![], vec![]));
}

#[test]
fn a_host_with_another_key_is_not_asked() {
    let agent = FakeAgent::start();
    let Some(sshd) = Sshd::start("") else { return };
    sshd.known_as(&fs::read_to_string(sshd.path("stranger.pub")).unwrap());

    let told = told(&sshd, &sshd.client(&user(), "laptop"), &agent.socket());

    assert!(told.starts_with("exit: 4\nstderr:\nerror: ssh could not reach `burlington-1`\n"), "{told}");
    assert!(told.contains("Offending ED25519 key in PLACE/known:1\n"), "{told}");
    assert!(
        told.ends_with(
            "        Host key verification failed.\n\
             hint: Compare it with the server's own: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub\n      \
             A key that this machine has not seen before is taken in by: ssh burlington-1 true\n"
        ),
        "{told}"
    );
    assert_eq!(agent.asked(), Vec::<String>::new());
}

#[test]
fn a_key_that_the_server_does_not_take_is_told() {
    let agent = FakeAgent::start();
    let Some(sshd) = Sshd::start("") else { return };
    let told = told(&sshd, &sshd.client(&user(), "stranger"), &agent.socket()).replace(&user(), "USER");
    assert_snapshot!(told, @r"
    exit: 4
    stderr:
    error: ssh could not reach `burlington-1`
    detail: USER@127.0.0.1: Permission denied (publickey).
    hint: It needs a key or password that this server takes for this user. Try: ssh burlington-1 true
    ");
}

#[test]
fn a_host_where_nobody_listens_is_told() {
    let agent = FakeAgent::start();
    let Some(sshd) = Sshd::start("") else { return };
    assert_snapshot!(told(&sshd, &sshd.client_of(1, &user(), "laptop"), &agent.socket()), @r"
    exit: 4
    stderr:
    error: ssh could not reach `burlington-1`
    detail: ssh: connect to host 127.0.0.1 port 1: Connection refused
    hint: Any other server's agent can answer as well: sb-cli --ssh HOST status
    ");
}

#[test]
fn a_host_that_says_nothing_is_given_up() {
    let agent = FakeAgent::start();
    let Some(sshd) = Sshd::start("") else { return };
    // The system takes the connection; nobody serves it.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = silent.local_addr().unwrap().port();
    let told = told(&sshd, &sshd.client_of(port, &user(), "laptop"), &agent.socket());
    assert_snapshot!(told.replace(&port.to_string(), "SILENT"), @r"
    exit: 4
    stderr:
    error: ssh could not reach `burlington-1`
    detail: Connection timed out during banner exchange
            Connection to 127.0.0.1 port SILENT timed out
    hint: Any other server's agent can answer as well: sb-cli --ssh HOST status
    ");
}

#[test]
fn a_socket_that_is_not_there_is_told() {
    let Some(sshd) = Sshd::start("") else { return };
    let nowhere = TempDir::new().unwrap();
    let told = told(&sshd, &sshd.client(&user(), "laptop"), &nowhere.path().join("agent.sock"));
    assert_snapshot!(told, @r"
    exit: 4
    stderr:
    error: there is no socket `HERE` on `burlington-1`
    hint: The agent does not run there, or its socket is elsewhere (--socket PATH).
          Whether it runs: ssh burlington-1 systemctl status sb-agent
          Any other server's agent can answer as well: sb-cli --ssh HOST status
    ");
}

#[test]
fn a_socket_that_nobody_listens_at_is_told() {
    let Some(sshd) = Sshd::start("") else { return };
    let place = TempDir::new().unwrap();
    let path = place.path().join("agent.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert_snapshot!(told(&sshd, &sshd.client(&user(), "laptop"), &path), @r"
    exit: 4
    stderr:
    error: nobody answers at `burlington-1:HERE`
    hint: Whether it runs: ssh burlington-1 systemctl status sb-agent
          Where it runs, sshd may refuse: AllowStreamLocalForwarding yes in its sshd_config.
          Any other server's agent can answer as well: sb-cli --ssh HOST status
    ");
}

#[test]
fn a_user_without_the_right_to_the_socket_is_told() {
    let Some(sshd) = Sshd::start("") else { return };
    let place = TempDir::new().unwrap();
    set_mode(place.path(), 0o711);
    let path = place.path().join("agent.sock");
    let _listener = UnixListener::bind(&path).unwrap();
    // Root may always, and logs in as somebody else.
    let user = if user() == "root" { "nobody".to_owned() } else { user() };
    set_mode(&path, 0o400);
    assert_snapshot!(told(&sshd, &sshd.client(&user, "laptop"), &path), @r"
    exit: 4
    stderr:
    error: the user who logged in to `burlington-1` may not use the socket `HERE`
    hint: Only root and the agent's own user may: sb-cli --ssh root@HOST ...
    ");
}

#[test]
fn a_server_that_forbids_forwarding_is_told() {
    let agent = FakeAgent::start();
    let Some(sshd) = Sshd::start("AllowStreamLocalForwarding no") else { return };
    assert_snapshot!(told(&sshd, &sshd.client(&user(), "laptop"), &agent.socket()), @r"
    exit: 4
    stderr:
    error: nobody answers at `burlington-1:HERE`
    hint: Whether it runs: ssh burlington-1 systemctl status sb-agent
          Where it runs, sshd may refuse: AllowStreamLocalForwarding yes in its sshd_config.
          Any other server's agent can answer as well: sb-cli --ssh HOST status
    ");
}

#[test]
fn a_relative_path_of_a_socket_is_no_socket_elsewhere() {
    let agent = FakeAgent::start();
    assert_snapshot!(agent.run(&["--ssh", HOST, "--socket", "agent.sock", "status"]), @r"
    exit: 2
    stderr:
    error: `agent.sock` is no absolute path of a socket on `burlington-1`
    ");
}

/// `sb-cli` that watches the status over ssh, once it has its first answer.
fn watching(sshd: &Sshd, agent: &FakeAgent, place: &TempDir) -> Child {
    let ssh = sshd.client(&user(), "laptop");
    let mut command = asking(&ssh, &agent.socket(), place);
    command.args(["status", "--watch"]).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().unwrap();
    eventually("a first answer", || agent.asked().iter().any(|line| line.starts_with("GET /v1/status")));
    assert_eq!((left_in(place).len(), processes_of(place).len()), (1, 1));
    child
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

#[test]
fn an_interrupted_program_leaves_neither_ssh_nor_socket() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let agent = FakeAgent::start().answers("GET /v1/status", 200, &pictures::healthy());
        let Some(sshd) = Sshd::start("") else { return };
        let place = TempDir::new().unwrap();
        let mut child = watching(&sshd, &agent, &place);

        send(&child, signal);

        assert_eq!(child.wait().unwrap().signal(), Some(signal.as_raw()));
        eventually("ssh ends", || processes_of(&place).is_empty());
        assert_eq!(left_in(&place), Vec::<String>::new());
    }
}

#[test]
fn ssh_ends_with_a_program_that_is_killed() {
    let agent = FakeAgent::start().answers("GET /v1/status", 200, &pictures::healthy());
    let Some(sshd) = Sshd::start("") else { return };
    let place = TempDir::new().unwrap();
    let mut child = watching(&sshd, &agent, &place);

    send(&child, Signal::KILL);

    child.wait().unwrap();
    eventually("ssh ends", || processes_of(&place).is_empty());
}
