//! A topology back to documents.

use crate::documents::{
    BackupDocument, DatabaseDocument, DurabilityDocument, FailoverDocument, NetworkDocument,
    OperatorDocument, PolicyDocument, PostgresDocument, PostgresPlacementDocument, RoutingDocument,
    ServerDocument, SiteDocument, SitesDocument, StoreDocument,
};
use crate::{
    DatabaseSettings, FailoverPolicy, FailoverProfile, NetworkSettings, Operator, PRIVATE_KEY_MARKER, Policy,
    PostgresPlacement, PublicKey, RoutingPolicy, Server, Site, StorePolicy, Topology,
};

pub(crate) fn database(settings: &DatabaseSettings) -> DatabaseDocument {
    DatabaseDocument {
        host: settings.host.clone(),
        port: settings.port,
        database: settings.database.clone(),
        username: settings.username.clone(),
        password: settings.password.reveal().to_owned(),
        ssl: settings.ssl,
    }
}

pub(crate) fn sites(topology: &Topology) -> SitesDocument {
    let enabled = topology.sites().iter().map(|it| (it.name.to_string(), site(it)));
    let disabled = topology.disabled_sites().iter().map(|it| (it.name.to_string(), it.document.clone()));
    SitesDocument(enabled.chain(disabled).collect())
}

/// The application reads the site's own two addresses, so they are always written: those of its first server.
fn site(site: &Site) -> SiteDocument {
    let first = site.servers.first();
    SiteDocument {
        ip: first.and_then(|server| server.ip).map(|ip| ip.to_string()).unwrap_or_default(),
        wireguard_ip: first.map(|server| server.mesh_address.to_string()).unwrap_or_default(),
        enabled: true,
        replication_mode: site.mode,
        role: site.role,
        name: (site.label != site.name.as_str()).then(|| site.label.clone()),
        subnet: site.subnet.map(|subnet| subnet.to_string()),
        priority: (site.priority != Site::PRIORITY_DEFAULT).then_some(site.priority),
        servers: (!is_understood(site)).then(|| site.servers.iter().map(server).collect()),
    }
}

/// Whether the site's servers are what a site without `servers` has.
fn is_understood(site: &Site) -> bool {
    let [sole] = site.servers.as_slice() else { return false };
    sole.name.as_str() == format!("{}-1", site.name)
        && sole.postgres == PostgresPlacement::default()
        && sole.public_key.is_none()
        && sole.endpoint.is_none()
        && sole.lan_ip.is_none()
        && sole.voter.is_none()
}

pub(crate) fn server(server: &Server) -> ServerDocument {
    ServerDocument {
        name: server.name.to_string(),
        ip: server.ip.map(|ip| ip.to_string()),
        lan_ip: server.lan_ip.map(|ip| ip.to_string()),
        wireguard_ip: server.mesh_address.to_string(),
        public_key: server.public_key.as_ref().map(PublicKey::to_string),
        endpoint: server.endpoint.as_ref().map(ToString::to_string),
        postgres: postgres(&server.postgres),
        voter: server.voter,
    }
}

fn postgres(placement: &PostgresPlacement) -> Option<PostgresDocument> {
    match placement {
        PostgresPlacement::Nowhere => Some(PostgresDocument::Present(false)),
        PostgresPlacement::Here { .. } if *placement == PostgresPlacement::default() => None,
        PostgresPlacement::Here { port, data_dir } => {
            Some(PostgresDocument::Placed(PostgresPlacementDocument {
                port: (*port != PostgresPlacement::PORT_DEFAULT).then_some(*port),
                data_dir: data_dir.as_ref().map(|path| path.to_string_lossy().into_owned()),
            }))
        }
    }
}

