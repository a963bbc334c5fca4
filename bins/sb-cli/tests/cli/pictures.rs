//! Answers of agents that the tests use.

use sb_api::{
    Candidate, ClusterStatus, Durability, Event, Explanation, Gate, GuardState, GuardStatus, HistoryEntry,
    Judgement, KernelFence, LeaseStatus, Level, Operation, OperationState, Problem, Role, SCHEMA_VERSION,
    ServerStatus, SiteStatus, Status, Step, StepState, StoreRole, StoreStatus, Verdict,
};

const AT: &str = "2026-01-02T03:04:05Z";

pub fn healthy() -> Status {
    Status {
        schema_version: SCHEMA_VERSION,
        observer: "ravena-1".into(),
        at: AT.into(),
        cluster: ClusterStatus {
            id: "0c9a".into(),
            name: "show-build".into(),
            durability: Durability::Async,
            term: Some(7),
            primary: Some("ravena-1".into()),
            verdict: Verdict {
                level: Level::Ok,
                sentence: "`ravena-1` is primary; 2 of 2 standbys stream.".into(),
            },
            paused: None,
            degraded: None,
            store: StoreStatus {
                leader: Some("ravena-1".into()),
                voters: vec!["ravena-1".into(), "burlington-1".into(), "tucson-1".into()],
                learners: vec![],
                majority: Some(true),
                kind: sb_api::StoreKind::Raft,
                endpoints: vec![],
            },
            topology_generation: Some(1),
            last_handover: history().pop(),
            manual_failover: None,
        },
        sites: vec![SiteStatus { name: "ravena".into(), title: None, servers: vec!["ravena-1".into()] }],
        servers: vec![primary(), standby("burlington", 0, 8.1), standby("tucson", 49_000, 75.3)],
    }
}

fn primary() -> ServerStatus {
    ServerStatus {
        role: Role::Primary,
        state: "primary".into(),
        agent_version: Some("0.1.0".into()),
        incarnation: Some(1),
        reachable: Some(true),
        timeline: Some(7),
        flushed_lsn: Some("0/5D0000C8".into()),
        lease: Some(LeaseStatus { term: 7, remaining_ms: 3120 }),
        guard: Some(GuardStatus {
            state: GuardState::Armed,
            fence_in_ms: Some(2620),
            postmaster: Some(4711),
        }),
        kernel_fence: KernelFence::Open,
        store_role: StoreRole::Leader,
        ..ServerStatus::unknown("ravena-1", "ravena")
    }
}

fn standby(site: &str, lag_bytes: u64, rtt_ms: f64) -> ServerStatus {
    ServerStatus {
        role: Role::Standby,
        state: "following".into(),
        agent_version: Some("0.1.0".into()),
        incarnation: Some(2),
        reachable: Some(true),
        timeline: Some(7),
        flushed_lsn: Some("0/5D000000".into()),
        lag_bytes: Some(lag_bytes),
        upstream: Some("ravena-1".into()),
        store_role: StoreRole::Voter,
        rtt_ms: Some(rtt_ms),
        ..ServerStatus::unknown(format!("{site}-1"), site)
    }
}

/// A cluster in which `tucson-1` is gone and what is left is not what was promised.
pub fn degraded() -> Status {
    let mut status = healthy();
    status.cluster.verdict =
        Verdict { level: Level::Degraded, sentence: "`tucson-1` does not answer.".into() };
    status.cluster.durability = Durability::Sync;
    status.cluster.degraded = Some("commits wait for nobody since 03:04:01".into());
    status.cluster.paused = Some(sb_api::PauseStatus {
        by: "root".into(),
        reason: Some("new disks".into()),
        remaining_seconds: Some(7100),
    });
    status.servers[1].lag_bytes = None;
    let tucson = &mut status.servers[2];
    *tucson = ServerStatus {
        reachable: Some(false),
        problems: vec!["It has not answered for 12 s.".into()],
        ..ServerStatus::unknown("tucson-1", "tucson")
    };
    status
}

pub fn critical() -> Status {
    let mut status = healthy();
    status.cluster.verdict = Verdict { level: Level::Critical, sentence: "Nobody is primary.".into() };
    status.cluster.primary = None;
    status
}

