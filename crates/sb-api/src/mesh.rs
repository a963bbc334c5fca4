use serde::{Deserialize, Serialize};

use crate::MeshPreshared;

/// The mesh as the servers see it: the answer of `GET /v1/mesh`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mesh {
    /// The server that answers.
    pub observer: String,
    /// Every server of the cluster, sorted by name.
    pub servers: Vec<MeshServer>,
}

/// One server of the mesh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeshServer {
    /// Its name.
    pub name: String,
    /// What it says of its own interface; absent when it does not answer, or has none.
    pub mesh: Option<MeshStatus>,
    /// A round trip from the observer through the mesh, in microseconds; absent when there was none.
    pub round_trip_us: Option<u64>,
}

/// The WireGuard interface of one server, as it was at the agent's last look, at most a few seconds ago.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeshStatus {
    /// Name of the network interface.
    pub interface: String,
    /// Who encrypts: `kernel` or `userspace`.
    pub kind: String,
    /// The server's address in the mesh.
    pub address: String,
    /// Its public key, in base64.
    pub public_key: String,
    /// UDP port; 0 while it does not listen.
    pub listen_port: u16,
    /// Largest packet inside, in bytes.
    pub mtu: u16,
    /// Every machine that the documents want as a peer, sorted by name.
    pub peers: Vec<MeshPeer>,
    /// Servers of the cluster whose key nobody knows yet.
    pub without_key: Vec<String>,
    /// In what it was not as the documents say, a sentence each; put right since.
    pub differences: Vec<String>,
}

/// One peer of an interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeshPeer {
    /// Name of the server or operator.
    pub name: String,
    /// Whether it is heard.
    pub state: MeshPeerState,
    /// Its public key, in base64.
    pub public_key: String,
    /// Where the documents say it is reached, names as they stand there; none for an operator.
    pub wanted_endpoints: Vec<String>,
    /// Where it is reached at present.
    pub endpoint: Option<String>,
    /// The server that carries the packets to it while the direct path is down; absent when they go directly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// The addresses behind it.
    pub addresses: Vec<String>,
    /// Seconds between packets that keep a NAT open; 0 for none.
    pub keepalive_seconds: u16,
    /// Seconds since the last handshake, by this server's wall clock; absent before the first.
    pub handshake_age_seconds: Option<u64>,
    /// Bytes received from it.
    pub received_bytes: u64,
    /// Bytes sent to it.
    pub sent_bytes: u64,
    /// The middle round trip of the last minute's small probes, in microseconds; this and all below are absent where
    /// nothing is known, as for an operator. Probes take the way that packets take, also over a third server.
    #[serde(default)]
    pub round_trip_us: Option<u64>,
    /// The newest round trip, in microseconds.
    #[serde(default)]
    pub last_round_trip_us: Option<u64>,
    /// How many of a hundred of the last minute's small probes were lost, there or back; rounded up.
    #[serde(default)]
    pub loss_percent: Option<u8>,
    /// Whether packets as large as the interface's come through both ways.
    #[serde(default)]
    pub full_size: Option<bool>,
    /// Largest packet to it that is used, in bytes.
    #[serde(default)]
    pub mtu: Option<u16>,
    /// Whether packets of `mtu` bytes come through both ways. Not, and small ones do: the path is a black hole, and a size
    /// that passes is searched for or there is none.
    #[serde(default)]
    pub mtu_passes: Option<bool>,
    /// How far its wall clock is ahead of this server's, in microseconds. For people: nothing decides by it.
    #[serde(default)]
    pub clock_offset_us: Option<i64>,
    /// How far the truth may be from that, in microseconds.
    #[serde(default)]
    pub clock_uncertainty_us: Option<u64>,
    /// Where the preshared key of the pair stands here; absent when there never was one.
    #[serde(default)]
    pub preshared: Option<MeshPreshared>,
}

/// Whether a peer is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MeshPeerState {
    /// Its last handshake is fresh.
    Up,
    /// There was a handshake once, and none for longer than WireGuard's sessions last.
    Silent,
    /// There was never a handshake.
    Never,
}

impl MeshPeerState {
    /// The word that JSON has for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Silent => "silent",
            Self::Never => "never",
        }
    }
}
