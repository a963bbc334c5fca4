use std::fmt::Write;
use std::time::Duration;

use sb_api::{
    AcceptKeyRequest, Mesh, MeshPeer, MeshPreshared, MeshStatus, RotateKeyRequest, RotatePresharedRequest,
};
use sb_client::Client;

use crate::args::{AcceptKeyArgs, NetCommand, Output, RotateKeyArgs, RotatePresharedArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::table::{Cell, Table};
use crate::terminal::{Ink, Terminal};
use crate::units::show_micros;
use crate::verbs::net_keys::{keys, missed};
use crate::verbs::net_matrix::{ink, matrix};
use crate::verbs::transfer::{finish, show_plan};
use crate::verbs::{Ended, write_json};

/// Longest wait for an answer for which the agent asks others in turn.
const REQUEST_LIMIT: Duration = Duration::from_secs(20);

/// Longest wait for an answer that is there already.
const ACCEPTED: Duration = Duration::from_secs(10);

pub async fn run(command: NetCommand, client: &Client, output: Output, terminal: &mut Terminal) -> Ended {
    let show: fn(&Mesh, &mut Terminal) -> Ended = match command {
        NetCommand::Status => |mesh, terminal| {
            let ended = status(own(mesh)?, terminal);
            missed(mesh, own(mesh)?, terminal);
            ended
        },
        NetCommand::Keys => |mesh, terminal| keys(mesh, own(mesh)?, terminal),
        NetCommand::Matrix => matrix,
        NetCommand::ShowConfig => |mesh, terminal| show_config(own(mesh)?, terminal),
        NetCommand::RotateKey(args) => return rotate_key(args, client, output, terminal).await,
        NetCommand::RotatePreshared(args) => return rotate_preshared(args, client, output, terminal).await,
        NetCommand::AcceptKey(args) => return accept_key(args, client, output, terminal).await,
    };
    let mesh = client.mesh().await?;
    match output {
        Output::Json => {
            write_json(&mesh, terminal)?;
            Ok(Exit::Done)
        }
        Output::Table | Output::Wide => show(&mesh, terminal),
    }
}

async fn rotate_key(args: RotateKeyArgs, client: &Client, output: Output, terminal: &mut Terminal) -> Ended {
    let RotateKeyArgs { of, abandon, dry_run, timeout } = args;
    let operation = client.rotate_key(&RotateKeyRequest { server: of, abandon, dry_run }).await?;
    if dry_run {
        return show_plan(&operation, output, terminal);
    }
    finish(operation, timeout, client, output, terminal).await
}

async fn rotate_preshared(
    args: RotatePresharedArgs,
    client: &Client,
    output: Output,
    terminal: &mut Terminal,
) -> Ended {
    let RotatePresharedArgs { of, with, abandon, forget, dry_run, timeout } = args;
    let request = RotatePresharedRequest { of, with, abandon, forget, dry_run };
    // Every server that makes keys of the pairs is asked before the answer comes.
    let patient = client.clone().deadline(REQUEST_LIMIT);
    let operation = patient.rotate_preshared(&request).await?;
    if dry_run {
        return show_plan(&operation, output, terminal);
    }
    finish(operation, timeout, client, output, terminal).await
}

async fn accept_key(args: AcceptKeyArgs, client: &Client, output: Output, terminal: &mut Terminal) -> Ended {
    let AcceptKeyArgs { of, public_key, dry_run } = args;
    let request = AcceptKeyRequest { server: of, public_key, dry_run };
    let operation = client.accept_key(&request).await?;
    if dry_run {
        return show_plan(&operation, output, terminal);
    }
    finish(operation, ACCEPTED, client, output, terminal).await
}

/// The interface of the server that was asked.
fn own(mesh: &Mesh) -> Result<&MeshStatus, Failure> {
    let server = mesh.servers.iter().find(|server| server.name == mesh.observer);
    server.and_then(|server| server.mesh.as_ref()).ok_or_else(|| {
        Failure::new(Exit::Failed, format!("the agent of `{}` keeps no mesh", mesh.observer))
            .detail("The topology names no WireGuard key for this server.")
            .hint(
                "Make one with `sb-agent mesh-key` and put it into `publicKey` of this server in sites.json.",
            )
    })
}

fn status(mesh: &MeshStatus, terminal: &mut Terminal) -> Ended {
    let titles = [
        "PEER",
        "STATE",
        "PATH",
        "HANDSHAKE",
        "RTT",
        "LOSS",
        "MTU",
        "CLOCK",
        "SHARED KEY",
        "ENDPOINT",
        "ADDRESSES",
        "RECEIVED",
        "SENT",
    ];
    let mut table = Table::new(terminal.colour(), &titles);
    for peer in &mesh.peers {
        table.row(vec![
            Cell::new(&peer.name),
            Cell::new(peer.state.as_str()).ink(ink(peer.state)),
            match &peer.via {
                Some(via) => Cell::new(format!("via {via}")).ink(Ink::Yellow),
                None => Cell::new("direct"),
            },
            Cell::of(peer.handshake_age_seconds.map(|age| format!("{age} s ago"))),
            Cell::of(peer.round_trip_us.map(show_micros)),
            loss(peer),
            packets(peer),
            Cell::of(peer.clock_offset_us.map(|offset| clock(offset, peer.clock_uncertainty_us))),
            Cell::of(peer.preshared.as_ref().map(preshared)),
            Cell::of(peer.endpoint.as_ref()),
            Cell::new(peer.addresses.join(" ")),
            Cell::new(crate::units::show_bytes(peer.received_bytes)),
            Cell::new(crate::units::show_bytes(peer.sent_bytes)),
        ]);
    }
    terminal.data(table)?;
    Ok(Exit::Done)
}

fn loss(peer: &MeshPeer) -> Cell {
    let shade = match peer.loss_percent {
        None | Some(0) => Ink::Plain,
        Some(100) => Ink::Red,
        Some(_) => Ink::Yellow,
    };
    Cell::of(peer.loss_percent.map(|loss| format!("{loss}%"))).ink(shade)
}

/// The largest packets to a peer, and whether they come through.
fn packets(peer: &MeshPeer) -> Cell {
    match (peer.mtu_passes, peer.full_size) {
        (Some(false), _) => Cell::new("BLACK HOLE").ink(Ink::Red),
        (Some(true), Some(false)) => Cell::of(peer.mtu).ink(Ink::Yellow),
        (Some(true), _) => Cell::of(peer.mtu),
        (None, _) => Cell::of(peer.mtu.map(|mtu| format!("{mtu}?"))).ink(Ink::Dim),
    }
}

/// Whether a pair has a preshared key, for how long, and whether another is on its way.
fn preshared(held: &MeshPreshared) -> String {
    let kept = match (&held.key, held.age_seconds) {
        (None, _) => "none".to_owned(),
        (Some(_), Some(age)) => show_age(age),
        (Some(_), None) => "yes".to_owned(),
    };
    match held.step {
        Some(step) => format!("{kept}, new: {}", step.as_str()),
        None => kept,
    }
}

/// An age in the largest unit that it has two of.
fn show_age(seconds: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(86_400, "d"), (3_600, "h"), (60, "min")];
    let unit = UNITS.iter().find(|(size, _)| seconds >= 2 * size);
    unit.map_or_else(|| format!("{seconds} s"), |(size, name)| format!("{} {name}", seconds / size))
}

