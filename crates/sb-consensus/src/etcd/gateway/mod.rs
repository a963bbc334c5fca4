//! Calls to an etcd cluster over its JSON gateway, on whichever member answers.

mod connection;
mod tls;
mod watch;
mod wire;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rustls::ClientConfig;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::OpenError;
use crate::health::EtcdEndpointHealth;

use self::connection::{Call, CallRecord, Peer, lock};
use super::config::EtcdConfig;

pub(super) use self::watch::{Watch, WatchEnd};

/// Longest wait for one endpoint to say how it is, in milliseconds.
const STATUS_MS_MAX: u64 = 1_000;

/// etcd, as one thing. Calls go to the endpoint that answered last; one that does not answer in time makes way for
/// the next.
pub(super) struct Gateway {
    key: String,
    peers: Vec<Peer>,
    preferred: AtomicUsize,
    tls: Option<ClientConfig>,
    login: Option<Login>,
    /// etcd's own id, once it is known.
    etcd: Mutex<Option<u64>>,
}

struct Login {
    username: String,
    password: String,
    token: Mutex<Option<String>>,
}

/// One call has no usable answer. Whether it took effect is another question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum CallError {
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    #[error("no answer within {limit_ms} ms")]
    TimedOut { limit_ms: u64 },
    #[error("the connection broke: {0}")]
    Broken(String),
    #[error("it refused ({status}): {said}")]
    Refused { status: u16, said: String },
    #[error("its answer cannot be read: {0}")]
    Malformed(String),
    #[error("it belongs to the etcd cluster {found:016x}, not to {expected:016x}")]
    OtherEtcd { found: u64, expected: u64 },
}

/// The key at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// The version that was known.
    Unchanged,
    /// An older version than was known when it was asked for.
    Older { revision: u64 },
    /// A newer version.
    Newer(Version),
    /// There is no such key.
    Missing,
}

/// One version of the key's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) revision: u64,
    pub(super) bytes: Vec<u8>,
}

/// What became of a put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Put {
    /// It was carried out, as this revision.
    Done(u64),
    /// The key had moved on to this.
    MovedOn(Version),
    /// There is no such key any more.
    Missing,
}

impl Gateway {
    pub(super) fn new(key: String, config: &EtcdConfig, etcd: Option<u64>) -> Result<Self, OpenError> {
        let login = config.login.as_ref().map(|login| {
            let read = std::fs::read_to_string(&login.password_file);
            let text = read.map_err(|error| OpenError::EtcdAccess {
                path: login.password_file.clone(),
                reason: error.to_string(),
            })?;
            let password = text.lines().next().unwrap_or_default().to_owned();
            Ok::<_, OpenError>(Login { username: login.username.clone(), password, token: Mutex::default() })
        });
        Ok(Self {
            key,
            peers: config.endpoints.iter().cloned().map(Peer::new).collect(),
            preferred: AtomicUsize::new(0),
            tls: config.tls.as_ref().map(tls::client_config).transpose()?,
            login: login.transpose()?,
            etcd: Mutex::new(etcd),
        })
    }

    /// The key as it is now, linearizable, with its value only when that is newer than the revision known.
    pub(super) async fn read(&self, known: u64, limit: Duration) -> Result<Found, CallError> {
        if known > 0 {
            match self.range(wire::Part::Revision, limit).await? {
                None => return Ok(Found::Missing),
                Some(kv) if kv.mod_revision == known => return Ok(Found::Unchanged),
                Some(kv) if kv.mod_revision < known => return Ok(Found::Older { revision: kv.mod_revision }),
                Some(_) => {}
            }
        }
        let whole = self.range(wire::Part::Whole, limit).await?;
        Ok(whole.map_or(Found::Missing, |kv| Found::Newer(kv.into())))
    }

    async fn range(&self, part: wire::Part, limit: Duration) -> Result<Option<wire::KeyValue>, CallError> {
        let body = wire::range(&self.key, part);
        let (mut answer, at): (wire::RangeResponse, usize) = self.call("/v3/kv/range", &body, limit).await?;
        self.check_etcd(&answer.header, at)?;
        Ok(answer.kvs.pop())
    }

    /// Replaces the value if the key is still at this revision (0: it does not exist yet).
    pub(super) async fn put(&self, revision: u64, bytes: &[u8], limit: Duration) -> Result<Put, CallError> {
        let body = wire::put_if_at(&self.key, revision, bytes);
        let (answer, at): (wire::TxnResponse, usize) = self.call("/v3/kv/txn", &body, limit).await?;
        self.check_etcd(&answer.header, at)?;
        if answer.succeeded {
            return Ok(Put::Done(answer.header.revision));
        }
        let found = answer.responses.into_iter().find_map(|response| response.response_range);
        let found = found.ok_or_else(|| CallError::Malformed("a transaction without an answer".into()))?;
        let version = found.kvs.into_iter().next();
        Ok(version.map_or(Put::Missing, |kv| Put::MovedOn(kv.into())))
    }