pub fn history() -> Vec<HistoryEntry> {
    vec![
        HistoryEntry {
            term: 1,
            primary: "ravena-2".into(),
            previous: None,
            at: None,
            reason: "bootstrap".into(),
            by: None,
            position: None,
        },
        HistoryEntry {
            term: 7,
            primary: "ravena-1".into(),
            previous: Some("ravena-2".into()),
            at: Some(AT.into()),
            reason: "switchover".into(),
            by: Some("root".into()),
            position: Some("7@0/5A000060".into()),
        },
    ]
}

pub fn operation(state: OperationState, done: usize) -> Operation {
    let names = ["`ravena-1` stops PostgreSQL", "`burlington-1` takes the lease", "the others follow it"];
    let step = |(index, name): (usize, &&str)| Step {
        name: (*name).into(),
        state: if index < done { StepState::Done } else { StepState::Waiting },
    };
    let result = match state {
        OperationState::Planned => {
            Some("`burlington-1` would be primary; writes pause for about 1 s.".into())
        }
        OperationState::Done => Some("`burlington-1` is primary (term 8); `ravena-1` follows it".into()),
        _ => None,
    };
    Operation {
        id: "op-12".into(),
        kind: "switchover".into(),
        state,
        by: "root".into(),
        started_at: AT.into(),
        steps: names.iter().enumerate().map(step).collect(),
        result,
        problem: None,
    }
}

pub fn may_lose_commits() -> Problem {
    Problem::refused(
        "failover.may_lose_commits",
        "cannot promote `tucson-1`: it may lack commits that clients saw confirmed",
    )
    .detail("Its received position is 0/5A000060; the last confirmed position is 0/5D0000C8 on timeline 7.")
    .hint(
        "Promote `burlington-1`, which has everything: sb-cli failover --to burlington-1\n\
         To accept the loss of up to 48 MiB: sb-cli failover --to tucson-1 --accept-data-loss 48MiB",
    )
    .gates(vec![Gate::passed("reachable", "yes", "yes"), Gate::failed("lag", "48 MiB", "1 MiB")])
}

pub fn events() -> Vec<Event> {
    vec![Event {
        id: 41,
        at: AT.into(),
        server: "ravena-1".into(),
        kind: "lease.acquired".into(),
        term: Some(7),
        message: "`ravena-1` holds the lease".into(),
        detail: Some("ttl 3500 ms".into()),
    }]
}

pub fn judgement() -> Judgement {
    let why = "it held the lease, and has not come back as a standby";
    Judgement {
        term: 7,
        holder: "ravena-2".into(),
        renewal: 812,
        by: "ravena-1".into(),
        at: AT.into(),
        winner: Some("ravena-1".into()),
        verdict: "`ravena-1` takes over: what it lacks of the last position told is within the bound".into(),
        candidates: vec![
            Candidate {
                server: "ravena-1".into(),
                place: Some(1),
                why: Some("goes before `burlington-1`: it stands at the former primary's site".into()),
                gates: vec![Gate::passed("report", "0/5A000060 on timeline 6", "for term 6, renewal 812")],
            },
            Candidate {
                server: "ravena-2".into(),
                place: None,
                why: Some(why.into()),
                gates: vec![Gate::failed("report", "none", "for term 6, renewal 812")],
            },
        ],
    }
}

pub fn explanation() -> Explanation {
    Explanation {
        subject: "cluster".into(),
        message: "Automatic failover is possible.".into(),
        details: vec!["The lease of term 7 has 3.1 s left.".into()],
        next: None,
        hints: vec!["sb-cli switchover --to burlington-1".into()],
        candidates: vec![
            Candidate {
                server: "burlington-1".into(),
                place: Some(1),
                why: Some("the only one that may take over".into()),
                gates: vec![Gate::passed("reachable", "yes", "yes"), Gate::passed("lag", "0 B", "1 MiB")],
            },
            Candidate::unranked("tucson-1", vec![Gate::failed("lag", "48 MiB", "1 MiB")]),
        ],
        judged: Some(judgement()),
    }
}
