use std::time::Duration;

use sb_api::{
    FailsafePart, KernelFence, Level, ProxyAccess, Role, ServerStatus, Status, StoreKind, StoreRole,
    StoreStatus, SyncState,
};
use sb_client::Client;
use serde::Serialize;

use crate::args::{Output, StatusArgs};
use crate::exit::Exit;
use crate::table::{Cell, Table};
use crate::terminal::{Colour, Ink, Terminal};
use crate::units;
use crate::verbs::{Ended, write_json_as_is};

/// Pause between two pictures of `--watch`.
const WATCH_PAUSE: Duration = Duration::from_secs(1);

pub async fn run(args: &StatusArgs, client: &Client, output: Output, terminal: &mut Terminal) -> Ended {
    if !args.watch {
        let status = client.status().await?;
        match output {
            Output::Json => write_json_as_is(&status, terminal)?,
            Output::Table | Output::Wide => terminal.data(page(&status, output, terminal.colour()))?,
        }
        return Ok(exit(status.cluster.verdict.level));
    }
    loop {
        // An agent that restarts is part of what is watched.
        match client.status().await {
            Ok(status) if output == Output::Json => write_json_as_is(&status, terminal)?,
            Ok(status) => terminal.redraw(page(&status, output, terminal.colour()))?,
            Err(error) if error.may_pass() => terminal.talk(format!("waiting: {error}")),
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(WATCH_PAUSE).await;
    }
}

fn exit(level: Level) -> Exit {
    match level {
        Level::Ok => Exit::Done,
        Level::Degraded => Exit::Degraded,
        Level::Critical => Exit::Critical,
    }
}

/// The whole page.
fn page(status: &Status, output: Output, colour: Colour) -> String {
    let mut lines = header(status, colour);
    lines.push(String::new());
    let table = if output == Output::Wide { wide(status, colour) } else { narrow(status, colour) };
    lines.push(table.to_string());
    if output == Output::Wide && status.servers.iter().any(|server| !server.proxy.is_empty()) {
        lines.extend([String::new(), proxies(status, colour).to_string()]);
    }
    let problems = status.servers.iter().flat_map(|server| {
        server.problems.iter().map(move |problem| format!("  {}: {problem}", server.name))
    });
    let problems: Vec<String> = problems.collect();
    if !problems.is_empty() {
        lines.extend([String::new(), "problems:".into()]);
        lines.extend(problems);
    }
    lines.join("\n")
}

fn header(status: &Status, colour: Colour) -> Vec<String> {
    let cluster = &status.cluster;
    let (word, ink) = match cluster.verdict.level {
        Level::Ok => ("ok", Ink::Green),
        Level::Degraded => ("DEGRADED", Ink::Yellow),
        Level::Critical => ("CRITICAL", Ink::Red),
    };
    let word = ink.paint(word, colour);
    let mut lines = vec![format!("{}: {word}. {}", cluster.name, cluster.verdict.sentence)];
    let term = cluster.term.map_or("no term yet".into(), |term| format!("term {term}"));
    let durability = json_word(&cluster.durability);
    lines.push(format!("durability {durability}; {term}; {}", store_line(&cluster.store)));
    let troubled = cluster.store.endpoints.iter().filter_map(|it| Some((&it.url, it.trouble.as_ref()?)));
    lines.extend(troubled.map(|(url, trouble)| format!("etcd {url}: {trouble}")));
    if let Some(reason) = &cluster.degraded {
        lines.push(format!("degraded: {reason}"));
    }
    let part = |wanted| status.servers.iter().filter(move |it| it.failsafe == Some(wanted));
    if let Some(primary) = part(FailsafePart::Holds).next() {
        let promised = part(FailsafePart::Promised).map(|server| format!("`{}`", server.name));
        let promised = promised.collect::<Vec<_>>().join(", ");
        let server = &primary.name;
        lines.push(format!("FAILSAFE: `{server}` goes on without the store by the promises of {promised}"));
    }
    if let Some(reason) = &cluster.manual_failover {
        lines.push(format!("no server takes over by itself: {reason}"));
    }
    if let Some(pause) = &cluster.paused {
        let remaining = pause.remaining_seconds.map(units::show_seconds);
        let remaining =
            remaining.map_or("until an unknown time".into(), |time| format!("for another {time}"));
        let reason = pause.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        lines.push(format!("automatic failover paused by `{}` {remaining}{reason}", pause.by));
    }
    if let Some(last) = &cluster.last_handover {
        let at = last.at.as_deref().map_or("an unknown time".into(), units::show_moment);
        lines.push(format!("last change: `{}` by {} at {at}", last.primary, last.reason));
    }
    lines
}

fn store_line(store: &StoreStatus) -> String {
    if store.kind == StoreKind::Etcd {
        let answer = store.endpoints.iter().filter(|endpoint| endpoint.answers).count();
        let quorum = if store.majority == Some(true) { "" } else { ", no quorum" };
        return format!("store etcd ({answer} of {} endpoints answer{quorum})", store.endpoints.len());
    }
    let leader = match &store.leader {
        Some(leader) => format!("store led by `{leader}`"),
        None => "store without a known leader".into(),
    };
    let voters = units::show_count(store.voters.len(), "voter");
    let learners = units::show_count(store.learners.len(), "learner");
    format!("{leader} ({voters}, {learners})")
}

fn narrow(status: &Status, colour: Colour) -> Table {
    let mut table = Table::new(colour, &["SITE", "SERVER", "ROLE", "SYNC", "LAG", "RTT"]);
    for server in &status.servers {
        table.row(vec![
            Cell::new(&server.site),
            Cell::new(&server.name),
            role(server),
            sync(server),
            lag(server),
            rtt(server),
        ]);
    }
    table
}

fn wide(status: &Status, colour: Colour) -> Table {
    let titles = [
        "SITE", "SERVER", "ROLE", "STATE", "SYNC", "TL", "FLUSHED", "LAG", "UPSTREAM", "STORE", "LEASE",
        "GUARD", "FENCE", "RTT", "LIFE", "AGENT",
    ];
    let mut table = Table::new(colour, &titles);
    for server in &status.servers {
        table.row(vec![
            Cell::new(&server.site),
            Cell::new(&server.name),
            role(server),
            Cell::new(&server.state),
            sync(server),
            Cell::of(server.timeline),
            Cell::of(server.flushed_lsn.as_ref()),
            lag(server),
            Cell::of(server.upstream.as_ref()),
            store(server),
            Cell::of(server.lease.map(|lease| format!("{} ms", lease.remaining_ms))),
            Cell::of(server.guard.as_ref().map(|guard| json_word(&guard.state))),
            fence(server),
            rtt(server),
            Cell::of(server.incarnation.map(|life| format!("{life:016x}"))),
            Cell::of(server.agent_version.as_ref()),
        ]);
    }
    table
}

/// Where clients come in, and how many have.
fn proxies(status: &Status, colour: Colour) -> Table {
    let titles = ["SERVER", "PROXY", "LEADS TO", "OPEN", "HELD", "ACCEPTED", "CUT", "GIVEN UP", "REFUSED"];
    let mut table = Table::new(colour, &titles);
    let all = status.servers.iter().flat_map(|server| server.proxy.iter().map(move |it| (server, it)));
    for (server, listener) in all {
        let address = Cell::new(&listener.address);
        table.row(vec![
            Cell::new(&server.name),
            if listener.trouble.is_some() { address.ink(Ink::Red) } else { address },
            Cell::new(match listener.access {
                ProxyAccess::ReadWrite => "the primary",
                ProxyAccess::ReadOnly => "a standby",
                ProxyAccess::Unknown => "?",
            }),
            Cell::new(listener.open.to_string()),
            Cell::new(listener.held.to_string()),
            Cell::new(listener.accepted.to_string()),
            Cell::new(listener.cut.to_string()),
            Cell::new(listener.held_too_long.to_string()),
            Cell::new(listener.refused.to_string()),
        ]);
    }
    table
}

fn role(server: &ServerStatus) -> Cell {
    if server.reachable == Some(false) {
        return Cell::new("unreachable").ink(Ink::Red);
    }
    let ink = match server.role {
        Role::Primary => Ink::Green,
        Role::Standby | Role::Witness => Ink::Plain,
        Role::Promoting | Role::Cloning | Role::Rewinding => Ink::Yellow,
        Role::Fenced | Role::Stopped | Role::Unknown => Ink::Red,
    };
    Cell::new(server.role.word()).ink(ink)
}

fn sync(server: &ServerStatus) -> Cell {
    Cell::of(server.sync.filter(|sync| *sync != SyncState::Unknown).map(|sync| json_word(&sync)))
}

fn lag(server: &ServerStatus) -> Cell {
    match (server.role, server.lag_bytes) {
        (Role::Primary, _) => Cell::new(""),
        (Role::Standby, None) => Cell::new("unknown").ink(Ink::Yellow),
        (_, lag) => Cell::of(lag.map(units::show_bytes)),
    }
}

fn rtt(server: &ServerStatus) -> Cell {
    Cell::of(server.rtt_ms.map(|ms| format!("{ms:.1} ms")))
}

fn store(server: &ServerStatus) -> Cell {
    Cell::of((server.store_role != StoreRole::Unknown).then(|| json_word(&server.store_role)))
}

fn fence(server: &ServerStatus) -> Cell {
    Cell::of((server.kernel_fence != KernelFence::Unknown).then(|| json_word(&server.kernel_fence)))
}

/// The word that a unit variant has in JSON: one name for a thing, in every format.
fn json_word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => "?".into(),
    }
}
