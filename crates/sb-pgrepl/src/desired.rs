use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use sb_pgtypes::SystemIdentifier;

/// Longest name of a role or database, in bytes (`NAMEDATALEN` - 1).
const SQL_NAME_BYTES_MAX: usize = 63;

/// How this server's PostgreSQL should be configured. Plain data: what is not in it is not configured by anybody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// The cluster that this server belongs to, once that is known. A data directory of another one is refused.
    pub system_identifier: Option<SystemIdentifier>,
    /// Addresses to listen on, besides the Unix socket.
    pub listen: Vec<IpAddr>,
    /// Addresses of the other servers in the mesh, from which replication and rewinding may come.
    pub peers: Vec<IpAddr>,
    /// Whether the client rows are in force.
    pub client_access: ClientAccess,
    /// Who may use the database.
    pub client_rows: Vec<ClientRow>,
    /// Settings of the operator's choice, name to value; they win over the defaults, never over what safety needs.
    pub settings: BTreeMap<String, String>,
    /// Most WAL that slots may keep, in MiB: see [`crate::wal_budget_mib`].
    pub slot_wal_mib_max: u64,
}

impl Desired {
    /// The same with the client rows in or out of force.
    #[must_use]
    pub fn with_client_access(&self, client_access: ClientAccess) -> Self {
        Self { client_access, ..self.clone() }
    }
}

/// Whether clients are let in. Replication and the superuser's socket always are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAccess {
    /// `pg_hba.conf` has the client rows.
    Open,
    /// It has none. Sessions that are open stay open.
    Closed,
}

/// One row of `pg_hba.conf` for the application: TLS and SCRAM, always.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRow {
    /// The database.
    pub database: SqlName,
    /// The role.
    pub role: SqlName,
    /// Where it may come from.
    pub from: ClientNetwork,
}

/// A network that clients may come from: never the whole internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientNetwork {
    address: IpAddr,
    prefix: u8,
}

/// The network is not one that clients may come from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{address}/{prefix}` is not a network for clients: the prefix must be 8 to {longest} bits long")]
pub struct ClientNetworkError {
    address: IpAddr,
    prefix: u8,
    longest: u8,
}

impl ClientNetwork {
    /// A network of `prefix` bits.
    ///
    /// # Errors
    /// When the prefix is shorter than 8 bits or longer than the address.
    pub fn new(address: IpAddr, prefix: u8) -> Result<Self, ClientNetworkError> {
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let good = (8..=longest).contains(&prefix) && !address.is_unspecified();
        if good { Ok(Self { address, prefix }) } else { Err(ClientNetworkError { address, prefix, longest }) }
    }

    /// The network of one address.
    #[must_use]
    pub const fn host(address: IpAddr) -> Self {
        Self { address, prefix: if address.is_ipv4() { 32 } else { 128 } }
    }
}

impl fmt::Display for ClientNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// The name of a role or database: 1 to 63 bytes, no control characters, no double quotes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SqlName(String);

/// The text is not usable as the name of a role or database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a name for a role or database: 1 to 63 bytes, no control characters, no double quotes", text.escape_default())]
pub struct SqlNameError {
    text: String,
}

impl SqlName {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// When it is empty, too long, or has characters that quoting cannot carry into every file.
    pub fn new(text: impl Into<String>) -> Result<Self, SqlNameError> {
        let text = text.into();
        let good = (1..=SQL_NAME_BYTES_MAX).contains(&text.len())
            && !text.contains(|c: char| c.is_control() || c == '"');
        if good { Ok(Self(text)) } else { Err(SqlNameError { text: text.chars().take(80).collect() }) }
    }

    /// The name as it is.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As a quoted identifier, for SQL and for `pg_hba.conf` alike (where quotes also take keywords their meaning).
    #[must_use]
    pub fn quoted(&self) -> String {
        format!("\"{}\"", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_internet_is_not_a_client_network() {
        for (address, prefix) in
            [("0.0.0.0", 0), ("::", 0), ("10.0.0.0", 7), ("10.0.0.0", 33), ("0.0.0.0", 8)]
        {
            assert!(ClientNetwork::new(address.parse().unwrap(), prefix).is_err(), "{address}/{prefix}");
        }
        assert_eq!(ClientNetwork::new("10.0.1.0".parse().unwrap(), 24).unwrap().to_string(), "10.0.1.0/24");
    }

    #[test]
    fn names_that_would_end_a_row_or_a_quote_are_refused() {
        for text in ["", "a\nb", "a\"b", "a\0", &"x".repeat(64)] {
            assert!(SqlName::new(text).is_err(), "{text:?}");
        }
        assert_eq!(SqlName::new("all").unwrap().quoted(), "\"all\"");
    }
}
