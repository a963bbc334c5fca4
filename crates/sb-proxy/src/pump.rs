use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::client::ClientStream;
use crate::numbers::{Counter, Meter};
use crate::sockets;

/// What is read at a time, and what one direction keeps at most while its receiver is slow, in bytes.
pub const CHUNK_BYTES: usize = 64 * 1024;

thread_local! {
    /// Bytes are in it only while a task is being polled, so that one buffer serves every connection of a thread.
    static CHUNK: RefCell<Box<[u8]>> = RefCell::new(vec![0; CHUNK_BYTES].into_boxed_slice());
}

/// A client and its server, and what is on the way between them.
#[derive(Debug)]
pub struct Pump {
    client: ClientStream,
    server: TcpStream,
    to_server: Flow,
    to_client: Flow,
}

/// How far the two have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flowed {
    /// Both have ended, in order.
    Both,
    /// The server has ended, and its client has been told so.
    Server,
}

impl Pump {
    /// `client` has sent `first` already; that comes before everything else.
    pub fn new(client: ClientStream, server: TcpStream, first: Vec<u8>) -> Self {
        let to_server = Flow { kept: first, ..Flow::default() };
        Self { client, server, to_server, to_client: Flow::default() }
    }

    /// Passes bytes on until both have ended, or the server has. It may be dropped and called again at any time; after
    /// [`Flowed::Server`] it waits for the client.
    ///
    /// # Errors
    /// When either connection has failed.
    pub async fn run(&mut self, meter: &Meter) -> io::Result<Flowed> {
        let server_had_ended = self.to_client.over;
        poll_fn(|cx| self.poll(cx, meter, server_had_ended)).await
    }

    /// Ends both connections now, with nothing more said on either.
    pub fn cut(self) {
        sockets::reset_on_close(&self.client, &self.server);
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        meter: &Meter,
        server_had_ended: bool,
    ) -> Poll<io::Result<Flowed>> {
        let Self { client, server, to_server, to_client } = self;
        let up = to_server.poll(cx, client, server, &meter.bytes_to_servers)?;
        let down = to_client.poll(cx, server, client, &meter.bytes_to_clients)?;
        match (up, down) {
            (Poll::Ready(()), Poll::Ready(())) => Poll::Ready(Ok(Flowed::Both)),
            (Poll::Pending, Poll::Ready(())) if !server_had_ended => Poll::Ready(Ok(Flowed::Server)),
            (Poll::Pending, _) | (_, Poll::Pending) => Poll::Pending,
        }
    }
}

/// One direction. While its receiver takes no more, its sender is not read.
#[derive(Debug, Default)]
struct Flow {
    /// Read and not yet taken; empty, and without memory, while the receiver keeps up.
    kept: Vec<u8>,
    taken: usize,
    sender_ended: bool,
    over: bool,
}

impl Flow {
    /// Ready when the sender has ended and the receiver has been told.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        counter: &Counter,
    ) -> Poll<io::Result<()>> {
        while !self.over {
            ready!(self.poll_kept(cx, to, counter))?;
            if self.sender_ended {
                ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                self.over = true;
            } else {
                ready!(self.poll_chunk(cx, from, to, counter))?;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_kept(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut (impl AsyncWrite + Unpin),
        counter: &Counter,
    ) -> Poll<io::Result<()>> {
        while self.taken < self.kept.len() {
            let written = ready!(Pin::new(&mut *to).poll_write(cx, &self.kept[self.taken..]))?;
            counter.add(written as u64);
            self.taken += written;
        }
        if self.taken > 0 {
            (self.kept, self.taken) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once, when there is something to read, and passes it on; the rest is kept.
    fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        counter: &Counter,
    ) -> Poll<io::Result<()>> {
        CHUNK.with_borrow_mut(|chunk| {
            let mut buffer = ReadBuf::new(chunk);
            ready!(Pin::new(from).poll_read(cx, &mut buffer))?;
            let read = buffer.filled();
            self.sender_ended = read.is_empty();
            if read.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let written = match Pin::new(to).poll_write(cx, read)? {
                Poll::Ready(written) => written,
                Poll::Pending => 0,
            };
            counter.add(written as u64);
            self.kept = read[written..].to_vec();
            Poll::Ready(Ok(()))
        })
    }
}
