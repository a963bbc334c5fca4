//! What is shown of a cluster.

use insta::assert_snapshot;
use sb_api::OperationState;

use crate::agent::FakeAgent;
use crate::pictures;

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

    SITE        SERVER        ROLE     STATE      SYNC  TL  FLUSHED     LAG     UPSTREAM  STORE   LEASE    GUARD  FENCE  RTT      LIFE              AGENT
    ravena      ravena-1      primary  primary    -     7   0/5D0000C8  -       -         leader  3120 ms  armed  open   -        0000000000000001  0.1.0
    burlington  burlington-1  standby  following  -     7   0/5D000000  0 B     ravena-1  voter   -        -      -      8.1 ms   0000000000000002  0.1.0
    tucson      tucson-1      standby  following  -     7   0/5D000000  48 KiB  ravena-1  voter   -        -      -      75.3 ms  0000000000000002  0.1.0
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
    automatic failover paused by `root` for another 1h 58m: new disks
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
    2026-01-02T03:04:05.000Z  ravena-1  lease.acquired  `ravena-1` holds the lease
        ttl 3500 ms
    ");
    assert_snapshot!(agent.run(&["explain"]), @r"
    exit: 0
    stdout:
    cluster: Automatic failover is possible.
      The lease of term 7 has 3.1 s left.
    hint: sb-cli switchover --to burlington-1

     1 `burlington-1` the only one that may take over

    CANDIDATE     GATE       OBSERVED  ALLOWED
    burlington-1  reachable  yes       yes      passed
    burlington-1  lag        0 B       1 MiB    passed
    tucson-1      lag        48 MiB    1 MiB    not passed

    judged for term 7, after renewal 812 of `ravena-2`, by `ravena-1` at 2026-01-02T03:04:05Z
      `ravena-1` takes over: what it lacks of the last position told is within the bound

     1 `ravena-1` goes before `burlington-1`: it stands at the former primary's site
     - `ravena-2` may not: it held the lease, and has not come back as a standby

    CANDIDATE  GATE    OBSERVED                  ALLOWED
    ravena-1   report  0/5A000060 on timeline 6  for term 6, renewal 812  passed
    ravena-2   report  none                      for term 6, renewal 812  not passed
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
fn a_code_is_explained_without_an_agent() {
    let agent = FakeAgent::start();
    assert_snapshot!(agent.run(&["explain", "durability.fell_back"]), @r"
    exit: 0
    stdout:
    durability.fell_back: an event of a server's journal
      Commits wait for no other server, because too few of those to wait for have answered.
    by itself: The set forms again when they are back. Until then no server takes over by itself.
    hint: Bring the silent servers back: the loss of the primary now would need a person, and could lose writes.
    ");
    let json = agent.run(&["explain", "store.rejected", "-o", "json"]);
    assert_eq!(json.matches("\"meaning\"").count(), 2, "an event and a problem: {json}");
}

#[test]
fn an_older_succession_is_asked_for_by_its_term() {
    let agent = FakeAgent::start().answers("GET /v1/explain", 200, &pictures::explanation());
    let shown = agent.run(&["explain", "--term", "7"]);
    assert!(shown.contains("judged for term 7, after renewal 812 of `ravena-2`, by `ravena-1`"), "{shown}");
    let both = agent.run(&["explain", "ravena-1", "--term", "7"]);
    assert!(both.starts_with("exit: 2"), "{both}");
}
