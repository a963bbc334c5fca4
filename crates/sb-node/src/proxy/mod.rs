//! The proxy of this server: where its clients find the primary and a standby nearby.
//!
//! It has threads of its own, so that clients who copy a table cannot delay a renewal. What it does is `sb-proxy`'s; here
//! it gets its listeners from the policy, its routes from what the servers say of themselves, and its troubles told.

mod descriptors;
mod doors;
mod routes;
mod words;

use std::sync::Arc;
use std::time::{Duration, Instant};

use sb_api::{ProxyListener, ServingWord};
use sb_client::trust::Credentials;
use sb_proxy::Routes;
use sb_topology::{ServerName, Topology};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::journal::Journal;
use crate::troubles::{Topic, Troubles};
use doors::Doors;
use routes::Heard;
use words::Words;

pub use routes::Known;

/// Threads that pass clients' bytes on.
const THREADS: usize = 2;

/// Between two looks at how old words are, in milliseconds.
const LOOK_MS: u64 = 1_000;

/// The proxy, and what it is fed with.
pub struct ProxyLine {
    doors: Doors,
    topology: Arc<Topology>,
    me: ServerName,
    credentials: Arc<Credentials>,
    own: watch::Sender<ServingWord>,
    others: watch::Sender<Words>,
}

impl ProxyLine {
    /// The proxy that `topology`'s policy asks for. Nothing listens yet.
    #[must_use]
    pub fn new(topology: &Arc<Topology>, me: &ServerName, credentials: &Arc<Credentials>) -> Self {
        Self {
            doors: Doors::new(&topology.policy().routing),
            topology: topology.clone(),
            me: me.clone(),
            credentials: credentials.clone(),
            own: watch::channel(ServingWord::default()).0,
            others: watch::channel(Words::default()).0,
        }
    }

    /// This server's own word, for whoever asks.
    #[must_use]
    pub fn own(&self) -> watch::Receiver<ServingWord> {
        self.own.subscribe()
    }

    /// Notes what clients may do here from now on.
    pub fn say(&self, word: ServingWord) {
        self.own.send_if_modified(|said| std::mem::replace(said, word) != word);
    }

    /// What each listener does and has done.
    #[must_use]
    pub fn numbers(&self) -> Vec<ProxyListener> {
        self.doors.numbers()
    }

    /// Hears the other servers until `stop`.
    pub async fn listen(self: Arc<Self>, stop: CancellationToken) {
        let (topology, me, credentials) = (self.topology.clone(), self.me.clone(), self.credentials.clone());
        words::listen(topology, me, credentials, self.others.clone(), stop).await;
    }

    /// Serves clients until `stop`, on what the record says (`known`) and the servers say.
    pub async fn serve(
        self: Arc<Self>,
        known: watch::Receiver<Known>,
        journal: Arc<Journal>,
        troubles: Arc<Troubles>,
        stop: CancellationToken,
    ) {
        let (feeding, fed) = watch::channel(Routes::default());
        let runtime = match Threads::new() {
            Ok(runtime) => runtime,
            Err(error) => {
                // Everything else of the agent goes on.
                troubles.set(Topic::Proxy, Some(format!("the proxy has no threads: {error}")));
                return stop.cancelled().await;
            }
        };
        let (line, ending) = (self.clone(), stop.clone());
        let mut serving = runtime.spawn(async move { line.doors.proxy.run(fed, ending).await });
        tokio::select! {
            _ = &mut serving => return,
            () = self.feed(known, feeding) => {}
            () = self.doors.tell(&journal, &troubles) => {}
        }
        // Without routes it cuts its connections and ends.
        let _ = serving.await;
    }

    async fn feed(&self, mut known: watch::Receiver<Known>, routes: watch::Sender<Routes>) {
        let (mut own, mut others) = (self.own.subscribe(), self.others.subscribe());
        loop {
            let mut words = others.borrow_and_update().clone();
            let word = *own.borrow_and_update();
            let now = Instant::now();
            words.insert(self.me.clone(), Heard { word, at: now, distance: Duration::ZERO });
            let found = routes::routes(&self.topology, &known.borrow_and_update(), &words, now);
            routes.send_if_modified(|fed| {
                let differs = *fed != found;
                *fed = found;
                differs
            });
            let changed = tokio::select! {
                changed = own.changed() => changed,
                changed = others.changed() => changed,
                changed = known.changed() => changed,
                () = tokio::time::sleep(Duration::from_millis(LOOK_MS)) => Ok(()),
            };
            if changed.is_err() {
                return;
            }
        }
    }
}

/// A runtime that may end inside another one.
struct Threads(Option<tokio::runtime::Runtime>);

impl Threads {
    fn new() -> std::io::Result<Self> {
        let mut threads = tokio::runtime::Builder::new_multi_thread();
        let runtime = threads.worker_threads(THREADS).thread_name("proxy").enable_all().build()?;
        Ok(Self(Some(runtime)))
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
        self.0.as_ref().expect("it is taken only when it is dropped").spawn(work)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