/// How far a clock is ahead of that of the server that was asked, in milliseconds.
fn clock(offset_us: i64, uncertainty_us: Option<u64>) -> String {
    let uncertainty = uncertainty_us.map_or(String::new(), |us| format!(" +-{}", us.div_ceil(1_000)));
    format!("{:+}{uncertainty} ms", offset_us / 1_000)
}

/// What the documents want, what the interface has, and the difference. Private and preshared keys are never shown.
fn show_config(mesh: &MeshStatus, terminal: &mut Terminal) -> Ended {
    let mut text = String::new();
    let mut line = |words: std::fmt::Arguments<'_>| {
        writeln!(text, "{words}").map_err(|_| Failure::new(Exit::Failed, "could not write"))
    };
    line(format_args!("interface `{}`: {} WireGuard", mesh.interface, mesh.kind))?;
    line(format_args!("  address {}/32, MTU {}, UDP port {}", mesh.address, mesh.mtu, mesh.listen_port))?;
    line(format_args!("  public key {}", mesh.public_key))?;
    for peer in &mesh.peers {
        line(format_args!("peer `{}`: {}", peer.name, peer.public_key))?;
        let wanted = if peer.wanted_endpoints.is_empty() {
            "it calls".into()
        } else {
            peer.wanted_endpoints.join(", ")
        };
        line(format_args!("  endpoint wanted: {wanted}"))?;
        line(format_args!("  endpoint live:   {}", peer.endpoint.as_deref().unwrap_or("none")))?;
        if let Some(via) = &peer.via {
            line(format_args!("  packets go via {via}, which has its addresses too"))?;
        }
        line(format_args!("  addresses live:  {}", peer.addresses.join(", ")))?;
        line(format_args!("  keepalive live:  {} s", peer.keepalive_seconds))?;
        if let Some(held) = &peer.preshared {
            let mark = held.key.as_ref().map_or(String::new(), |mark| format!(", known as {mark}"));
            line(format_args!("  preshared key:   {}{mark}", preshared(held)))?;
            if let Some(waits) = &held.waits {
                line(format_args!("  the new one waits: {waits}"))?;
            }
        }
    }
    for name in &mesh.without_key {
        line(format_args!("server `{name}`: its key is not known; it is no peer"))?;
    }
    match mesh.differences.as_slice() {
        [] => line(format_args!("difference: none"))?,
        differences => {
            for difference in differences {
                line(format_args!("difference: {difference}"))?;
            }
        }
    }
    terminal.data(text.trim_end())?;
    Ok(Exit::Done)
}
