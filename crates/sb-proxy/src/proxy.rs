use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::listener::Listener;
use crate::numbers::Meter;
use crate::{Limits, ListenerConfig, ListenerNumbers, Routes};

/// Longest wait for connections to be cut at the end, in milliseconds.
const END_MS_MAX: u64 = 1_000;

/// A proxy with its listeners.
#[derive(Debug)]
pub struct Proxy {
    listeners: Vec<(ListenerConfig, Arc<Meter>)>,
    limits: Limits,
}

impl Proxy {
    /// A proxy that will listen as `listeners` say, each of them within `limits`.
    #[must_use]
    pub fn new(listeners: Vec<ListenerConfig>, limits: Limits) -> Self {
        let with_meter = |config| (config, Arc::<Meter>::default());
        Self { listeners: listeners.into_iter().map(with_meter).collect(), limits }
    }

    /// Serves until `stop`, or until nobody feeds `routes` any more. Then the listeners are closed and every connection is
    /// cut. A listener that cannot listen tries again; the others do not wait for it.
    ///
    /// Connections are tasks of the runtime that this is called in.
    pub async fn run(&self, routes: watch::Receiver<Routes>, stop: CancellationToken) {
        let connections = TaskTracker::new();
        let mut listeners = JoinSet::new();
        for (config, meter) in &self.listeners {
            let listener = Listener::new(config.clone(), self.limits, meter.clone(), connections.clone());
            listeners.spawn(listener.run(routes.clone(), stop.clone()));
        }
        while listeners.join_next().await.is_some() {}
        connections.close();
        let _ = tokio::time::timeout(Duration::from_millis(END_MS_MAX), connections.wait()).await;
    }

    /// What each listener has done and is doing, in the order that they were given in.
    #[must_use]
    pub fn numbers(&self) -> Vec<ListenerNumbers> {
        self.listeners.iter().map(|(config, meter)| meter.numbers(config.access)).collect()
    }
}
