use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, MsgFlags, Shutdown, SockFlag, SockType, UnixAddr, connect, recv, send, shutdown, socket,
};
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};

use super::clock::BootNanos;
use super::messages::{
    GuardEvent, GuardReply, GuardRequest, GuardStatus, Proof, Refusal, StartSpec, StopMode, Term,
};
use super::wire::{self, FromGuard, MESSAGE_BYTES_MAX, ToGuard};

/// How many events may wait for the reader before the connection is given up.
const EVENTS_WAITING_MAX: usize = 64;
/// How many requests of one client may be under way.
const REQUESTS_UNDER_WAY_MAX: usize = 32;

/// How hard [`GuardClient::connect`] tries.
#[derive(Debug, Clone, Copy)]
pub struct ConnectLimits {
    /// How often.
    pub attempts_max: u32,
    /// How long between two.
    pub pause: Duration,
}

impl Default for ConnectLimits {
    /// For two seconds: a guard that is being started is there by then.
    fn default() -> Self {
        Self { attempts_max: 40, pause: Duration::from_millis(50) }
    }
}

/// The agent's end of one connection to the guard.
///
/// Cloning shares the connection. It does not reconnect: when [`GuardEvents`] says that it is lost, every request
/// fails, and the embedder connects anew and asks for the status.
#[derive(Debug, Clone)]
pub struct GuardClient {
    connection: Arc<Connection>,
}

/// What reaches a client without being asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuardNotice {
    /// Something happened.
    Event(GuardEvent),
    /// The connection is gone; nothing follows. The guard may be, too: PostgreSQL dies with it.
    Disconnected,
}

/// The events of one connection, in order.
#[derive(Debug)]
pub struct GuardEvents {
    events: mpsc::Receiver<GuardEvent>,
}

/// Why a request has no answer, or not the wanted one.
#[derive(Debug, thiserror::Error)]
pub enum GuardClientError {
    /// No guard listens there.
    #[error("could not connect to the guard at `{}`", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// The last attempt's reason.
        #[source]
        source: io::Error,
    },
    /// The guard is there and said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No answer within the deadline. Whether it was done is not known; the status tells.
    #[error("the guard did not answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The connection is gone. Whether it was done is not known.
    #[error("the connection to the guard is lost")]
    Disconnected,
    /// The request is larger than a message may be, or too many are under way.
    #[error("the request cannot be sent: {0}")]
    Unsendable(&'static str),
    /// The guard's answer belongs to another kind of request.
    #[error("the guard answered with something else")]
    Unexpected,
}

#[derive(Debug)]
struct Connection {
    socket: Arc<AsyncFd<OwnedFd>>,
    waiting: Arc<Waiting>,
    next_id: AtomicU64,
    reader: tokio::task::AbortHandle,
}

type Waiting = Mutex<HashMap<u64, oneshot::Sender<GuardReply>>>;

impl Drop for Connection {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl GuardClient {
    /// Connects, and starts a task on the current tokio runtime that reads replies and events.
    ///
    /// # Errors
    ///
    /// [`GuardClientError::Connect`] with the last reason when no attempt succeeded.
    pub async fn connect(
        path: &Path,
        limits: ConnectLimits,
    ) -> Result<(Self, GuardEvents), GuardClientError> {
        let mut attempt = 1;
        let socket = loop {
            match open(path) {
                Ok(socket) => break Arc::new(socket),
                Err(source) if attempt >= limits.attempts_max => {
                    return Err(GuardClientError::Connect { path: path.to_owned(), source });
                }
                Err(_) => tokio::time::sleep(limits.pause).await,
            }
            attempt += 1;
        };
        let waiting = Arc::new(Waiting::default());
        let (sender, events) = mpsc::channel(EVENTS_WAITING_MAX);
        let reader = tokio::spawn(read(Arc::clone(&socket), Arc::clone(&waiting), sender)).abort_handle();
        let connection = Connection { socket, waiting, next_id: AtomicU64::new(1), reader };
        Ok((Self { connection: Arc::new(connection) }, GuardEvents { events }))
    }

    /// Sends a request and waits for its reply, [`GuardReply::Refused`] included.
    ///
    /// # Errors
    ///
    /// [`GuardClientError`], never its `Refused` or `Unexpected`.
    pub async fn request(
        &self,
        request: GuardRequest,
        within: Duration,
    ) -> Result<GuardReply, GuardClientError> {
        let id = self.connection.next_id.fetch_add(1, Ordering::Relaxed);
        let mut buffer = vec![0; MESSAGE_BYTES_MAX];
        let message = wire::encode(&ToGuard { id, request }, &mut buffer)
            .ok_or(GuardClientError::Unsendable("it is too large"))?;
        let (sender, reply) = oneshot::channel();
        {
            let mut waiting = self.waiting();
            waiting.retain(|_, sender| !sender.is_closed());
            if waiting.len() >= REQUESTS_UNDER_WAY_MAX {
                return Err(GuardClientError::Unsendable("too many are under way"));
            }
            waiting.insert(id, sender);
        }
        let exchange = async {
            self.send(message).await?;
            reply.await.map_err(|_| GuardClientError::Disconnected)
        };
        let outcome = tokio::time::timeout(within, exchange).await;
        self.waiting().remove(&id);
        outcome.map_err(|_| GuardClientError::Timeout(within))?
    }

    /// The guard's state.
    ///
    /// # Errors
    ///
    /// [`GuardClientError`].
    pub async fn status(&self, within: Duration) -> Result<GuardStatus, GuardClientError> {
        match self.accepted(GuardRequest::Status, within).await? {
            GuardReply::Status(status) => Ok(status),
            _ => Err(GuardClientError::Unexpected),
        }
    }

