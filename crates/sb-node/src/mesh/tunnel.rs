//! A laptop's way into the mesh: the tunnel of one wg-quick file, without wg-quick.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sb_topology::{MeshMode, NameError, NetworkSettings, ServerName};
use sb_wireguard::wg_quick::{QUICK_BYTES_MAX, QuickFile, QuickPeer, QuickProblem};
use sb_wireguard::{AllowedIp, DesiredInterface, DesiredPeer, PeerKind};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::agreed::Agreed;
use super::upkeep::{Upkeep, UpkeepError};

/// Between two looks at the interface, in milliseconds.
const LOOK_MS: u64 = 5_000;

/// The tunnel of a file cannot be brought up.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// The file cannot be read.
    #[error("could not read `{}`", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no file of wg-quick, or not one that can be followed.
    #[error("`{}` cannot be used:{}", path.display(), listed(problems))]
    Problems {
        /// Which.
        path: PathBuf,
        /// Every one of them.
        problems: Vec<QuickProblem>,
    },
    /// It asks for something that is not done here.
    #[error("`{}` has {what}", path.display())]
    Unsupported {
        /// Which.
        path: PathBuf,
        /// What it asks for.
        what: &'static str,
    },
    /// Its name cannot be an interface's.
    #[error("the name of `{}` cannot be that of a network interface", path.display())]
    Name {
        /// Which.
        path: PathBuf,
    },
    /// A peer has no name that could be shown.
    #[error(transparent)]
    Peer(#[from] NameError),
    /// The interface cannot be had.
    #[error("could not bring the tunnel up")]
    Upkeep(#[from] UpkeepError),
}

/// Brings the tunnel of a file up and keeps it until `stop`. The interface has the file's name without its ending.
///
/// # Errors
/// When the file cannot be followed, or the system refuses the interface at the beginning; later the tunnel is put right
/// as long as this runs.
pub async fn tunnel(path: &Path, stop: CancellationToken) -> Result<(), TunnelError> {
    let mut upkeep = read(path)?;
    let patience = Duration::from_millis(LOOK_MS);
    upkeep.look(patience, &Agreed::default()).await?;
    tracing::info!(interface = %upkeep.desired.name, "the tunnel is up");
    let mut looks = tokio::time::interval_at(Instant::now() + patience, patience);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            _ = looks.tick() => {}
        }
        if let Err(error) = upkeep.look(patience, &Agreed::default()).await {
            tracing::warn!(%error, "the tunnel could not be put right");
        }
    }
    Ok(upkeep.end().map_err(UpkeepError::from)?)
}

fn read(path: &Path) -> Result<Upkeep, TunnelError> {
    let failed = |source| TunnelError::File { path: path.to_owned(), source };
    let length = std::fs::metadata(path).map_err(failed)?.len();
    if length > u64::try_from(QUICK_BYTES_MAX).unwrap_or(u64::MAX) {
        return Err(failed(io::Error::other(format!("it has {length} bytes, more than {QUICK_BYTES_MAX}"))));
    }
    let text = zeroize::Zeroizing::new(std::fs::read_to_string(path).map_err(failed)?);
    let problems = |problems| TunnelError::Problems { path: path.to_owned(), problems };
    desired(path, QuickFile::read(&text).map_err(problems)?)
}

fn desired(path: &Path, file: QuickFile) -> Result<Upkeep, TunnelError> {
    let unsupported = |what| TunnelError::Unsupported { path: path.to_owned(), what };
    let commands = [&file.pre_up, &file.post_up, &file.pre_down, &file.post_down];
    if commands.iter().any(|commands| !commands.is_empty()) {
        return Err(unsupported("commands, which only wg-quick carries out"));
    }
    if file.table.is_some() || file.firewall_mark != 0 || !file.dns.is_empty() {
        return Err(unsupported("`Table`, `FwMark` or `DNS`, which only wg-quick follows"));
    }
    if file.peers.iter().flat_map(|peer| &peer.addresses).any(|range| range.prefix() == 0) {
        return Err(unsupported("a peer for all addresses, which would take the tunnel's own packets too"));
    }
    let key = file.private_key.ok_or_else(|| unsupported("no `PrivateKey`"))?;
    let [(address, _)] = file.addresses[..] else { return Err(unsupported("not just one `Address`")) };
    let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    if name.is_empty() || name.len() > NetworkSettings::INTERFACE_BYTES_MAX {
        return Err(TunnelError::Name { path: path.to_owned() });
    }
    let whole = if address.is_ipv4() { 32 } else { 128 };
    let mut peers = file.peers.into_iter().enumerate().map(peer).collect::<Result<Vec<_>, _>>()?;
    peers.sort_by_key(|peer| peer.public_key);
    let desired = DesiredInterface {
        server: ServerName::new("here")?,
        name: name.to_owned(),
        mtu: file.mtu.unwrap_or(NetworkSettings::MTU_DEFAULT),
        listen_port: file.listen_port.unwrap_or_default(),
        address: AllowedIp::containing(address, whole).map_err(|_| unsupported("no usable `Address`"))?,
        peers,
        without_key: Vec::new(),
    };
    Ok(Upkeep::new(desired, key, MeshMode::Auto))
}

/// A file names its peers by their keys only.
fn peer((index, peer): (usize, QuickPeer)) -> Result<DesiredPeer, NameError> {
    Ok(DesiredPeer {
        name: ServerName::new(format!("peer-{}", index + 1))?,
        kind: PeerKind::Server,
        public_key: peer.public_key,
        preshared_key: peer.preshared_key,
        endpoints: peer.endpoint.into_iter().collect(),
        keepalive_seconds: peer.keepalive_seconds,
        addresses: peer.addresses.into_iter().collect::<BTreeSet<_>>().into_iter().collect(),
    })
}

fn listed(problems: &[QuickProblem]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}
