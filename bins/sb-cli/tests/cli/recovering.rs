//! Going on without the majority of the store.

use insta::assert_snapshot;
use sb_api::{Gate, OperationState, Problem, RecoveryPlan, RecoveryServer, Role, StoreRole};

use crate::agent::FakeAgent;
use crate::pictures;

fn server(name: &str, position: Option<&str>, at_risk_bytes: Option<u64>) -> RecoveryServer {
    let answers = position.is_some();
    RecoveryServer {
        name: name.into(),
        site: name.split('-').next().unwrap().into(),
        answers,
        silent_seconds: (!answers).then_some(125),
        store_role: if name == "ravena-2" { StoreRole::Learner } else { StoreRole::Voter },
        role: if answers { Role::Standby } else { Role::Unknown },
        position: position.map(Into::into),
        at_risk_bytes,
        gates: if answers { vec![Gate::passed("standby", "standby", "standby")] } else { Vec::new() },
    }
}

fn lost() -> RecoveryPlan {
    let mut behind = server("tucson-1", Some("1@0/5A000000"), Some(50_331_848));
    behind.gates.push(Gate::failed("has more log", "`nantucket-1`: 47 MiB", "no server that answers"));
    RecoveryPlan {
        observer: "nantucket-1".into(),
        gates: vec![Gate::passed("majority lost", "2 of 5 voters answer", "fewer than 3")],
        servers: vec![
            server("ravena-1", None, None),
            server("ravena-2", None, None),
            server("burlington-1", None, None),
            server("nantucket-1", Some("1@0/5D000000"), Some(200)),
            behind,
        ],
        silent: ["ravena-1", "ravena-2", "burlington-1"].map(String::from).to_vec(),
        store_silent_seconds: Some(125),
        last_primary: Some("ravena-1".into()),
        term: Some(7),
        last_position: Some("1@0/5D0000C8".into()),
        best: Some("nantucket-1".into()),
        unknown: vec!["what `ravena-1` wrote after it last said where its log ends".into()],
    }
}

#[test]
fn the_plan_says_what_is_at_risk_and_what_to_type() {
    let agent = FakeAgent::start().answers("GET /v1/recovery", 200, &lost());
    assert_snapshot!(agent.run(&["recover", "--plan"]), @r"
    exit: 0
    stdout:
    The majority of the store does not answer for 2m 5s, as `nantucket-1` sees it.
    The last primary that is known was `ravena-1` (term 7), its log at 1@0/5D0000C8.

    SERVER        ANSWERS        STORE    ROLE     LOG ENDS AT   AT RISK
    ravena-1      no, for 2m 5s  voter    unknown  -             -
    ravena-2      no, for 2m 5s  learner  unknown  -             -
    burlington-1  no, for 2m 5s  voter    unknown  -             -
    nantucket-1   yes            voter    standby  1@0/5D000000  200 B
    tucson-1      yes            voter    standby  1@0/5A000000  49 MiB
    `tucson-1` cannot go on: has more log: `nantucket-1`: 47 MiB, allowed no server that answers.

    Nobody can know
    - what `ravena-1` wrote after it last said where its log ends

    If the silent servers will never come back by themselves, on the server that goes on:
      sb-cli recover --to nantucket-1 --confirm-lost ravena-1,ravena-2,burlington-1 --accept-data-loss 200 --expect-primary ravena-1
    stderr:
    Nothing was changed.
    ");
    let json = agent.run(&["--output", "json", "recover", "--plan"]);
    assert!(json.contains("\"schema_version\": 1") && json.contains("\"at_risk_bytes\": 200"), "{json}");
}

#[test]
fn a_plan_with_a_majority_says_that_there_is_nothing_to_recover() {
    let mut plan = lost();
    plan.gates = vec![Gate::failed("majority lost", "the store has one", "fewer than 3")];
    let agent = FakeAgent::start().answers("GET /v1/recovery", 200, &plan);
    let shown = agent.run(&["recover", "--plan"]);
    assert!(shown.contains("No recovery: majority lost: the store has one"), "{shown}");
    assert!(!shown.contains("--confirm-lost"), "{shown}");
}

const RECOVER: [&str; 9] = [
    "recover",
    "--to",
    "nantucket-1",
    "--confirm-lost",
    "ravena-1,ravena-2,burlington-1",
    "--accept-data-loss",
    "1KiB",
    "--yes",
    "--expect-primary=ravena-1",
];

#[test]
fn a_recovery_says_what_nobody_can_know_and_outlasts_the_agents_restart() {
    let agent = FakeAgent::start()
        .answers("GET /v1/recovery", 200, &lost())
        .answers("POST /v1/recover", 200, &pictures::operation(OperationState::Planned, 0))
        .answers("POST /v1/recover", 202, &pictures::operation(OperationState::Running, 1))
        .answers("GET /v1/operations/op-12", 503, &Problem::unavailable("store.no_majority", "not now"))
        .answers("GET /v1/operations/op-12", 200, &pictures::operation(OperationState::Done, 3));
    assert_snapshot!(agent.run(&RECOVER), @r"
    exit: 0
    stdout:
    `burlington-1` is primary (term 8); `ravena-1` follows it
    stderr:
    Nobody can know what `ravena-1` wrote after it last said where its log ends.
    - `ravena-1` stops PostgreSQL
    - `burlington-1` takes the lease
    - the others follow it
    ");
    let posts: Vec<_> = agent.asked().into_iter().filter(|asked| asked.starts_with("POST")).collect();
    let asked = concat!(
        r#"POST /v1/recover {"to":"nantucket-1","confirm_lost":["ravena-1","ravena-2","burlington-1"],"#,
        r#""accept_data_loss_bytes":1024,"dry_run":false,"expect_primary":"ravena-1"}"#
    );
    assert_eq!(posts[1], asked);
}

#[test]
fn a_refusal_names_its_gates() {
    let refused = Problem::refused("recover.refused", "cannot go on with `nantucket-1` alone")
        .gates(vec![Gate::failed("declared lost and not silent", "burlington-1", "none")])
        .hint("What there is, and what to confirm: sb-cli recover --plan");
    let agent = FakeAgent::start().answers("GET /v1/recovery", 200, &lost()).answers(
        "POST /v1/recover",
        409,
        &refused,
    );
    assert_snapshot!(agent.run(&RECOVER), @r"
    exit: 3
    stderr:
    error: cannot go on with `nantucket-1` alone
    gate: declared lost and not silent: burlington-1, allowed none
    hint: What there is, and what to confirm: sb-cli recover --plan
    ");
}

#[test]
fn a_recovery_without_its_confirmations_is_a_fault_of_usage() {
    let agent = FakeAgent::start();
    for arguments in
        [&["recover"][..], &["recover", "--to", "nantucket-1"], &["recover", "--plan", "--to", "x"]]
    {
        let shown = agent.run(arguments);
        assert!(shown.starts_with("exit: 2\n"), "{shown}");
    }
    assert_eq!(agent.asked(), [] as [&str; 0], "nobody was asked anything");
}

#[test]
fn a_server_that_was_given_up_is_let_back_in() {
    let mut done = pictures::operation(OperationState::Done, 0);
    done.result = Some("`ravena-1` may join the store again, as a new incarnation".into());
    let agent = FakeAgent::start().answers("POST /v1/rejoin", 200, &done);
    assert_snapshot!(agent.run(&["server", "rejoin", "ravena-1"]), @r"
    exit: 0
    stdout:
    `ravena-1` may join the store again, as a new incarnation
    ");
}
