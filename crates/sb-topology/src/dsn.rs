//! How an application finds the primary: connection strings, and a configuration for HAProxy. Passwords are in none of
//! them: a password belongs into `~/.pgpass`, `PGPASSWORD` or a secret of the application.
//!
//! Sources: libpq's manual, 34.1.1.3 (several hosts) and 34.1.2 (parameters); pgJDBC's "Connection Fail-over".

use std::fmt::Write as _;
use std::net::SocketAddr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{ServerName, Topology};

/// What may stand in a part of a URI as it is (RFC 3986, 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// After which a server that does not answer is passed over, in seconds. libpq takes less than 2 for 2.
const CONNECT_TIMEOUT_SECONDS: u32 = 3;

/// After which a host that has vanished under an open connection is given up, in seconds: 5 of silence, then three
/// questions 2 apart.
const VANISHED_AFTER_SECONDS: u32 = 11;

/// Where the HAProxy of [`DsnFormat::Haproxy`] listens.
const HAPROXY_PORTS: [(Access, u16); 2] = [(Access::ReadWrite, 5000), (Access::ReadOnly, 5001)];

/// Where an agent answers the health checks of load balancers.
const HEALTH_PORT: u16 = 8008;

/// How far behind a standby may be that HAProxy leads readers to.
const READER_LAG: &str = "16MB";

/// What the application does there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Write: the primary alone.
    ReadWrite,
    /// Read: a standby, or the primary where there is none. HAProxy counts the primary among the readers.
    ReadOnly,
}

/// In which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DsnFormat {
    /// A URI with every server, for psql, psycopg and what else is built on libpq.
    Libpq,
    /// A URL with every server, for pgJDBC.
    Jdbc,
    /// A URI with one address, for sqlx and other drivers that take no list: the proxy of the agent on the same machine.
    Sqlx,
    /// libpq's environment variables.
    Env,
    /// A configuration file of HAProxy, for both kinds of access.
    Haproxy,
}

/// The text that leads to this cluster's database. With `root_certificate`, the file of the cluster's authority, the
/// server has to prove its name, or behind a proxy that it is of the cluster; without it the line is encrypted and the
/// server's word is taken. HAProxy passes the client's own TLS through.
#[must_use]
pub fn dsn(topology: &Topology, format: DsnFormat, access: Access, root_certificate: Option<&str>) -> String {
    let target = Target { topology, access, root_certificate };
    match format {
        DsnFormat::Libpq => target.libpq(),
        DsnFormat::Jdbc => target.jdbc(),
        DsnFormat::Sqlx => target.sqlx(),
        DsnFormat::Env => target.env(),
        DsnFormat::Haproxy => haproxy(topology),
    }
}

struct Target<'a> {
    topology: &'a Topology,
    access: Access,
    root_certificate: Option<&'a str>,
}

