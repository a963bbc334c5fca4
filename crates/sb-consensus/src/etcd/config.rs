use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// How a member keeps its state in an etcd cluster.
#[derive(Debug, Clone)]
pub struct EtcdConfig {
    /// The group's id: part of the key, so that several groups can share one etcd.
    pub cluster: String,
    /// Where this member keeps who it is. Created when missing; used by one process at a time.
    pub dir: PathBuf,
    /// This server's name, unique in the group.
    pub name: String,
    /// Where others reach this server; opaque here.
    pub address: String,
    /// etcd's members, in the order in which they are tried.
    pub endpoints: Vec<EtcdEndpoint>,
    /// How etcd's certificates are checked; needed for `https`.
    pub tls: Option<EtcdTls>,
    /// With whose name etcd is asked, where it asks for one.
    pub login: Option<EtcdLogin>,
}

/// Trust towards etcd.
#[derive(Debug, Clone)]
pub struct EtcdTls {
    /// Certificates of the authorities that etcd's certificates are checked against, PEM.
    pub ca_file: PathBuf,
    /// The certificate shown to etcd and its key, PEM, where etcd asks for one.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// A user of etcd.
#[derive(Debug, Clone)]
pub struct EtcdLogin {
    /// The name.
    pub username: String,
    /// The file whose first line is the password.
    pub password_file: PathBuf,
}

/// One member of etcd: `http://HOST:PORT` or `https://HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdEndpoint {
    pub(super) scheme: Scheme,
    pub(super) host: String,
    pub(super) port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Plain,
    Tls,
}

/// The text is not an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an endpoint of etcd: http://HOST:PORT or https://HOST:PORT")]
pub struct EtcdEndpointError {
    text: String,
}

impl FromStr for EtcdEndpoint {
    type Err = EtcdEndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || EtcdEndpointError { text: text.chars().take(200).collect() };
        let (scheme, rest) = match text.split_once("://") {
            Some(("http", rest)) => (Scheme::Plain, rest),
            Some(("https", rest)) => (Scheme::Tls, rest),
            _ => return Err(error()),
        };
        let (host, port) = rest.strip_suffix('/').unwrap_or(rest).rsplit_once(':').ok_or_else(error)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = port.parse().map_err(|_| error())?;
        let named = !host.is_empty() && !host.contains(['/', '@', '[', ']', '?', '#']);
        if named { Ok(Self { scheme, host: host.to_owned(), port }) } else { Err(error()) }
    }
}

impl EtcdEndpoint {
    /// Host and port as they stand in a URL.
    pub(super) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for EtcdEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Plain => "http",
            Scheme::Tls => "https",
        };
        write!(f, "{scheme}://{}", self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_written_as_it_was_read() {
        for text in ["http://10.0.1.10:2379", "https://etcd-1.example:2379", "https://[fd00::1]:2379"] {
            assert_eq!(text.parse::<EtcdEndpoint>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_url_with_a_port_is_no_endpoint() {
        for text in [
            "",
            "10.0.1.10:2379",
            "http://10.0.1.10",
            "ftp://a:1",
            "http://:1",
            "http://a:1/v3",
            "http://a@b:1",
        ] {
            assert!(text.parse::<EtcdEndpoint>().is_err(), "{text}");
        }
    }
}
