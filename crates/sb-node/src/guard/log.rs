//! The guard's log: lines to standard error that never make it wait.
//!
//! A reader that does not drain its pipe, or a journal that hangs, costs a line and not the deadline. A regular file
//! may still wait for its disk: give the guard the journal or a pipe.

use std::fmt::{self, Write};
use std::io;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use std::os::fd::{AsFd, AsRawFd};

/// A line, at most; within what a pipe takes in one piece (`PIPE_BUF`).
const LINE_BYTES_MAX: usize = 1024;

struct Line {
    bytes: [u8; LINE_BYTES_MAX],
    length: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = &mut self.bytes[self.length..];
        let taken = text.len().min(room.len());
        room[..taken].copy_from_slice(&text.as_bytes()[..taken]);
        self.length += taken;
        Ok(())
    }
}

/// Something a person may want to know tomorrow.
pub(super) fn warn(message: fmt::Arguments<'_>) {
    line("WARN", message);
}

/// What happened.
pub(super) fn info(message: fmt::Arguments<'_>) {
    line("INFO", message);
}

fn line(level: &str, message: fmt::Arguments<'_>) {
    let mut line = Line { bytes: [0; LINE_BYTES_MAX], length: 0 };
    // A longer line is cut, which is not an error.
    let _ = writeln!(line, "{level} guard: {message}");
    let bytes = &line.bytes[..line.length];
    let stderr = io::stderr();
    if send(stderr.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL)
        == Err(Errno::ENOTSOCK)
    {
        let mut ready = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
        if poll(&mut ready, PollTimeout::ZERO) == Ok(1) {
            let _ = nix::unistd::write(&stderr, bytes);
        }
    }
}
