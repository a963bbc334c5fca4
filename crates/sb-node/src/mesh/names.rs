//! Where the peers' endpoints are: names are asked for again while a peer is silent, and the last answer is kept.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use sb_topology::Endpoint;

/// Least pause between two questions for one name, in seconds.
const AGAIN_SECONDS_MIN: u64 = 30;

/// Most addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;

/// What the endpoints' names were answered with.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: BTreeMap<Endpoint, Answer>,
}

#[derive(Debug)]
struct Answer {
    addresses: Vec<SocketAddr>,
    asked: Instant,
}

impl Names {
    /// Every address of an endpoint; none for a name that has never been answered.
    pub(super) fn of(&self, endpoint: &Endpoint) -> Vec<SocketAddr> {
        match endpoint.host().parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, endpoint.port())],
            Err(_) => self.known.get(endpoint).map(|answer| answer.addresses.clone()).unwrap_or_default(),
        }
    }

    /// Asks for the names that have no answer yet and, while a peer is silent, for the others again.
    /// All at once, and for no longer than `patience`.
    pub(super) async fn look_up(
        &mut self,
        endpoints: impl Iterator<Item = &Endpoint>,
        silent: bool,
        patience: Duration,
    ) {
        let mut questions = Vec::new();
        for endpoint in endpoints.filter(|endpoint| endpoint.host().parse::<IpAddr>().is_err()) {
            let pause = Duration::from_secs(AGAIN_SECONDS_MIN);
            let recent = self.known.get(endpoint).is_some_and(|answer| {
                answer.asked.elapsed() < pause || (!silent && !answer.addresses.is_empty())
            });
            if recent {
                continue;
            }
            questions.push(ask(endpoint, patience));
        }
        for (endpoint, addresses) in futures_util::future::join_all(questions).await {
            let answer = self.known.entry(endpoint.clone());
            let answer = answer.or_insert_with(|| Answer { addresses: Vec::new(), asked: Instant::now() });
            answer.asked = Instant::now();
            // A name server that is away must not take a peer's address away.
            if !addresses.is_empty() {
                answer.addresses = addresses;
            }
        }
    }
}

async fn ask(endpoint: &Endpoint, patience: Duration) -> (&Endpoint, Vec<SocketAddr>) {
    let question = tokio::net::lookup_host((endpoint.host(), endpoint.port()));
    let addresses = match tokio::time::timeout(patience, question).await {
        Ok(Ok(addresses)) => {
            let mut addresses: Vec<_> = addresses.take(ADDRESSES_MAX).collect();
            addresses.sort_unstable();
            addresses.dedup();
            addresses
        }
        Ok(Err(error)) => {
            tracing::warn!(%endpoint, %error, "an endpoint's name was not answered");
            Vec::new()
        }
        Err(_) => {
            tracing::warn!(%endpoint, "an endpoint's name was not answered within {patience:?}");
            Vec::new()
        }
    };
    (endpoint, addresses)
}