    /// Begins to watch the key from a revision on, at the endpoint that answered last.
    pub(super) async fn watch(&self, from: u64, limit: Duration) -> Result<Watch<'_>, CallError> {
        let at = self.preferred();
        let body = Bytes::from(wire::watch_from(&self.key, from).to_string());
        let begun = async {
            let token = self.token(&self.peers[at], limit).await?;
            let call = Call { path: "/v3/watch", body, token: token.as_deref() };
            self.peers[at].stream(self.tls.as_ref(), &call, limit).await
        };
        match begun.await {
            Ok((body, connection)) => Ok(Watch::new(self, at, body, connection)),
            Err(error) => {
                self.give_way(at, &error);
                Err(error)
            }
        }
    }

    /// Asks every endpoint how it is.
    pub(super) async fn look_around(&self) {
        let limit = Duration::from_millis(STATUS_MS_MAX);
        let asked = self.peers.iter().map(|peer| async move {
            let token = self.token(peer, limit).await.ok().flatten();
            let call = Call {
                path: "/v3/maintenance/status",
                body: Bytes::from_static(b"{}"),
                token: token.as_deref(),
            };
            let answer = peer.call(self.tls.as_ref(), &call, limit).await;
            let answer: Option<wire::StatusResponse> =
                answer.ok().and_then(|body| serde_json::from_slice(&body).ok());
            let mut record = lock(&peer.record);
            record.leads =
                answer.as_ref().map(|said| said.leader != 0 && said.leader == said.header.member_id);
            record.version = answer.as_ref().map(|said| said.version.clone());
            record.database_bytes = answer.as_ref().map(|said| said.db_size);
            if let Some(alarm) = answer.and_then(|said| said.errors.into_iter().next()) {
                record.trouble = Some(alarm);
            }
        });
        futures_util::future::join_all(asked).await;
    }

    pub(super) fn endpoints(&self) -> Vec<EtcdEndpointHealth> {
        let health = |peer: &Peer| {
            let CallRecord { answered_at, trouble, version, leads, database_bytes } =
                lock(&peer.record).clone();
            let answered_age_ms = answered_at.map(|at| millis(at.elapsed()));
            let url = peer.endpoint.to_string();
            EtcdEndpointHealth { url, answered_age_ms, trouble, version, leads, database_bytes }
        };
        self.peers.iter().map(health).collect()
    }

    pub(super) fn etcd(&self) -> Option<u64> {
        *lock(&self.etcd)
    }

    async fn call<T: DeserializeOwned>(
        &self,
        path: &'static str,
        body: &Value,
        limit: Duration,
    ) -> Result<(T, usize), CallError> {
        let at = self.preferred();
        let peer = &self.peers[at];
        let body = Bytes::from(body.to_string());
        let asked = async {
            let token = self.token(peer, limit).await?;
            let call = Call { path, body, token: token.as_deref() };
            let answer = peer.call(self.tls.as_ref(), &call, limit).await;
            if answer.as_ref().is_err_and(CallError::wants_login) {
                self.forget_token(token.as_deref());
            }
            serde_json::from_slice(&answer?).map_err(|error| CallError::Malformed(error.to_string()))
        };
        match asked.await {
            Ok(answer) => Ok((answer, at)),
            Err(error) => {
                self.give_way(at, &error);
                Err(error)
            }
        }
    }

    /// The token to ask with, made if need be.
    async fn token(&self, peer: &Peer, limit: Duration) -> Result<Option<String>, CallError> {
        let Some(login) = &self.login else { return Ok(None) };
        if let Some(token) = lock(&login.token).clone() {
            return Ok(Some(token));
        }
        let body = Bytes::from(wire::authenticate(&login.username, &login.password).to_string());
        let call = Call { path: "/v3/auth/authenticate", body, token: None };
        let answer = peer.call(self.tls.as_ref(), &call, limit).await?;
        let answer: wire::AuthenticateResponse =
            serde_json::from_slice(&answer).map_err(|error| CallError::Malformed(error.to_string()))?;
        *lock(&login.token) = Some(answer.token.clone());
        Ok(Some(answer.token))
    }

    fn forget_token(&self, used: Option<&str>) {
        if let Some(login) = &self.login {
            let mut token = lock(&login.token);
            if token.as_deref() == used {
                *token = None;
            }
        }
    }

    /// An endpoint of another etcd would be another truth.
    fn check_etcd(&self, header: &wire::Header, at: usize) -> Result<(), CallError> {
        let found = header.cluster_id;
        let expected = *lock(&self.etcd).get_or_insert(found);
        if found == expected {
            return Ok(());
        }
        let error = CallError::OtherEtcd { found, expected };
        lock(&self.peers[at].record).trouble = Some(error.to_string());
        self.give_way(at, &error);
        Err(error)
    }

    fn preferred(&self) -> usize {
        self.preferred.load(Ordering::Relaxed) % self.peers.len()
    }

    /// The next call goes to the next endpoint, unless another call has moved on already.
    fn give_way(&self, at: usize, error: &CallError) {
        let next = (at + 1) % self.peers.len();
        let moved = self.preferred.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if moved {
            tracing::debug!(endpoint = %self.peers[at].endpoint, %error, "etcd is asked elsewhere");
        }
    }
}

impl CallError {
    /// Whether the token is not, or not any more, good. etcd has no code of its own for each of these.
    fn wants_login(&self) -> bool {
        matches!(self, Self::Refused { status, said } if *status == 401 || said.contains("auth"))
    }
}

impl From<wire::KeyValue> for Version {
    fn from(kv: wire::KeyValue) -> Self {
        Self { revision: kv.mod_revision, bytes: kv.value }
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
