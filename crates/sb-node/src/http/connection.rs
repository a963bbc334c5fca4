use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use sb_api::Problem;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream, unix};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::http::Caller;
use crate::http::problem::ProblemAnswer;

/// Longest time a client takes to send the head of its request, in seconds.
pub const REQUEST_HEAD_SECONDS_MAX: u64 = 10;

/// Longest time from the head of a request to the end of its answer, in seconds. Above the longest wait for events.
pub const REQUEST_SECONDS_MAX: u64 = 60;

/// Longest life of a connection, in seconds. Each carries one request: none of our clients needs more, and nobody
/// can hold a place by reading slowly.
pub const CONNECTION_SECONDS_MAX: u64 = 90;

/// Pause after the system could not give us a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who calls, as far as the listener can tell before the request is read.
pub(super) type Identify = Arc<dyn Fn(&HeaderMap) -> Option<Caller> + Send + Sync>;

/// Where connections come from.
pub(super) trait Socket: Sync {
    type Stream;
    type Address;

    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Self::Address)>> + Send;
}

impl Socket for TcpListener {
    type Stream = TcpStream;
    type Address = SocketAddr;

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.accept().await
    }
}

impl Socket for UnixListener {
    type Stream = UnixStream;
    type Address = unix::SocketAddr;

    async fn accept(&self) -> io::Result<(UnixStream, unix::SocketAddr)> {
        self.accept().await
    }
}

/// What a listener serves its connections with.
#[derive(Clone)]
pub(super) struct Server {
    router: Router,
    places: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Server {
    pub(super) fn new(router: Router, connections_max: usize, stop: CancellationToken) -> Self {
        Self { router, places: Arc::new(Semaphore::new(connections_max)), stop }
    }

    /// Waits for a free place. `None` when the listener is to stop.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        tokio::select! {
            place = self.places.clone().acquire_owned() => place.ok(),
            () = self.stop.cancelled() => None,
        }
    }

    /// Runs `work` in a task of its own, in `place`, until it ends, the agent stops or the connection is too old.
    pub(super) fn spawn(&self, place: OwnedSemaphorePermit, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        tokio::spawn(async move {
            let _place = place;
            tokio::select! {
                _ = tokio::time::timeout(Duration::from_secs(CONNECTION_SECONDS_MAX), work) => {}
                () = stop.cancelled() => {}
            }
        });
    }

    /// Waits for the next connection; `None` when the listener is to stop. A failure to accept (most often: no file
    /// descriptors left) is waited out.
    pub(super) async fn next<S: Socket>(&self, socket: &S) -> Option<(S::Stream, S::Address)> {
        loop {
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                () = self.stop.cancelled() => return None,
            };
            match accepted {
                Ok(accepted) => return Some(accepted),
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// One request on `stream` and its answer.
    pub(super) async fn serve<S>(&self, stream: S, identify: Identify)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(|mut request: hyper::Request<Incoming>| {
            if let Some(caller) = identify(request.headers()) {
                request.extensions_mut().insert(caller);
            }
            answer(self.router.clone(), request.map(axum::body::Body::new))
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(REQUEST_HEAD_SECONDS_MAX))
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service)
            .await;
        if let Err(error) = served {
            tracing::debug!(%error, "connection broke off");
        }
    }
}

async fn answer(router: Router, request: Request) -> Result<Response, Infallible> {
    let limit = Duration::from_secs(REQUEST_SECONDS_MAX);
    match tokio::time::timeout(limit, router.oneshot(request)).await {
        Ok(answered) => answered,
        Err(_) => {
            let title = "the request was not answered in time";
            Ok(ProblemAnswer::from(Problem::unavailable("http.timeout", title)).into_response())
        }
    }
}
