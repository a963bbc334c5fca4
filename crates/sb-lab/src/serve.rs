//! A lab in the background: it serves its control socket until it is told to end.

use std::io;
use std::os::fd::OwnedFd;

use nix::sys::socket::{Backlog, listen};
use nix::unistd::Uid;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use crate::cluster::{DATABASE, OWNER, PORT};
use crate::control::{Answer, Door, LINE_BYTES_MAX, Phase, Request};
use crate::demo::table;
use crate::lab::{Lab, LabError};
use crate::picture::Picture;
use crate::place::Place;

/// Whether the lab goes on after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    GoOn,
    End,
}

/// Serves requests until one says [`Request::Down`]. A lab that could not be built says so to everybody who asks.
///
/// # Errors
/// When the socket cannot be used.
pub async fn serve(lab: Result<&Lab, &LabError>, socket: OwnedFd) -> io::Result<()> {
    // Once more, by this process: whoever connects is told by the kernel who listens, and finds our namespaces so.
    listen(&socket, Backlog::MAXCONN)?;
    let socket = std::os::unix::net::UnixListener::from(socket);
    socket.set_nonblocking(true)?;
    let listener = UnixListener::from_std(socket)?;
    loop {
        let (stream, _) = listener.accept().await?;
        // A caller that goes away is no reason to end.
        if serve_one(lab, stream).await.unwrap_or(Next::GoOn) == Next::End {
            return Ok(());
        }
    }
}

async fn serve_one(lab: Result<&Lab, &LabError>, mut stream: UnixStream) -> io::Result<Next> {
    if stream.peer_cred()?.uid() != Uid::effective().as_raw() {
        return Ok(Next::GoOn);
    }
    let (reader, mut writer) = stream.split();
    let mut line = String::new();
    BufReader::new(reader.take(LINE_BYTES_MAX)).read_line(&mut line).await?;
    let request: Request = serde_json::from_str(&line)?;
    let answer = match (&request, lab) {
        (Request::Down, _) => Answer::Done("the lab ends; nothing is left behind".into()),
        (_, Err(error)) => refused(error),
        (_, Ok(lab)) => answer(lab, &request).await,
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    writer.write_all(&text).await?;
    Ok(if request == Request::Down { Next::End } else { Next::GoOn })
}

async fn answer(lab: &Lab, request: &Request) -> Answer {
    match request {
        Request::Status => status(lab).await,
        Request::Apply(fault) => match lab.apply(fault) {
            Ok(()) => Answer::Done(fault.to_string()),
            Err(error) => refused(&error),
        },
        Request::Door(place) => match door(lab, *place) {
            Ok(door) => Answer::Door(door),
            Err(error) => Answer::Refused { message: error.to_string(), hint: None },
        },
        Request::Down => Answer::Done(String::new()),
    }
}

async fn status(lab: &Lab) -> Answer {
    let picture = Picture::take(lab).await;
    let phase = if picture.whole() { Phase::Whole } else { Phase::Incomplete };
    let mut lines = table(&picture);
    let links = lab.links();
    lines.extend(links.cuts().iter().map(|(from, to)| format!("  cut: {from} -> {to}")));
    lines.extend(links.cut_ports().iter().map(|port| format!("  cut: port {port}")));
    Answer::Status { phase, lines }
}

/// The descriptor stays open as long as the lab: a shell may come at any time, and ends with the lab. On a server
/// `psql` asks that server and `sb-cli` its agent; in the office `psql` asks whichever server accepts writes.
fn door(lab: &Lab, place: Place) -> io::Result<Door> {
    let namespace = lab.network().namespace(place);
    let access = lab.access();
    let mut environment = vec![
        ("PGDATABASE", DATABASE.to_owned()),
        ("PGUSER", OWNER.to_owned()),
        ("PGPORT", PORT.to_string()),
        ("PGPASSWORD", access.password),
        ("PGSSLMODE", "verify-ca".to_owned()),
    ];
    let authority = access.authority.map(|path| path.display().to_string());
    environment.extend(authority.map(|path| ("PGSSLROOTCERT", path)));
    if let Some(host) = lab.host(place) {
        environment.push(("PGHOST", place.address().to_string()));
        environment.push(("SB_SOCKET", host.directories().run.join("agent.sock").display().to_string()));
    } else {
        let servers: Vec<_> = lab.databases().map(|server| server.address().to_string()).collect();
        environment.push(("PGHOST", servers.join(",")));
        environment.push(("PGTARGETSESSIONATTRS", "read-write".to_owned()));
    }
    let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Ok(Door { namespace: namespace.as_raw_fd(), environment })
}

fn refused(error: &LabError) -> Answer {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        message = format!("{message}: {inner}");
        cause = inner.source();
    }
    Answer::Refused { message, hint: error.hint() }
}
