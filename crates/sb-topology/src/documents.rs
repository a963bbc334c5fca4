//! The documents as they stand in files: their keys, optional values and JSON Schemas.
//!
//! The application's keys are a contract and stay as they are; ours are added inside its objects and all of
//! them are optional. These types are written and described; reading goes through [`crate::load`], which knows
//! where each value stands.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema};
use serde::Serialize;

use crate::{Durability, FailoverProfile, Failsafe, MeshMode, ReplicationMode, SiteRole, StoreKind};

/// `database.json`: how the application reaches its database.
#[derive(Clone, Serialize, JsonSchema)]
pub struct DatabaseDocument {
    /// Name or address; in a cluster the proxy on the same machine.
    pub host: String,
    /// TCP port.
    #[serde(default = "defaults::postgres_port")]
    #[schemars(range(min = 1))]
    pub port: u16,
    /// The application's database.
    pub database: String,
    /// The role that owns it.
    pub username: String,
    /// The role's password.
    #[serde(default)]
    pub password: String,
    /// Whether to ask for TLS.
    #[serde(default)]
    pub ssl: bool,
}

/// `sites.json`: one entry per site, keyed by the site's name. Nothing else stands at the top level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct SitesDocument(pub BTreeMap<String, SiteDocument>);

/// One entry of `sites.json`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SiteDocument {
    /// Public address of the site's first server; may be empty while the site is disabled.
    #[serde(default)]
    pub ip: String,
    /// Mesh address of the site's first server; may be empty while the site is disabled.
    #[serde(default)]
    pub wireguard_ip: String,
    /// Whether the site takes part.
    #[serde(default)]
    pub enabled: bool,
    /// Whether the site's servers may be synchronous standbys (`sync`).
    #[serde(default)]
    pub replication_mode: ReplicationMode,
    /// Where the cluster is first started; exactly one enabled site is `primary`.
    #[serde(default)]
    pub role: SiteRole,
    /// The site's name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The network of the mesh addresses of this site's servers, in CIDR form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet: Option<String>,
    /// Preference when another site must take over: the smallest number first; 100 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u16>,
    /// The site's servers; when absent, one server named `<site>-1` with the site's two addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub servers: Option<Vec<ServerDocument>>,
}

/// One entry of a site's `servers`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerDocument {
    /// Unique in the cluster: a lower-case DNS label.
    pub name: String,
    /// Public address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// Address in the site's own network, by which the site's other servers reach its WireGuard first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lan_ip: Option<String>,
    /// Mesh address.
    pub wireguard_ip: String,
    /// WireGuard public key in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// `host:port` where its WireGuard is reached, when that is not `ip` with the listen port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Where PostgreSQL runs, or `false` for a witness, which has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postgres: Option<PostgresDocument>,
    /// Overrides the rule that chooses the voters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voter: Option<bool>,
}

/// `postgres` of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum PostgresDocument {
    /// `false`: a witness. `true`: as if the key were absent.
    Present(bool),
    /// Where it runs.
    Placed(PostgresPlacementDocument),
}

/// `postgres` of a server as an object.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PostgresPlacementDocument {
    /// Port on the mesh address; 5432 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// Absolute path of the data directory; the agent's own when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<String>,
}

/// `network.json`: the mesh as this one server takes part in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkDocument {
    /// This server's WireGuard public key in base64; empty until it is made.
    #[serde(default)]
    pub public_key: String,
    /// Always `***STORED_SECURELY***`: the key itself is in `.wireguard_private`.
    #[serde(default = "defaults::private_key")]
    #[schemars(extend("const" = crate::PRIVATE_KEY_MARKER))]
    pub private_key: String,
    /// UDP port.
    #[serde(default = "defaults::listen_port")]
    #[schemars(range(min = 1))]
    pub listen_port: u16,
    /// `host:port` where others reach it, when that is not `ip` with the listen port.
    pub endpoint: Option<String>,
    /// Name of the network interface.
    #[serde(default = "defaults::interface")]
    #[schemars(length(min = 1, max = 15))]
    pub interface: String,
    /// Bytes of a tunnelled packet.
    #[serde(default = "defaults::mtu")]
    #[schemars(range(min = 1280, max = 8920))]
    pub mtu: u16,
    /// Seconds between packets that keep a NAT open; 0 for none.
    #[serde(default = "defaults::keepalive_seconds")]
    pub keepalive_seconds: u16,
    /// Which WireGuard is used.
    #[serde(default)]
    pub mode: MeshMode,
    /// Machines of people who may enter the mesh.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub operators: Vec<OperatorDocument>,
}

/// One entry of `operators` of `network.json`: a peer that calls the servers and is not called by them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperatorDocument {
    /// Its name, for people: a lower-case DNS label.
    pub name: String,
    /// WireGuard public key in base64.
    pub public_key: String,
    /// Mesh address.
    pub wireguard_ip: String,
}

/// `policy.json`: how the cluster behaves. Every value has a default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct PolicyDocument {
    /// When and how another server takes over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failover: Option<FailoverDocument>,
    /// What a confirmed commit promises.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durability: Option<DurabilityDocument>,
    /// When backups are taken and how long they are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupDocument>,
    /// Where the cluster's record is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreDocument>,
    /// Where clients find the primary and the standbys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routing: Option<RoutingDocument>,
    /// Who is told; no settings yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notifications: Option<NoSettings>,
    /// When work may be done; no settings yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<NoSettings>,
}

