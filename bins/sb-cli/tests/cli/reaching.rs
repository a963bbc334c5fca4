//! The way to an agent, and the words of the command line.

use std::path::Path;
use std::time::{Duration, Instant};

use insta::assert_snapshot;
use sb_api::Problem;

use crate::agent::{FakeAgent, program, run_at, shown};
use crate::pictures;

#[test]
fn an_agent_that_does_not_run_is_four() {
    let nowhere = tempfile::TempDir::new().unwrap();
    assert_snapshot!(run_at(&nowhere.path().join("agent.sock"), &["status"]), @r"
    exit: 4
    stderr:
    error: could not reach the agent at `HERE`
    detail: No such file or directory (os error 2)
    hint: The agent does not run here, or its socket is elsewhere: systemctl status sb-agent
          To ask another server: sb-cli --ssh HOST status
    ");
}

#[test]
fn an_agent_that_refuses_access_is_four() {
    let problem = Problem::new(403, "access.user", "`user 1000` may not use this socket")
        .hint("Only root and the agent's own user may: sudo sb-cli ...");
    let agent = FakeAgent::start().answers("GET /v1/status", 403, &problem);
    assert_snapshot!(agent.run(&["status"]), @r"
    exit: 4
    stderr:
    error: the agent at `HERE` refused access: `user 1000` may not use this socket
    hint: Only root and the agent's own user may: sudo sb-cli ...
    ");
}

#[test]
fn an_answer_of_something_else_is_one() {
    let agent = FakeAgent::start().answers("GET /v1/status", 200, &"hello");
    assert_snapshot!(agent.run(&["status"]), @r#"
    exit: 1
    stderr:
    error: the agent at `HERE` gave an unusable answer: invalid type: string "hello", expected struct Status at line 1 column 7
    hint: Agent and sb-cli may be of different versions: sb-cli --version
    "#);
}

#[test]
fn a_wrong_word_is_two_and_help_is_zero() {
    let agent = FakeAgent::start();
    assert_snapshot!(agent.run(&["statsu"]), @r"
    exit: 2
    stderr:
    error: unrecognized subcommand 'statsu'

      tip: a similar subcommand exists: 'status'

    Usage: sb-cli [OPTIONS] <COMMAND>

    For more information, try '--help'.
    ");
    assert_snapshot!(agent.run(&["pause", "--for", "2"]), @r"
    exit: 2
    stderr:
    error: invalid value '2' for '--for <DURATION>': give a number and s, m, h or d, such as 2h

    For more information, try '--help'.
    ");
    assert!(agent.run(&["--help"]).starts_with("exit: 0\nstdout:\n"));
    assert!(agent.run(&["completions", "bash"]).contains("complete -F"));
}

#[test]
fn ssh_forwards_the_socket_and_ends_with_the_program() {
    let agent = FakeAgent::start().answers("GET /v1/status", 200, &pictures::healthy());
    let place = tempfile::TempDir::new().unwrap();
    // In place of ssh: "forwards" with a link, notes its process id, and stays.
    let script = "#!/bin/sh\necho $$ > \"$SSH_PID\"\nfor last; do :; done\necho \"$last\" > \"$SSH_HOST\"\n\
                  while [ \"$1\" != -L ]; do shift; done\nln -s \"${2#*:}\" \"${2%%:*}\"\nexec sleep 600\n";
    let ssh = place.path().join("ssh");
    std::fs::write(&ssh, script).unwrap();
    std::fs::set_permissions(&ssh, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", place.path().display(), std::env::var("PATH").unwrap());
    let (pid, host) = (place.path().join("pid"), place.path().join("host"));

    let mut command = program();
    command.env("PATH", path).env("SSH_PID", &pid).env("SSH_HOST", &host).env("SB_SOCKET", agent.socket());
    let shown = shown(command.args(["--ssh", "root@ravena-1", "status"]), &agent.socket());

    assert!(shown.starts_with("exit: 0\n"), "{shown}");
    assert_eq!(std::fs::read_to_string(host).unwrap().trim(), "root@ravena-1");
    let stat = format!("/proc/{}/stat", std::fs::read_to_string(pid).unwrap().trim());
    let ended = || std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
    let limit = Instant::now() + Duration::from_secs(10);
    while !ended() {
        assert!(Instant::now() < limit, "ssh still runs");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn an_ssh_option_is_no_host() {
    let agent = FakeAgent::start();
    assert_snapshot!(agent.run(&["--ssh=-oProxyCommand=true", "status"]), @r"
    exit: 2
    stderr:
    error: `-oProxyCommand=true` is no host for --ssh
    ");
}

#[test]
fn demo_and_lab_have_words_of_their_own() {
    let nowhere = Path::new("/nonexistent");
    assert!(shown(program().args(["demo", "--help"]), nowhere).contains("--scenario"));
    assert!(shown(program().args(["lab", "--help"]), nowhere).contains("shell"));
}
