//! What old and new programs may say to each other.

use sb_api::{
    FailoverRequest, Gate, JoinAnswer, JoinRequest, OperationState, Problem, Role, ServerStatus,
    SwitchoverRequest,
};
use serde_json::{Value, json};

#[test]
fn an_older_client_reads_a_newer_agents_answer() {
    let mut answer = serde_json::to_value(ServerStatus::unknown("ravena-1", "ravena")).expect("it is JSON");
    answer["moonPhase"] = json!("waxing");
    answer["role"] = json!("levitating");
    answer["state"] = json!("hovering");

    let read: ServerStatus = serde_json::from_value(answer).expect("unknown words are no fault");

    assert_eq!((read.role, read.state.as_str()), (Role::Unknown, "hovering"));
    let state: OperationState = serde_json::from_value(json!("dreaming")).expect("it is read");
    assert_eq!(state, OperationState::Unknown);
}

#[test]
fn a_misspelt_safety_option_is_refused() {
    let misspelt = [json!({"dryrun": true}), json!({"dry_run": "yes"}), json!({"expectPrimary": "ravena-1"})];
    for request in misspelt {
        assert!(serde_json::from_value::<SwitchoverRequest>(request.clone()).is_err(), "{request}");
    }
    let loss = json!({"to": "tucson-1", "accept_data_loss": 1});
    assert!(serde_json::from_value::<FailoverRequest>(loss).is_err());
}

#[test]
fn what_is_not_said_is_the_careful_choice() {
    let request: FailoverRequest = serde_json::from_value(json!({"to": "tucson-1"})).expect("it is enough");
    assert_eq!((request.accept_data_loss_bytes, request.expect_primary), (None, None));
}

#[test]
fn a_measurement_that_is_missing_is_unknown_and_not_zero() {
    let answer = serde_json::to_value(ServerStatus::unknown("ravena-1", "ravena")).expect("it is JSON");
    for key in ["lag_bytes", "lag_seconds", "rtt_ms", "flushed_lsn", "reachable"] {
        assert_eq!(answer[key], Value::Null, "{key}");
    }
}

#[test]
fn a_problem_has_the_members_of_rfc_9457_and_ours() {
    let problem = Problem::refused("failover.may_lose_commits", "cannot promote `tucson-1`")
        .gates(vec![Gate::failed("lag", "48 MiB", "1 MiB")]);
    let expected = json!({
        "type": "urn:show-build:problem:failover.may_lose_commits",
        "title": "cannot promote `tucson-1`",
        "status": 409,
        "code": "failover.may_lose_commits",
        "gates": [{"name": "lag", "observed": "48 MiB", "limit": "1 MiB", "ok": false}],
    });
    assert_eq!(serde_json::to_value(problem).expect("it is JSON"), expected);
}

#[test]
fn an_answer_to_a_join_says_which_it_is() {
    let answer = JoinAnswer::Elsewhere { leader: "ravena-2".into(), address: None };
    let expected = json!({"answer": "elsewhere", "leader": "ravena-2", "address": null});
    assert_eq!(serde_json::to_value(answer).expect("it is JSON"), expected);
}

#[test]
fn an_incarnation_is_text_that_no_reader_rounds() {
    let mut server = ServerStatus::unknown("ravena-1", "ravena");
    server.incarnation = Some(16_475_081_331_446_485_374);
    let answer = serde_json::to_value(&server).expect("it is JSON");
    assert_eq!(answer["incarnation"], "e4a33f2ea689917e");
    assert_eq!(serde_json::from_value::<ServerStatus>(answer).expect("it is read"), server);
}

#[test]
fn a_server_that_knows_of_no_recovery_asks_an_older_agent_in_its_words() {
    let first = JoinRequest {
        cluster_id: "id".into(),
        incarnation: 7,
        address: "10.0.1.1:7432".into(),
        generation: 0,
    };
    let asked = serde_json::to_value(&first).expect("it is JSON");
    assert_eq!(asked, json!({"cluster_id": "id", "incarnation": 7, "address": "10.0.1.1:7432"}));
    assert_eq!(serde_json::from_value::<JoinRequest>(asked).expect("it is read"), first);
    let later = serde_json::to_value(JoinRequest { generation: 2, ..first }).expect("it is JSON");
    assert_eq!(later["generation"], 2);
}
