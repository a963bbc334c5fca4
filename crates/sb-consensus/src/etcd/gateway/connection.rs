use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use crate::etcd::config::{EtcdEndpoint, Scheme};

use super::CallError;
use super::wire::Refusal;

/// Bytes of one answer: the record in base64 and what stands around it.
pub(super) const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Connections to one endpoint that are kept for the next call.
const IDLE_CONNECTIONS_MAX: usize = 4;

/// Bytes of a refusal's text that are passed on.
const REFUSAL_CHARS_MAX: usize = 200;

/// One member of etcd, with the connections to it and what came of the last call.
pub(super) struct Peer {
    pub(super) endpoint: EtcdEndpoint,
    idle: Mutex<Vec<Connection>>,
    pub(super) record: Mutex<CallRecord>,
}

/// What is known of a peer from the calls made to it.
#[derive(Debug, Clone, Default)]
pub(super) struct CallRecord {
    pub(super) answered_at: Option<Instant>,
    pub(super) trouble: Option<String>,
    pub(super) version: Option<String>,
    pub(super) leads: Option<bool>,
    pub(super) database_bytes: Option<u64>,
}

/// One connection; dropping it closes it.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    _driver: AbortOnDropHandle<()>,
}

/// A call as it goes over the wire.
pub(super) struct Call<'a> {
    pub(super) path: &'static str,
    pub(super) body: Bytes,
    pub(super) token: Option<&'a str>,
}

impl Peer {
    pub(super) fn new(endpoint: EtcdEndpoint) -> Self {
        Self { endpoint, idle: Mutex::default(), record: Mutex::default() }
    }

    /// One request and its whole answer. A connection whose call was given up is not used again.
    pub(super) async fn call(
        &self,
        tls: Option<&ClientConfig>,
        call: &Call<'_>,
        limit: Duration,
    ) -> Result<Bytes, CallError> {
        let done = async {
            let (response, connection) = self.send(tls, call).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| CallError::Broken(chain(error.as_ref())))?.to_bytes();
            self.keep(connection);
            accepted(status, body)
        };
        let done = tokio::time::timeout(limit, done).await;
        let result = done.unwrap_or(Err(CallError::TimedOut { limit_ms: super::millis(limit) }));
        self.note(result.as_ref().err());
        result
    }

    /// A request whose answer goes on. The connection must be kept as long as it is read.
    pub(super) async fn stream(
        &self,
        tls: Option<&ClientConfig>,
        call: &Call<'_>,
        limit: Duration,
    ) -> Result<(Incoming, Connection), CallError> {
        let begun = tokio::time::timeout(limit, self.send(tls, call)).await;
        let (response, connection) =
            begun.unwrap_or(Err(CallError::TimedOut { limit_ms: super::millis(limit) }))?;
        if response.status() == StatusCode::OK {
            return Ok((response.into_body(), connection));
        }
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect();
        let body = tokio::time::timeout(limit, body).await.ok().and_then(Result::ok);
        Err(refused(status, &body.map(http_body_util::Collected::to_bytes).unwrap_or_default()))
    }

    async fn send(
        &self,
        tls: Option<&ClientConfig>,
        call: &Call<'_>,
    ) -> Result<(Response<Incoming>, Connection), CallError> {
        let mut connection = match self.take().await {
            Some(connection) => connection,
            None => self.connect(tls).await?,
        };
        let mut request = Request::post(call.path)
            .header(HOST, self.endpoint.authority())
            .header(CONTENT_TYPE, "application/json");
        if let Some(token) = call.token {
            request = request.header(AUTHORIZATION, token);
        }
        let request = request.body(Full::new(call.body.clone()));
        let request = request.map_err(|error| CallError::Malformed(error.to_string()))?;
        let answer = connection.sender.send_request(request).await;
        Ok((answer.map_err(|error| CallError::Broken(chain(&error)))?, connection))
    }

    /// A kept connection that still looks alive.
    async fn take(&self) -> Option<Connection> {
        loop {
            let mut connection = lock(&self.idle).pop()?;
            if connection.sender.ready().await.is_ok() {
                return Some(connection);
            }
        }
    }

    fn keep(&self, connection: Connection) {
        let mut idle = lock(&self.idle);
        if idle.len() < IDLE_CONNECTIONS_MAX && !connection.sender.is_closed() {
            idle.push(connection);
        }
    }

    async fn connect(&self, tls: Option<&ClientConfig>) -> Result<Connection, CallError> {
        let EtcdEndpoint { scheme, host, port } = &self.endpoint;
        let unreachable = |error: std::io::Error| CallError::Unreachable(chain(&error));
        let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        match (scheme, tls) {
            (Scheme::Plain, _) => handshake(stream).await,
            (Scheme::Tls, Some(config)) => {
                let name = ServerName::try_from(host.clone());
                let name = name.map_err(|error| CallError::Unreachable(chain(&error)))?;
                let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config.clone()));
                handshake(connector.connect(name, stream).await.map_err(unreachable)?).await
            }
            (Scheme::Tls, None) => Err(CallError::Unreachable("no authority to check it against".into())),
        }
    }

    fn note(&self, error: Option<&CallError>) {
        let mut record = lock(&self.record);
        match error {
            None => {
                record.answered_at = Some(Instant::now());
                record.trouble = None;
            }
            Some(error) => record.trouble = Some(error.to_string()),
        }
    }
}

async fn handshake(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
) -> Result<Connection, CallError> {
    let begun = http1::handshake(TokioIo::new(stream)).await;
    let (sender, driver) = begun.map_err(|error| CallError::Unreachable(chain(&error)))?;
    let driver = tokio::spawn(async move {
        // How it ended is told to whoever waits for an answer.
        let _ = driver.await;
    });
    Ok(Connection { sender, _driver: AbortOnDropHandle::new(driver) })
}

fn accepted(status: StatusCode, body: Bytes) -> Result<Bytes, CallError> {
    if status == StatusCode::OK { Ok(body) } else { Err(refused(status, &body)) }
}

fn refused(status: StatusCode, body: &[u8]) -> CallError {
    // What is refused before it reaches the gateway is said as plain text.
    let said = match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) => refusal.error,
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    };
    let said = if said.is_empty() { status.to_string() } else { said };
    CallError::Refused { status: status.as_u16(), said: said.chars().take(REFUSAL_CHARS_MAX).collect() }
}

/// What an error says, with what lies below: a connection that "broke" was refused for a reason.
fn chain(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut below = error.source();
    while let Some(error) = below {
        let more = error.to_string();
        if !said.contains(&more) {
            said = format!("{said}: {more}");
        }
        below = error.source();
    }
    said
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
