//! How a lab in the background is talked to: one line of JSON each way, over a Unix socket in the abstract name
//! space, which leaves no file behind when the lab is killed.

use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::time::Duration;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::Uid;
use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::place::Place;

/// Longest request or answer, in bytes.
pub const LINE_BYTES_MAX: u64 = 1 << 16;

/// Longest wait for an answer: killing a host may take seconds.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// What a lab is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// How are the servers?
    Status,
    /// Let this happen.
    Apply(Fault),
    /// How does a shell get to this place?
    Door(Place),
    /// End.
    Down,
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// How the servers are.
    Status {
        /// Whether the lab is complete.
        phase: Phase,
        /// The table, for people.
        lines: Vec<String>,
    },
    /// It is done; what it means.
    Done(String),
    /// How a shell gets there.
    Door(Door),
    /// It could not be done.
    Refused {
        /// Why.
        message: String,
        /// What a person can do about it.
        hint: Option<String>,
    },
}

/// How far a lab is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Servers are on their way, or something is broken.
    Incomplete,
    /// One primary, and every other server follows it.
    Whole,
}

/// How a shell gets to a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Door {
    /// Descriptor of the place's network namespace in the lab's process.
    pub namespace: i32,
    /// What programs there need to know.
    pub environment: Vec<(String, String)>,
}

/// A lab cannot be talked to.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// None runs.
    #[error("no lab is running")]
    NotRunning,
    /// One runs already.
    #[error("a lab is already running")]
    AlreadyRunning,
    /// Somebody else holds its name.
    #[error("the lab's socket belongs to another user")]
    Stranger,
    /// The connection broke.
    #[error("could not talk to the lab")]
    Connection(#[source] io::Error),
}

impl ControlError {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotRunning => "sb-cli lab up",
            Self::AlreadyRunning => "End it with: sb-cli lab down",
            Self::Stranger | Self::Connection(_) => {
                "See which process it is with: ss -xlp | grep show-build-lab"
            }
        }
    }
}

/// Takes the name of this user's lab.
///
/// # Errors
/// When a lab runs already.
pub fn listen() -> Result<OwnedFd, ControlError> {
    match address().and_then(|address| UnixListener::bind_addr(&address)) {
        Ok(listener) => Ok(listener.into()),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(ControlError::AlreadyRunning),
        Err(error) => Err(ControlError::Connection(error)),
    }
}

/// An answer, and the process that gave it.
#[derive(Debug)]
pub struct Answered {
    /// What it said.
    pub answer: Answer,
    /// The lab's process id as the caller sees it.
    pub lab: i32,
}

/// Asks this user's lab.
///
/// # Errors
/// When none runs, or it does not answer.
pub fn ask(request: &Request) -> Result<Answered, ControlError> {
    let mut stream = address().and_then(|address| UnixStream::connect_addr(&address)).map_err(|error| {
        match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => ControlError::NotRunning,
            _ => ControlError::Connection(error),
        }
    })?;
    let peer =
        getsockopt(&stream, PeerCredentials).map_err(|errno| ControlError::Connection(errno.into()))?;
    if peer.uid() != Uid::effective().as_raw() {
        return Err(ControlError::Stranger);
    }
    let answer = exchange(&mut stream, request).map_err(ControlError::Connection)?;
    Ok(Answered { answer, lab: peer.pid() })
}

fn exchange(stream: &mut UnixStream, request: &Request) -> io::Result<Answer> {
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    let mut line = serde_json::to_string(request)?;
    line.push('\n');
    stream.write_all(line.as_bytes())?;
    let mut answer = String::new();
    BufReader::new(io::Read::take(stream, LINE_BYTES_MAX)).read_line(&mut answer)?;
    if answer.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_str(&answer)?)
}

fn address() -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("show-build-lab-{}", Uid::effective()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_answers_are_read_back_as_they_were_written() {
        let place = Place::named("tucson-1").unwrap();
        for request in [Request::Status, Request::Apply(Fault::Heal), Request::Door(place), Request::Down] {
            let text = serde_json::to_string(&request).unwrap();
            assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request);
        }
        let door = Door { namespace: 7, environment: vec![("PGHOST".into(), "/srv".into())] };
        let text = serde_json::to_string(&Answer::Door(door.clone())).unwrap();
        assert_eq!(serde_json::from_str::<Answer>(&text).unwrap(), Answer::Door(door));
    }
}