    /// Sets, raises or lowers the deadline of `term`.
    ///
    /// # Errors
    ///
    /// [`GuardClientError`]; refused when a newer term was seen or the fence is falling.
    pub async fn arm(
        &self,
        term: Term,
        fence_at: BootNanos,
        within: Duration,
    ) -> Result<(), GuardClientError> {
        self.done(GuardRequest::Arm { term, fence_at }, within).await
    }

    /// Starts PostgreSQL and returns the postmaster's process id once the program runs, which says nothing about
    /// connections yet. Ending backends of a former life may take five seconds of it.
    ///
    /// # Errors
    ///
    /// [`GuardClientError`]; refused while anything of an earlier postmaster lives, or writable without a deadline.
    pub async fn start(&self, spec: StartSpec, within: Duration) -> Result<u32, GuardClientError> {
        match self.accepted(GuardRequest::Start(spec), within).await? {
            GuardReply::Started { pid, .. } => Ok(pid),
            _ => Err(GuardClientError::Unexpected),
        }
    }

    /// Announces a promotion. PostgreSQL may be told only when this has returned.
    ///
    /// # Errors
    ///
    /// [`GuardClientError`]; refused unless armed for that term and a standby runs.
    pub async fn promoting(&self, term: Term, within: Duration) -> Result<(), GuardClientError> {
        self.done(GuardRequest::Promoting { term }, within).await
    }

    /// Takes the deadline away.
    ///
    /// # Errors
    ///
    /// [`GuardClientError`]; refused while something that may write is alive.
    pub async fn disarm(&self, term: Term, within: Duration) -> Result<(), GuardClientError> {
        self.done(GuardRequest::Disarm { term }, within).await
    }

    /// Asks the postmaster to stop; its exit comes as an event.
    ///
    /// # Errors
    ///
    /// [`GuardClientError`]; refused when none is running.
    pub async fn stop(&self, mode: StopMode, within: Duration) -> Result<(), GuardClientError> {
        self.done(GuardRequest::Stop { mode }, within).await
    }

    /// Kills every descendant of the guard and returns when none is left.
    ///
    /// # Errors
    ///
    /// [`GuardClientError`]. A timeout is not a proof.
    pub async fn kill_all(&self, within: Duration) -> Result<Proof, GuardClientError> {
        match self.accepted(GuardRequest::KillAll, within).await? {
            GuardReply::Proof(proof) => Ok(proof),
            _ => Err(GuardClientError::Unexpected),
        }
    }

    async fn done(&self, request: GuardRequest, within: Duration) -> Result<(), GuardClientError> {
        match self.accepted(request, within).await? {
            GuardReply::Done => Ok(()),
            _ => Err(GuardClientError::Unexpected),
        }
    }

    async fn accepted(
        &self,
        request: GuardRequest,
        within: Duration,
    ) -> Result<GuardReply, GuardClientError> {
        match self.request(request, within).await? {
            GuardReply::Refused(refusal) => Err(GuardClientError::Refused(refusal)),
            reply => Ok(reply),
        }
    }

    async fn send(&self, message: &[u8]) -> Result<(), GuardClientError> {
        let flags = MsgFlags::MSG_NOSIGNAL;
        let sent = self.connection.socket.async_io(tokio::io::Interest::WRITABLE, |socket| {
            send(socket.as_raw_fd(), message, flags).map_err(io::Error::from)
        });
        sent.await.map(|_| ()).map_err(|_| GuardClientError::Disconnected)
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<GuardReply>>> {
        self.connection.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::os::fd::AsFd for GuardClient {
    /// The connection's descriptor: the kernel knows by it which process listens.
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(self.connection.socket.get_ref())
    }
}

impl GuardEvents {
    /// The next event; [`GuardNotice::Disconnected`] at the end, and again whenever asked after it.
    pub async fn next(&mut self) -> GuardNotice {
        self.events.recv().await.map_or(GuardNotice::Disconnected, GuardNotice::Event)
    }
}

fn open(path: &Path) -> io::Result<AsyncFd<OwnedFd>> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
    connect(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
    // SAFETY: an `OwnedFd` is open for as long as it lives, and nothing takes it out of the `AsyncFd`.
    let registered = unsafe { AsyncFd::register(fd) };
    registered.map_err(io::Error::from)
}

/// Hands replies to who waits and events to the one reader, until the connection ends.
async fn read(socket: Arc<AsyncFd<OwnedFd>>, waiting: Arc<Waiting>, events: mpsc::Sender<GuardEvent>) {
    let mut buffer = vec![0; MESSAGE_BYTES_MAX];
    loop {
        let received = socket.async_io(tokio::io::Interest::READABLE, |socket| {
            recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()).map_err(io::Error::from)
        });
        let Ok(length @ 1..) = received.await else { break };
        match wire::decode(&buffer[..length]) {
            Some(FromGuard::Reply { id, reply }) => {
                let waiter = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                if let Some(waiter) = waiter {
                    // Who stopped waiting has been told so by its own deadline.
                    let _ = waiter.send(reply);
                }
            }
            // An embedder that does not read, or dropped, its events would miss an exit: better no connection.
            Some(FromGuard::Event(event)) => {
                if events.try_send(event).is_err() {
                    break;
                }
            }
            None => break,
        }
    }
    // From here on sending fails too, so nobody waits for a reply that nobody would read.
    let _ = shutdown(socket.as_raw_fd(), Shutdown::Both);
    waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
}