pub(crate) fn network(settings: &NetworkSettings) -> NetworkDocument {
    NetworkDocument {
        public_key: settings.public_key.as_ref().map(PublicKey::to_string).unwrap_or_default(),
        private_key: PRIVATE_KEY_MARKER.to_owned(),
        listen_port: settings.listen_port,
        endpoint: settings.endpoint.as_ref().map(ToString::to_string),
        interface: settings.interface.clone(),
        mtu: settings.mtu,
        keepalive_seconds: settings.keepalive_seconds,
        mode: settings.mode,
        operators: settings.operators.iter().map(operator).collect(),
    }
}

fn operator(operator: &Operator) -> OperatorDocument {
    OperatorDocument {
        name: operator.name.to_string(),
        public_key: operator.public_key.to_string(),
        wireguard_ip: operator.mesh_address.to_string(),
    }
}

pub(crate) fn policy(policy: &Policy) -> PolicyDocument {
    PolicyDocument {
        failover: Some(failover(&policy.failover)),
        durability: Some(DurabilityDocument {
            mode: policy.durability.mode,
            n: Some(policy.durability.n),
            fallback_after_ms: Some(policy.durability.fallback_after_ms),
        }),
        backup: Some(BackupDocument {
            schedule: Some(policy.backup.schedule.to_string()),
            retention_days: Some(policy.backup.retention_days),
            weekly: Some(policy.backup.weekly),
            monthly: Some(policy.backup.monthly),
        }),
        store: store(&policy.store),
        routing: routing(&policy.routing),
        notifications: None,
        maintenance: None,
    }
}

/// The default leaves no trace, as the store's.
fn routing(policy: &RoutingPolicy) -> Option<RoutingDocument> {
    if *policy == RoutingPolicy::default() {
        return None;
    }
    let texts = |addresses: &[crate::ListenAddress]| addresses.iter().map(ToString::to_string).collect();
    Some(RoutingDocument {
        read_write: Some(texts(&policy.read_write)),
        read_only: Some(texts(&policy.read_only)),
        proxy_protocol: Some(texts(&policy.proxy_protocol)),
        socket_dir: policy.socket_dir.as_ref().map(|path| path.to_string_lossy().into_owned()),
        hold_ms: Some(policy.hold_ms),
        lag_bound_bytes: Some(policy.lag_bound_bytes),
        connections_max: Some(policy.connections_max),
    })
}

/// The default leaves no trace, so that documents of earlier clusters stay as they are.
fn store(policy: &StorePolicy) -> Option<StoreDocument> {
    let StorePolicy::Etcd(etcd) = policy else { return None };
    let text = |path: &std::path::PathBuf| path.to_string_lossy().into_owned();
    let (certificate, key) =
        etcd.client.as_ref().map(|(certificate, key)| (text(certificate), text(key))).unzip();
    let (username, password) = etcd.login.as_ref().map(|(name, file)| (name.clone(), text(file))).unzip();
    Some(StoreDocument {
        kind: policy.kind(),
        endpoints: Some(etcd.endpoints.iter().map(ToString::to_string).collect()),
        ca_file: etcd.ca_file.as_ref().map(text),
        cert_file: certificate,
        key_file: key,
        username,
        password_file: password,
    })
}

fn failover(policy: &FailoverPolicy) -> FailoverDocument {
    let document = FailoverDocument {
        profile: Some(policy.profile),
        lag_bound_bytes: Some(policy.lag_bound_bytes),
        restart_budget_ms: Some(policy.restart_budget_ms),
        failsafe: Some(policy.failsafe),
        ..FailoverDocument::default()
    };
    if policy.profile != FailoverProfile::Custom {
        return document;
    }
    let timings = policy.timings;
    FailoverDocument {
        heartbeat_ms: Some(timings.heartbeat_ms),
        election_min_ms: Some(timings.election_min_ms),
        election_max_ms: Some(timings.election_max_ms),
        renew_ms: Some(timings.renew_ms),
        lease_ttl_ms: Some(timings.lease_ttl_ms),
        fence_lead_ms: Some(timings.fence_lead_ms),
        drift_ppm: Some(timings.drift_ppm),
        margin_ms: Some(timings.margin_ms),
        ..document
    }
}