impl Target<'_> {
    fn libpq(&self) -> String {
        let mut parameters = vec![
            ("target_session_attrs", self.session().to_owned()),
            ("connect_timeout", CONNECT_TIMEOUT_SECONDS.to_string()),
            ("keepalives_idle", "5".to_owned()),
            ("keepalives_interval", "2".to_owned()),
            ("keepalives_count", "3".to_owned()),
            ("tcp_user_timeout", (VANISHED_AFTER_SECONDS * 1000).to_string()),
        ];
        parameters.extend(self.tls());
        let (role, database) = self.names();
        format!("postgresql://{role}@{}/{database}?{}", self.hosts(), joined(&parameters, encoded))
    }

    fn jdbc(&self) -> String {
        let server = match self.access {
            Access::ReadWrite => "primary",
            Access::ReadOnly => "preferSecondary",
        };
        let mut parameters = vec![
            ("targetServerType", server.to_owned()),
            ("connectTimeout", CONNECT_TIMEOUT_SECONDS.to_string()),
            ("tcpKeepAlive", "true".to_owned()),
            // Which server is what is asked anew after a second, not after ten.
            ("hostRecheckSeconds", "1".to_owned()),
            ("user", self.topology.database().username.clone()),
        ];
        parameters.extend(self.tls());
        format!("jdbc:postgresql://{}/{}?{}", self.hosts(), self.names().1, joined(&parameters, encoded))
    }

    fn sqlx(&self) -> String {
        let (role, database) = self.names();
        // The certificate names the server at the other end, not this machine: its name cannot be asked for.
        let tls: Vec<_> = match self.root_certificate {
            Some(file) => vec![("sslmode", "verify-ca".to_owned()), ("sslrootcert", file.to_owned())],
            None => self.tls(),
        };
        format!("postgresql://{role}@{}/{database}?{}", self.proxy(), joined(&tls, encoded))
    }

    /// The proxy's address on loopback; else the first one that takes clients as they are; where the proxy is not to
    /// listen at all, what `database.json` names.
    fn proxy(&self) -> String {
        let routing = &self.topology.policy().routing;
        let all = match self.access {
            Access::ReadWrite => &routing.read_write,
            Access::ReadOnly => &routing.read_only,
        };
        let plain = all.iter().filter(|address| !routing.proxy_protocol.contains(address));
        let nearest = plain.min_by_key(|address| !address.get().ip().is_loopback());
        let database = self.topology.database();
        nearest.map_or_else(|| format!("{}:{}", database.host, database.port), ToString::to_string)
    }

    fn env(&self) -> String {
        let (hosts, ports): (Vec<_>, Vec<_>) =
            addresses(self.topology).map(|(_, at)| (at.ip().to_string(), at.port().to_string())).unzip();
        let database = self.topology.database();
        let mut variables = vec![
            ("PGHOST", hosts.join(",")),
            ("PGPORT", ports.join(",")),
            ("PGDATABASE", database.database.clone()),
            ("PGUSER", database.username.clone()),
            ("PGTARGETSESSIONATTRS", self.session().to_owned()),
            ("PGCONNECT_TIMEOUT", CONNECT_TIMEOUT_SECONDS.to_string()),
        ];
        variables.extend(self.tls().into_iter().map(|(name, value)| match name {
            "sslrootcert" => ("PGSSLROOTCERT", value),
            _ => ("PGSSLMODE", value),
        }));
        let lines = variables.iter().map(|(name, value)| format!("{name}={}\n", quoted(value)));
        lines.collect()
    }

    fn session(&self) -> &'static str {
        match self.access {
            Access::ReadWrite => "read-write",
            Access::ReadOnly => "prefer-standby",
        }
    }

    fn tls(&self) -> Vec<(&'static str, String)> {
        match self.root_certificate {
            Some(file) => vec![("sslmode", "verify-full".to_owned()), ("sslrootcert", file.to_owned())],
            None => vec![("sslmode", "require".to_owned())],
        }
    }

    fn names(&self) -> (String, String) {
        let database = self.topology.database();
        (encoded(&database.username), encoded(&database.database))
    }

    fn hosts(&self) -> String {
        addresses(self.topology).map(|(_, address)| address.to_string()).collect::<Vec<_>>().join(",")
    }
}

/// The primary site's servers first, then by the sites' priority: most often the first one is the right one.
fn addresses(topology: &Topology) -> impl Iterator<Item = (&ServerName, SocketAddr)> {
    let mut sites: Vec<_> = topology.sites().iter().collect();
    sites.sort_by_key(|site| (site.role != crate::SiteRole::Primary, site.priority));
    let servers = sites.into_iter().flat_map(|site| &site.servers);
    servers.filter_map(|server| {
        let port = server.postgres.port()?;
        Some((&server.name, SocketAddr::new(server.mesh_address, port)))
    })
}

fn haproxy(topology: &Topology) -> String {
    let mut text = "# Written by sb-cli dsn --format haproxy. Checked with HAProxy 2.6.\n\
        defaults\n    mode tcp\n    maxconn 1000\n    retries 2\n    timeout connect 4s\n    timeout check 3s\n    \
        timeout client 30m\n    timeout server 30m\n    option clitcpka\n    option srvtcpka\n"
        .to_owned();
    for (access, port) in HAPROXY_PORTS {
        let (name, check) = match access {
            Access::ReadWrite => ("primary", "/primary".to_owned()),
            Access::ReadOnly => ("readers", format!("/read-only?lag={READER_LAG}")),
        };
        let _ = write!(
            text,
            "\nlisten {name}\n    bind 127.0.0.1:{port}\n    balance leastconn\n    option httpchk GET {check}\n    \
             http-check expect status 200\n    default-server inter 1s fastinter 300ms fall 2 rise 1 \
             on-marked-down shutdown-sessions\n"
        );
        for (server, address) in addresses(topology) {
            let _ = writeln!(text, "    server {server} {address} check port {HEALTH_PORT}");
        }
    }
    text
}

fn joined(parameters: &[(&str, String)], write: impl Fn(&str) -> String) -> String {
    let pairs: Vec<_> = parameters.iter().map(|(name, value)| format!("{name}={}", write(value))).collect();
    pairs.join("&")
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// For a shell, and for files of variables that are read like one.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.,:/".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
