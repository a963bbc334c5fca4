//! The program as scripts see it: stdout, stderr and exit status, against an agent on a Unix socket.

#![allow(clippy::unwrap_used)]

mod agent;
mod pictures;

use std::path::Path;
use std::time::{Duration, Instant};

use agent::{FakeAgent, program, run_at, run_with_person, shown};
use insta::assert_snapshot;
use sb_api::{OperationState, Problem};
use sb_client::state::{Identity, Secrets};

#[test]
fn status_of_a_healthy_cluster_is_one_page_and_zero() {
    let agent = FakeAgent::start().answers("GET /v1/status", 200, &pictures::healthy());
    assert_snapshot!(agent.run(&["status"]), @r"
    exit: 0
    stdout:
    show-build: ok. `ravena-1` is primary; 2 of 2 standbys stream.
    durability async; term 7; store led by `ravena-1` (3 voters, 0 learners)
    last change: `ravena-1` by switchover at 2026-01-02T03:04:05Z

    SITE        SERVER        ROLE     SYNC  LAG     RTT
    ravena      ravena-1      primary  -     -       -
    burlington  burlington-1  standby  -     0 B     8.1 ms
    tucson      tucson-1      standby  -     48 KiB  75.3 ms
    ");
    assert_snapshot!(agent.run(&["status", "-o", "wide"]), @r"
    exit: 0
    stdout:
    show-build: ok. `ravena-1` is primary; 2 of 2 standbys stream.
    durability async; term 7; store led by `ravena-1` (3 voters, 0 learners)
    last change: `ravena-1` by switchover at 2026-01-02T03:04:05Z

    SITE        SERVER        ROLE     STATE      SYNC  TL  FLUSHED     LAG     UPSTREAM  STORE   LEASE    GUARD  FENCE  RTT      LIFE  AGENT
    ravena      ravena-1      primary  primary    -     7   0/5D0000C8  -       -         leader  3120 ms  armed  open   -        1     0.1.0
    burlington  burlington-1  standby  following  -     7   0/5D000000  0 B     ravena-1  voter   -        -      -      8.1 ms   2     0.1.0
    tucson      tucson-1      standby  following  -     7   0/5D000000  48 KiB  ravena-1  voter   -        -      -      75.3 ms  2     0.1.0
    ");
}

#[test]
fn a_degraded_cluster_is_six_and_says_what_is_unknown() {
    let agent = FakeAgent::start().answers("GET /v1/status", 200, &pictures::degraded());
    assert_snapshot!(agent.run(&["status"]), @r"
    exit: 6
    stdout:
    show-build: DEGRADED. `tucson-1` does not answer.
    durability sync; term 7; store led by `ravena-1` (3 voters, 0 learners)
    degraded: commits wait for nobody since 03:04:01
    paused by `root`, for another 1h 58m: new disks
    last change: `ravena-1` by switchover at 2026-01-02T03:04:05Z

    SITE        SERVER        ROLE         SYNC  LAG      RTT
    ravena      ravena-1      primary      -     -        -
    burlington  burlington-1  standby      -     unknown  8.1 ms
    tucson      tucson-1      unreachable  -     -        -

    problems:
      tucson-1: It has not answered for 12 s.
    ");
}

#[test]
fn a_cluster_without_a_primary_is_seven() {
    let agent = FakeAgent::start().answers("GET /v1/status", 200, &pictures::critical());
    let shown = agent.run(&["status", "-o", "json"]);
    assert!(shown.starts_with("exit: 7\n"), "{shown}");
    assert!(shown.contains("\"schema_version\": 1"), "{shown}");
}

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
fn a_dry_run_shows_the_plan_and_changes_nothing() {
    let agent = FakeAgent::start().answers("GET /v1/status", 200, &pictures::healthy()).answers(
        "POST /v1/switchover",
        200,
        &pictures::operation(OperationState::Planned, 0),
    );
    assert_snapshot!(agent.run(&["switchover", "--dry-run"]), @r"
    exit: 0
    stdout:
    1. `ravena-1` stops PostgreSQL
    2. `burlington-1` takes the lease
    3. the others follow it
    `burlington-1` would be primary; writes pause for about 1 s.
    stderr:
    Nothing was changed.
    ");
    let posts: Vec<_> = agent.asked().into_iter().filter(|asked| asked.starts_with("POST")).collect();
    assert_eq!(posts, [r#"POST /v1/switchover {"to":null,"dry_run":true,"expect_primary":"ravena-1"}"#]);
}

#[test]
fn a_script_must_say_what_it_expects() {
    let agent = FakeAgent::start();
    assert_snapshot!(agent.run(&["switchover", "--yes"]), @r"
    exit: 2
    stderr:
    error: without a terminal this needs --yes and --expect-primary SERVER
    detail: There is nobody to ask, and the primary may have changed since you looked.
    hint: To see what would be done: add --dry-run
    ");
    assert_snapshot!(agent.run(&["failover", "--to", "tucson-1"]), @r"
    exit: 2
    stderr:
    error: without a terminal this needs --yes and --expect-primary SERVER
    detail: There is nobody to ask, and the primary may have changed since you looked.
    hint: To see what would be done: add --dry-run
    ");
    assert_eq!(agent.asked(), [] as [&str; 0], "nobody was asked anything");
}

#[test]
fn a_switchover_tells_its_steps_and_its_consequence() {
    let agent = FakeAgent::start()
        .answers("GET /v1/status", 200, &pictures::healthy())
        .answers("POST /v1/switchover", 200, &pictures::operation(OperationState::Planned, 0))
        .answers("POST /v1/switchover", 202, &pictures::operation(OperationState::Running, 1))
        .answers("GET /v1/operations/op-12", 503, &Problem::unavailable("store.no_majority", "not now"))
        .answers("GET /v1/operations/op-12", 200, &pictures::operation(OperationState::Done, 3));
    let arguments = ["switchover", "--to", "burlington-1", "--yes", "--expect-primary", "ravena-1"];
    assert_snapshot!(agent.run(&arguments), @r"
    exit: 0
    stdout:
    `burlington-1` is primary (term 8); `ravena-1` follows it
    stderr:
    - `ravena-1` stops PostgreSQL
    - `burlington-1` takes the lease
    - the others follow it
    ");
}

#[test]
fn a_person_types_the_clusters_name_to_go_on() {
    let agent = FakeAgent::start()
        .answers("GET /v1/status", 200, &pictures::healthy())
        .answers("POST /v1/switchover", 200, &pictures::operation(OperationState::Planned, 0))
        .answers("POST /v1/switchover", 200, &pictures::operation(OperationState::Done, 3));

    let (exit, screen) = run_with_person(&agent.socket(), "show-build\n", &["switchover"]);

    assert_eq!(exit, 0, "{screen}");
    assert!(screen.contains("Type `show-build` to go on:"), "{screen}");
    assert!(screen.ends_with("`burlington-1` is primary (term 8); `ravena-1` follows it\n"), "{screen}");
    let last = agent.asked().pop().unwrap();
    assert_eq!(last, r#"POST /v1/switchover {"to":null,"dry_run":false,"expect_primary":"ravena-1"}"#);
}

#[test]
fn another_word_than_the_servers_name_changes_nothing() {
    let agent = FakeAgent::start().answers("GET /v1/status", 200, &pictures::healthy()).answers(
        "POST /v1/failover",
        200,
        &pictures::operation(OperationState::Planned, 0),
    );

    let (exit, screen) = run_with_person(&agent.socket(), "y\n", &["failover", "--to", "tucson-1"]);

    assert_eq!(exit, 3, "{screen}");
    assert!(screen.contains("error: not confirmed: nothing was changed\ndetail: `y` is not"), "{screen}");
    let posts: Vec<_> = agent.asked().into_iter().filter(|asked| asked.starts_with("POST")).collect();
    assert!(posts.iter().all(|post| post.contains(r#""dry_run":true"#)), "{posts:?}");
    assert_eq!(posts.len(), 1);
}

#[test]
fn an_operation_that_takes_too_long_goes_on_and_is_five() {
    let agent = FakeAgent::start()
        .answers("GET /v1/status", 200, &pictures::healthy())
        .answers("POST /v1/switchover", 202, &pictures::operation(OperationState::Running, 1))
        .answers("GET /v1/operations/op-12", 200, &pictures::operation(OperationState::Running, 1));
    let arguments = ["switchover", "--yes", "--expect-primary", "ravena-1", "--timeout", "1s"];
    assert_snapshot!(agent.run(&arguments), @r"
    exit: 5
    stderr:
    - `ravena-1` stops PostgreSQL
    error: operation `op-12` had not ended after 1 s
    hint: It goes on; watch it: sb-cli ops show op-12
    ");
}

#[test]
fn a_gate_that_refuses_is_three_and_says_what_to_do() {
    let agent = FakeAgent::start().answers("GET /v1/status", 200, &pictures::healthy()).answers(
        "POST /v1/failover",
        409,
        &pictures::may_lose_commits(),
    );
    let arguments = ["failover", "--to", "tucson-1", "--yes", "--expect-primary", "ravena-1"];
    assert_snapshot!(agent.run(&arguments), @r"
    exit: 3
    stderr:
    error: cannot promote `tucson-1`: it may lack commits that clients saw confirmed
    detail: Its received position is 0/5A000060; the last confirmed position is 0/5D0000C8 on timeline 7.
    gate: lag: 48 MiB, allowed 1 MiB
    hint: Promote `burlington-1`, which has everything: sb-cli failover --to burlington-1
          To accept the loss of up to 48 MiB: sb-cli failover --to tucson-1 --accept-data-loss 48MiB
    ");
}

#[test]
fn an_operation_that_fails_is_one() {
    let mut failed = pictures::operation(OperationState::Failed, 2);
    failed.problem = Some(Problem::new(500, "promote.failed", "`burlington-1` could not be promoted"));
    let agent = FakeAgent::start().answers("GET /v1/status", 200, &pictures::healthy()).answers(
        "POST /v1/failover",
        202,
        &failed,
    );
    let arguments = ["failover", "--to", "burlington-1", "--accept-data-loss", "1MiB", "--yes"];
    let arguments = [&arguments[..], &["--expect-primary", "ravena-1"]].concat();
    assert_snapshot!(agent.run(&arguments), @r"
    exit: 1
    stderr:
    - `ravena-1` stops PostgreSQL
    - `burlington-1` takes the lease
    error: `burlington-1` could not be promoted
    ");
    assert!(agent.asked()[1].contains(r#""accept_data_loss_bytes":1048576"#), "{:?}", agent.asked());
}

#[test]
fn a_pause_ends_by_itself_after_what_was_asked() {
    let mut done = pictures::operation(OperationState::Done, 3);
    done.steps.clear();
    done.result = Some("Automatic failover is held back until 05:04:05 UTC".into());
    let agent = FakeAgent::start().answers("POST /v1/pause", 200, &done);
    assert_snapshot!(agent.run(&["pause", "--for", "2h", "--reason", "new disks"]), @r"
    exit: 0
    stdout:
    Automatic failover is held back until 05:04:05 UTC
    ");
    assert_eq!(
        agent.asked(),
        [r#"POST /v1/pause {"for_seconds":7200,"reason":"new disks","dry_run":false}"#]
    );
}

#[test]
fn history_events_explanations_and_operations_are_tables() {
    let agent = FakeAgent::start()
        .answers("GET /v1/history", 200, &pictures::history())
        .answers("GET /v1/events", 200, &pictures::events())
        .answers("GET /v1/events", 200, &[(); 0])
        .answers("GET /v1/explain", 200, &pictures::explanation())
        .answers("GET /v1/operations", 200, &[pictures::operation(OperationState::Done, 3)])
        .answers("GET /v1/operations/op-12", 200, &pictures::operation(OperationState::Running, 1));
    assert_snapshot!(agent.run(&["history"]), @r"
    exit: 0
    stdout:
    TERM  PRIMARY   BEFORE    AT                    REASON      BY    POSITION
    1     ravena-2  -         -                     bootstrap   -     -
    7     ravena-1  ravena-2  2026-01-02T03:04:05Z  switchover  root  7@0/5A000060
    ");
    assert_snapshot!(agent.run(&["events", "-o", "wide"]), @r"
    exit: 0
    stdout:
    2026-01-02T03:04:05Z  ravena-1  lease.acquired  `ravena-1` holds the lease
        ttl 3500 ms
    ");
    assert_snapshot!(agent.run(&["explain"]), @r"
    exit: 0
    stdout:
    cluster: Automatic failover is possible.
      The lease of term 7 has 3.1 s left.
    hint: sb-cli switchover --to burlington-1

    CANDIDATE     GATE  OBSERVED  ALLOWED
    burlington-1  lag   0 B       1 MiB    passed
    tucson-1      lag   48 MiB    1 MiB    not passed
    ");
    assert_snapshot!(agent.run(&["ops"]), @r"
    exit: 0
    stdout:
    ID     KIND        STATE  BY    STARTED
    op-12  switchover  done   root  2026-01-02T03:04:05Z
    ");
    assert_snapshot!(agent.run(&["ops", "show", "op-12"]), @r"
    exit: 0
    stdout:
    switchover `op-12` by `root`, 2026-01-02T03:04:05Z: running
    [x] `ravena-1` stops PostgreSQL
    [ ] `burlington-1` takes the lease
    [ ] the others follow it
    ");
}

#[test]
fn json_says_which_version_it_is() {
    let agent = FakeAgent::start().answers("GET /v1/history", 200, &pictures::history());
    assert_snapshot!(agent.run(&["history", "-o", "json"]), @r#"
    exit: 0
    stdout:
    {
      "schema_version": 1,
      "history": [
        {
          "term": 1,
          "primary": "ravena-2",
          "previous": null,
          "at": null,
          "reason": "bootstrap",
          "by": null,
          "position": null
        },
        {
          "term": 7,
          "primary": "ravena-1",
          "previous": "ravena-2",
          "at": "2026-01-02T03:04:05Z",
          "reason": "switchover",
          "by": "root",
          "position": "7@0/5A000060"
        }
      ]
    }
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

/// Runs `init` into `out`, with a passphrase.
fn init(place: &Path, arguments: &[&str]) -> String {
    let passphrase = place.join("passphrase");
    std::fs::write(&passphrase, "correct horse battery\n").unwrap();
    let mut command = program();
    command.args(["init", "--out"]).arg(place.join("out")).arg("--passphrase-file").arg(passphrase);
    shown(command.args(arguments), place)
}

#[test]
fn init_makes_bundles_from_the_built_in_example() {
    let place = tempfile::TempDir::new().unwrap();
    assert_snapshot!(init(place.path(), &["--example"]), @r"
    exit: 0
    stdout:
    `HERE/out` holds the cluster `show-build`: burlington-1, montpelier-1, nantucket-1, ravena-1, ravena-2, tucson-1.
    On each SERVER, `HERE/out/SERVER/config` becomes /etc/show-build, `HERE/out/SERVER/state` /var/lib/show-build.
    Start `ravena-1` first: it starts the store. The others join by themselves.
    Keep `HERE/out/authority` to yourself; `HERE/out/operator` is for your laptop.
    ");

    let out = place.path().join("out");
    let identity = Identity::load(&out.join("ravena-1/state")).unwrap();
    assert!(identity.bootstrap);
    let secrets = Secrets::load(&out.join("tucson-1/state")).unwrap();
    let database = std::fs::read_to_string(out.join("config/database.json")).unwrap();
    assert!(database.contains(secrets.owner.expose()), "the application and the servers agree");
    assert!(!database.contains("change-me"));
    assert!(out.join("authority/ca.key.enc").exists());

    assert_snapshot!(init(place.path(), &["--example"]), @r"
    exit: 1
    stderr:
    error: `HERE/out` is not empty
    hint: Give --out a directory that does not exist yet.
    ");
}

#[test]
fn init_makes_bundles_from_a_few_words() {
    let place = tempfile::TempDir::new().unwrap();
    let sites =
        ["ravena=10.0.1.1@203.0.113.11", "burlington=10.0.2.1@203.0.113.21", "tucson=10.0.5.1@203.0.113.51"];
    let arguments: Vec<&str> = sites.iter().flat_map(|site| ["--site", site]).collect();
    assert_snapshot!(init(place.path(), &arguments), @r"
    exit: 0
    stdout:
    `HERE/out` holds the cluster `show-build`: burlington-1, ravena-1, tucson-1.
    On each SERVER, `HERE/out/SERVER/config` becomes /etc/show-build, `HERE/out/SERVER/state` /var/lib/show-build.
    Start `ravena-1` first: it starts the store. The others join by themselves.
    Keep `HERE/out/authority` to yourself; `HERE/out/operator` is for your laptop.
    ");
    assert!(place.path().join("out/burlington-1/state/tls/server.pem").exists());
}

#[test]
fn init_makes_nothing_from_documents_with_errors() {
    let place = tempfile::TempDir::new().unwrap();
    assert_snapshot!(init(place.path(), &["--site", "ravena=10.0.1.1@203.0.113.11,10.0.1.1@203.0.113.12"]), @r#"
    exit: 1
    stderr:
    warning: the cluster cannot lose one voter
    at: sites.json line 1 [voters.cannot_lose_one]
    detail: The 2 voters are `ravena-1`, `ravena-2`; a majority of them is all of them. No server takes over by itself.
    hint: Enable servers at three sites; one of them may be a witness (`"postgres": false`).

    error: address 10.0.1.1 is used twice
    at: sites.json line 17, /ravena/servers/1/wireguardIp [address.twice]
    detail: It is the mesh address of `ravena-1` (sites.json line 12) and the mesh address of `ravena-2`.

    error: there is 1 error in what you gave: nothing was changed
    "#);
    assert!(!place.path().join("out").exists());
    assert_snapshot!(init(place.path(), &[]), @r"
    exit: 2
    stderr:
    error: say where the documents come from
    hint: --example, --config DIR, or --site NAME=ADDRESS once for each site
    ");
}

#[test]
fn a_configuration_directory_is_checked_as_a_whole() {
    let place = tempfile::TempDir::new().unwrap();
    let validate = |output: &str| {
        shown(program().args(["config", "validate", "-o", output]).arg(place.path()), place.path())
    };
    init(place.path(), &["--example"]);
    for file in ["sites.json", "database.json", "network.json", "policy.json"] {
        std::fs::copy(place.path().join("out/config").join(file), place.path().join(file)).unwrap();
    }
    assert_snapshot!(validate("table"), @r"
    exit: 0
    stdout:
    `HERE` describes 6 servers and can be used.
    ");
    std::fs::write(place.path().join("sites.json"), "{\"ravena\": {\"role\": \"boss\"}}").unwrap();
    assert_snapshot!(validate("table"), @r#"
    exit: 1
    stderr:
    error: no site is enabled
    at: sites.json line 1 [site.none_enabled]
    hint: Set `"enabled": true` for the sites that take part.

    error: `boss` is not a value of `role`
    at: sites.json line 1, /ravena/role [value.unknown]
    detail: One of `primary`, `replica`.

    error: there are 2 errors in `HERE`: nothing was changed
    "#);
    assert!(validate("json").starts_with("exit: 1\nstdout:\n{\n  \"schema_version\": 1,\n  \"problems\": ["));
}

#[test]
fn demo_and_lab_have_words_of_their_own() {
    let nowhere = Path::new("/nonexistent");
    assert!(shown(program().args(["demo", "--help"]), nowhere).contains("--scenario"));
    assert!(shown(program().args(["lab", "--help"]), nowhere).contains("shell"));
}
