//! Verbs that move the primary or hold back failover.

use insta::assert_snapshot;
use sb_api::{OperationState, Problem};

use crate::agent::{FakeAgent, run_with_person};
use crate::pictures;

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
fn a_changed_durability_is_shown_before_it_is_asked_for() {
    let mut planned = pictures::operation(OperationState::Planned, 0);
    planned.steps.truncate(1);
    planned.steps[0].name = "PostgreSQL waits for 2 standbys that have everything".into();
    planned.result = Some("commits would wait for 2 other servers".into());
    let agent = FakeAgent::start().answers("GET /v1/status", 200, &pictures::healthy()).answers(
        "POST /v1/durability",
        200,
        &planned,
    );
    assert_snapshot!(agent.run(&["durability", "strict", "--number", "2", "--dry-run"]), @r"
    exit: 0
    stdout:
    1. PostgreSQL waits for 2 standbys that have everything
    commits would wait for 2 other servers
    stderr:
    Nothing was changed.
    ");
    assert_eq!(
        agent.asked()[1],
        r#"POST /v1/durability {"durability":"strict","number":2,"dry_run":true,"expect_primary":"ravena-1"}"#
    );
}

#[test]
fn a_key_is_replaced_with_its_steps_told() {
    let mut done = pictures::operation(OperationState::Done, 3);
    done.result = Some("the server's public key is AAAA=; every session was made anew within 40 ms".into());
    let agent = FakeAgent::start().answers("POST /v1/mesh/rotate", 200, &done);
    assert_snapshot!(agent.run(&["net", "rotate-key", "ravena-1"]), @r"
    exit: 0
    stdout:
    the server's public key is AAAA=; every session was made anew within 40 ms
    stderr:
    - `ravena-1` stops PostgreSQL
    - `burlington-1` takes the lease
    - the others follow it
    ");
    let asked = r#"POST /v1/mesh/rotate {"server":"ravena-1","abandon":false,"dry_run":false}"#;
    assert_eq!(agent.asked(), [asked]);
}

#[test]
fn the_key_of_another_server_is_not_replaced_from_here() {
    let problem =
        Problem::refused("mesh.rotation.elsewhere", "cannot replace the WireGuard key of `tucson-1`")
            .hint("Ask that server itself: sb-cli --ssh tucson-1 net rotate-key");
    let agent = FakeAgent::start().answers("POST /v1/mesh/rotate", 409, &problem);
    assert_snapshot!(agent.run(&["net", "rotate-key", "tucson-1"]), @r"
    exit: 3
    stderr:
    error: cannot replace the WireGuard key of `tucson-1`
    hint: Ask that server itself: sb-cli --ssh tucson-1 net rotate-key
    ");
}

#[test]
fn preshared_keys_are_replaced_with_a_step_a_pair() {
    let mut done = pictures::operation(OperationState::Done, 3);
    done.result = Some("1 pair has a new preshared key".into());
    let agent = FakeAgent::start().answers("POST /v1/mesh/preshared", 200, &done);
    assert_snapshot!(agent.run(&["net", "rotate-preshared", "ravena-1", "tucson-1"]), @r"
    exit: 0
    stdout:
    1 pair has a new preshared key
    stderr:
    - `ravena-1` stops PostgreSQL
    - `burlington-1` takes the lease
    - the others follow it
    ");
    let asked = r#"POST /v1/mesh/preshared {"of":"ravena-1","with":"tucson-1","abandon":false,"forget":null,"dry_run":false}"#;
    assert_eq!(agent.asked(), [asked]);
}

#[test]
fn the_key_of_a_server_that_was_set_up_anew_is_accepted() {
    let mut done = pictures::operation(OperationState::Done, 3);
    done.steps.clear();
    done.result = Some("all know `tucson-1` by AAAA=, and by no other key".into());
    let agent = FakeAgent::start().answers("POST /v1/mesh/accept", 200, &done);
    assert_snapshot!(agent.run(&["net", "accept-key", "tucson-1", "AAAA="]), @r"
    exit: 0
    stdout:
    all know `tucson-1` by AAAA=, and by no other key
    ");
    let asked = r#"POST /v1/mesh/accept {"server":"tucson-1","public_key":"AAAA=","dry_run":false}"#;
    assert_eq!(agent.asked(), [asked]);
}