/// An object that has no settings yet.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct NoSettings {}

/// `failover` of `policy.json`. The timings may be given with the profile `custom` only.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailoverDocument {
    /// Where the timings come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<FailoverProfile>,
    /// Between two heartbeats of the store's leader.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat_ms: Option<u64>,
    /// Shortest silence before an election of the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub election_min_ms: Option<u64>,
    /// Longest silence before an election of the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub election_max_ms: Option<u64>,
    /// Between two renewals of the lease.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renew_ms: Option<u64>,
    /// Length of the lease.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_ttl_ms: Option<u64>,
    /// How long before the lease ends PostgreSQL is killed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fence_lead_ms: Option<u64>,
    /// How far clock rates may differ from true, in parts per million.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift_ppm: Option<u32>,
    /// What a waiter adds to the lease beyond drift.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub margin_ms: Option<u64>,
    /// `async` only: bytes of log a server may lack and still take over by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_bound_bytes: Option<u64>,
    /// How long a crashed PostgreSQL may take to come back in place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_budget_ms: Option<u64>,
    /// Whether the primary may go on without the store's majority when every possible successor promises to wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failsafe: Option<Failsafe>,
}

/// `durability` of `policy.json`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DurabilityDocument {
    /// The mode; when absent `sync` if an enabled replica site says `sync`, else `async`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Durability>,
    /// On how many other servers a commit must be; 1 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 8))]
    pub n: Option<u8>,
    /// `sync` only: how long too few standbys may stay silent before commits go on without them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback_after_ms: Option<u64>,
}

/// `backup` of `policy.json`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupDocument {
    /// When the daily base backup starts, `HH:MM`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub schedule: Option<String>,
    /// Days for which every backup is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3650))]
    pub retention_days: Option<u16>,
    /// Weekly backups kept beyond these days.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 3650))]
    pub weekly: Option<u16>,
    /// Monthly backups kept beyond these days.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 3650))]
    pub monthly: Option<u16>,
}

/// `store` of `policy.json`. It is chosen when the cluster begins, and stays.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoreDocument {
    /// The kind; `raft` when absent.
    pub kind: StoreKind,
    /// `etcd` only: its members, `http://HOST:PORT` or `https://HOST:PORT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 9))]
    pub endpoints: Option<Vec<String>>,
    /// `etcd` only: authorities that its certificates are checked against, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// `etcd` only: the certificate shown to it, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<String>,
    /// `etcd` only: the certificate's key, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<String>,
    /// `etcd` only: its user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// `etcd` only: the file whose first line is the user's password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<String>,
}

/// `routing` of `policy.json`: the proxy of every agent. Addresses are `ADDRESS:PORT`, of loopback or a private network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoutingDocument {
    /// Where clients that write come in; `127.0.0.1:6432` when absent. Addresses of container bridges go here too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub read_write: Option<Vec<String>>,
    /// Where clients that only read come in; `127.0.0.1:6433` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub read_only: Option<Vec<String>>,
    /// Those of both on which every connection begins with a PROXY header (version 1 or 2).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub proxy_protocol: Option<Vec<String>>,
    /// A directory for the Unix sockets `.s.PGSQL.6432` and `.s.PGSQL.6433`; none when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket_dir: Option<String>,
    /// How long a connection waits for a primary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_ms: Option<u64>,
    /// How far behind a standby may be that readers are sent to, in bytes of log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_bound_bytes: Option<u64>,
    /// Connections that one address takes at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 50_000))]
    pub connections_max: Option<u32>,
}

/// The JSON Schema of each document: file name, such as `sites.schema.json`, and text.
#[must_use]
pub fn schema_files() -> [(&'static str, String); 4] {
    let text = |schema: &Schema| format!("{:#}\n", schema.as_value());
    [
        ("database.schema.json", text(&schemars::schema_for!(DatabaseDocument))),
        ("sites.schema.json", text(&schemars::schema_for!(SitesDocument))),
        ("network.schema.json", text(&schemars::schema_for!(NetworkDocument))),
        ("policy.schema.json", text(&schemars::schema_for!(PolicyDocument))),
    ]
}

mod defaults {
    use crate::{NetworkSettings, PostgresPlacement};

    pub(super) fn postgres_port() -> u16 {
        PostgresPlacement::PORT_DEFAULT
    }

    pub(super) fn private_key() -> String {
        crate::PRIVATE_KEY_MARKER.to_owned()
    }

    pub(super) fn listen_port() -> u16 {
        NetworkSettings::LISTEN_PORT_DEFAULT
    }

    pub(super) fn interface() -> String {
        NetworkSettings::INTERFACE_DEFAULT.to_owned()
    }

    pub(super) fn mtu() -> u16 {
        NetworkSettings::MTU_DEFAULT
    }

    pub(super) fn keepalive_seconds() -> u16 {
        NetworkSettings::KEEPALIVE_DEFAULT_SECONDS
    }
}
