use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::socket::{Shutdown, shutdown};
use zeroize::Zeroizing;

use super::CreateError;
use super::running::Running;
use crate::uapi::{Errno, REQUEST_BYTES_MAX, Request, message_length, write_state, write_status};

/// Clients that are served at once; one more is hung up on.
const CLIENTS_MAX: usize = 16;
/// A client that says nothing for so long is hung up on.
const SILENCE_MAX: Duration = Duration::from_secs(5);
const READ_BYTES: usize = 4096;

/// The socket that `wg` speaks to. Only its owner may: what it tells includes the private key.
pub(super) struct Control {
    path: PathBuf,
    listener: UnixListener,
    thread: Option<JoinHandle<()>>,
}

impl Control {
    /// Listens at `DIRECTORY/NAME.sock`. A socket that nobody listens at any more is replaced.
    pub(super) fn open(shared: Arc<Running>, directory: &Path, name: &str) -> Result<Self, CreateError> {
        let path = directory.join(format!("{name}.sock"));
        let failed = |source| CreateError::Control { path: path.clone(), source };
        let listener = listen(directory, &path).map_err(failed)?;
        let served = listener.try_clone().map_err(failed)?;
        let thread = std::thread::Builder::new()
            .name(format!("{name}-control"))
            .spawn(move || serve(&served, &shared))
            .map_err(CreateError::Thread)?;
        Ok(Self { path, listener, thread: Some(thread) })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // Whoever waits for a client is told that none comes.
        let _ = shutdown(self.listener.as_raw_fd(), Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            // A panic over there was told by the panic itself.
            let _ = thread.join();
        }
        // Somebody else may have tidied up.
        let _ = fs::remove_file(&self.path);
    }
}

fn listen(directory: &Path, path: &Path) -> io::Result<UnixListener> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    match UnixStream::connect(path) {
        Ok(_) => return Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)?,
        Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

fn serve(listener: &UnixListener, shared: &Arc<Running>) {
    let clients = Arc::new(AtomicUsize::new(0));
    while let Ok((client, _)) = listener.accept() {
        if clients.fetch_add(1, Ordering::AcqRel) >= CLIENTS_MAX {
            clients.fetch_sub(1, Ordering::AcqRel);
            continue;
        }
        let (served, left) = (Arc::clone(shared), Arc::clone(&clients));
        let begun = std::thread::Builder::new().name("wg-client".into()).spawn(move || {
            // A client that went away has no use for an answer.
            let _ = converse(client, &served);
            left.fetch_sub(1, Ordering::AcqRel);
        });
        if begun.is_err() {
            clients.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

fn converse(mut client: UnixStream, shared: &Running) -> io::Result<()> {
    client.set_read_timeout(Some(SILENCE_MAX))?;
    client.set_write_timeout(Some(SILENCE_MAX))?;
    let mut unread = Zeroizing::new(Vec::new());
    loop {
        while let Some(length) = message_length(&unread) {
            let answer = answer(&unread[..length], shared);
            client.write_all(answer.as_bytes())?;
            unread.drain(..length);
        }
        if unread.len() > REQUEST_BYTES_MAX {
            return client.write_all(write_status(Errno::TOO_BIG).as_bytes());
        }
        let mut part = Zeroizing::new([0; READ_BYTES]);
        match client.read(part.as_mut())? {
            0 => return Ok(()),
            bytes => unread.extend_from_slice(&part[..bytes]),
        }
    }
}

fn answer(message: &[u8], shared: &Running) -> Zeroizing<String> {
    let request = match std::str::from_utf8(message).map(Request::read) {
        Ok(Ok(request)) => request,
        Ok(Err(error)) => return Zeroizing::new(write_status(error.errno())),
        Err(_) => return Zeroizing::new(write_status(Errno::PROTOCOL)),
    };
    match request {
        Request::Get => write_state(&shared.observe()),
        Request::Set(changes) => {
            let errno = shared.apply(&changes).map_or_else(|error| Errno::from(&error), |()| Errno::NONE);
            Zeroizing::new(write_status(errno))
        }
    }
}
