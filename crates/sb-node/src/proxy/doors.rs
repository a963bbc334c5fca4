//! The addresses that clients come in at, and what is told of them.

use std::path::PathBuf;
use std::time::Duration;

use sb_api::{ProxyAccess, ProxyListener};
use sb_proxy::{Access, Header, Limits, ListenerConfig, ListenerNumbers, Listening, Place, Proxy};
use sb_topology::RoutingPolicy;

use super::descriptors;
use crate::journal::{Entry, Journal};
use crate::troubles::{Change, Topic, Troubles};

/// Between two looks at the listeners, in milliseconds.
const LOOK_MS: u64 = 1_000;

/// The proxy that a policy asks for.
pub(super) struct Doors {
    pub(super) proxy: Proxy,
    /// That it takes fewer connections than it was asked to.
    trimmed: Option<String>,
}

impl Doors {
    /// Nothing listens yet.
    pub(super) fn new(policy: &RoutingPolicy) -> Self {
        let listeners = listeners(policy);
        let wanted = usize::try_from(policy.connections_max).unwrap_or(usize::MAX);
        let allowed = descriptors::connections_max(wanted, listeners.len());
        let trimmed = (allowed < wanted).then(|| {
            format!(
                "the limit of open files leaves {allowed} connections for each address of the proxy, not {wanted}"
            )
        });
        let limits = Limits {
            connections_max: allowed,
            held_max: allowed.min(Limits::default().held_max),
            hold: Duration::from_millis(policy.hold_ms),
            lag_bytes_max: policy.lag_bound_bytes,
            ..Limits::default()
        };
        Self { proxy: Proxy::new(listeners, limits), trimmed }
    }

    /// What each listener does and has done.
    pub(super) fn numbers(&self) -> Vec<ProxyListener> {
        self.proxy.numbers().into_iter().map(to_wire).collect()
    }

    /// Tells for ever which of them cannot be had.
    pub(super) async fn tell(&self, journal: &Journal, troubles: &Troubles) {
        loop {
            let not_listening = self.not_listening();
            let both = [not_listening.clone(), self.trimmed.clone()].into_iter().flatten();
            let sentence = both.reduce(|one, other| format!("{one}; {other}"));
            match (troubles.set(Topic::Proxy, sentence), not_listening) {
                (Change::Began | Change::Differs, Some(sentence)) => {
                    tracing::warn!(%sentence, "clients cannot come in everywhere");
                    journal.record(Entry::new("proxy.not_listening", sentence));
                }
                (Change::Ended | Change::Differs, None) => {
                    journal.record(Entry::new("proxy.listening", "the proxy listens on every address"));
                }
                (Change::None, _) | (Change::Began, None) | (Change::Ended, Some(_)) => {}
            }
            tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
        }
    }

    fn not_listening(&self) -> Option<String> {
        let failed = self.proxy.numbers().into_iter().filter_map(|listener| match listener.listening {
            Listening::Failed(why) => Some(format!("the proxy cannot listen on `{}`: {why}", listener.place)),
            Listening::No | Listening::Yes => None,
        });
        failed.reduce(|one, other| format!("{one}; {other}"))
    }
}

fn listeners(policy: &RoutingPolicy) -> Vec<ListenerConfig> {
    let kinds = [
        (Access::ReadWrite, &policy.read_write, RoutingPolicy::READ_WRITE_PORT),
        (Access::ReadOnly, &policy.read_only, RoutingPolicy::READ_ONLY_PORT),
    ];
    let mut listeners = Vec::new();
    for (access, addresses, port) in kinds {
        listeners.extend(addresses.iter().map(|address| ListenerConfig {
            place: Place::Tcp(address.get()),
            access,
            header: match policy.proxy_protocol.contains(address) {
                true => Header::Required,
                false => Header::None,
            },
        }));
        let socket = |directory: &PathBuf| Place::Unix(directory.join(format!(".s.PGSQL.{port}")));
        listeners.extend(policy.socket_dir.iter().map(|it| ListenerConfig::new(socket(it), access)));
    }
    listeners
}

fn to_wire(numbers: ListenerNumbers) -> ProxyListener {
    ProxyListener {
        address: numbers.place,
        access: match numbers.access {
            Access::ReadWrite => ProxyAccess::ReadWrite,
            Access::ReadOnly => ProxyAccess::ReadOnly,
        },
        trouble: match numbers.listening {
            Listening::Yes => None,
            Listening::No => Some("it does not listen".to_owned()),
            Listening::Failed(why) => Some(why),
        },
        open: numbers.open,
        held: numbers.held,
        accepted: numbers.accepted,
        refused: numbers.refused,
        held_too_long: numbers.held_too_long,
        cut: numbers.cut,
        bad_headers: numbers.bad_headers,
        failed_dials: numbers.failed_dials,
        accept_errors: numbers.accept_errors,
        bytes_to_servers: numbers.bytes_to_servers,
        bytes_to_clients: numbers.bytes_to_clients,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    async fn until(what: &str, so: impl Fn() -> bool) {
        let waited = async {
            while !so() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), waited).await.unwrap_or_else(|_| panic!("{what}"));
    }

    #[tokio::test]
    async fn an_address_that_another_program_has_is_a_trouble_until_it_is_free() {
        let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let read_write = vec![address.parse().unwrap()];
        // So few that any limit of open files allows them.
        let policy = RoutingPolicy {
            read_write,
            read_only: Vec::new(),
            connections_max: 1,
            ..RoutingPolicy::default()
        };
        let directory = tempfile::tempdir().unwrap();
        let journal = Arc::new(Journal::open(&directory.path().join("journal.jsonl"), "a-1").unwrap());
        let (doors, troubles) = (Arc::new(Doors::new(&policy)), Arc::new(Troubles::default()));
        let (_feed, routes) = tokio::sync::watch::channel(sb_proxy::Routes::default());
        let (serving, telling) = (doors.clone(), (doors.clone(), journal.clone(), troubles.clone()));
        let stop = tokio_util::sync::CancellationToken::new();
        tokio::spawn(async move { serving.proxy.run(routes, stop).await });
        tokio::spawn(async move { telling.0.tell(&telling.1, &telling.2).await });

        until("it is told", || troubles.sentences().iter().any(|it| it.contains(&address))).await;
        drop(taken);
        until("it is over", || troubles.sentences().is_empty()).await;
        let told: Vec<_> = journal.since(0, 10).into_iter().map(|event| event.kind).collect();
        assert_eq!(told, ["proxy.not_listening", "proxy.listening"]);
    }
}
