//! Elements of the lease's set, over nfnetlink (linux/netfilter/nf_tables.h): one batch is one transaction, and the
//! kernel has answered when sending returns.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

use super::error::FenceError;
use super::ruleset::{SET, TABLE};

const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const SUBSYSTEM_NFTABLES: u16 = 10;
const NEW_ELEMENT: u16 = SUBSYSTEM_NFTABLES << 8 | 12;
const DELETE_ELEMENT: u16 = SUBSYSTEM_NFTABLES << 8 | 14;
const FAMILY_INET: u8 = 1;

const REQUEST: u16 = 0x1;
const ACK: u16 = 0x4;
const CREATE: u16 = 0x400;
const ERROR: u16 = 0x2;

const NESTED: u16 = 0x8000;
const LIST_TABLE: u16 = 1;
const LIST_SET: u16 = 2;
const LIST_ELEMENTS: u16 = 3 | NESTED;
const LIST_ELEMENT: u16 = 1 | NESTED;
const ELEMENT_KEY: u16 = 1 | NESTED;
const ELEMENT_TIMEOUT: u16 = 4;
const DATA_VALUE: u16 = 1;

const HEADER_BYTES: usize = 16;
const REPLY_BYTES_MAX: usize = 4096;

/// A socket to the packet filter of one network namespace.
#[derive(Debug)]
pub(super) struct Netlink {
    socket: OwnedFd,
}

/// Messages of one transaction.
struct Batch {
    bytes: Vec<u8>,
    acks: usize,
}

impl Netlink {
    pub(super) fn open() -> Result<Self, FenceError> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let protocol = SockProtocol::NetlinkNetFilter;
        socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)
            .map(|socket| Self { socket })
            .map_err(|errno| refused("reach the packet filter", errno))
    }

    /// Lets `port` pass for this long from now. A timeout is only taken with a new element, so the old one goes; and
    /// deleting needs one that is there, so it is added first.
    pub(super) fn grant(&self, port: u16, timeout_ms: u64) -> Result<(), FenceError> {
        let mut batch = Batch::begin();
        batch.element(NEW_ELEMENT, CREATE, port, Some(timeout_ms));
        batch.element(DELETE_ELEMENT, 0, port, None);
        batch.element(NEW_ELEMENT, CREATE, port, Some(timeout_ms));
        self.commit(batch).map_err(|errno| refused("renew the lease in the packet filter", errno))
    }

    /// Takes `port` away, whether or not it is there.
    pub(super) fn revoke(&self, port: u16) -> Result<(), FenceError> {
        let mut batch = Batch::begin();
        batch.element(NEW_ELEMENT, CREATE, port, Some(1));
        batch.element(DELETE_ELEMENT, 0, port, None);
        self.commit(batch).map_err(|errno| refused("close the packet filter", errno))
    }

    fn commit(&self, batch: Batch) -> nix::Result<()> {
        self.drain();
        let expected = batch.acks;
        send(self.socket.as_raw_fd(), &batch.end(), MsgFlags::empty())?;
        let mut acks = 0;
        let mut replies = [0; REPLY_BYTES_MAX];
        while acks < expected {
            let length = recv(self.socket.as_raw_fd(), &mut replies, MsgFlags::empty())?;
            acks += count_acks(&replies[..length])?;
        }
        Ok(())
    }

    /// Answers that nobody waited for, after an error in an earlier transaction.
    fn drain(&self) {
        let mut replies = [0; REPLY_BYTES_MAX];
        while recv(self.socket.as_raw_fd(), &mut replies, MsgFlags::empty()).is_ok() {}
    }
}

impl Batch {
    fn begin() -> Self {
        let mut batch = Self { bytes: Vec::new(), acks: 0 };
        batch.message(BATCH_BEGIN, REQUEST, 0, SUBSYSTEM_NFTABLES, |_| {});
        batch
    }

    fn element(&mut self, kind: u16, flags: u16, port: u16, timeout_ms: Option<u64>) {
        self.acks += 1;
        self.message(kind, REQUEST | ACK | flags, FAMILY_INET, 0, |bytes| {
            attribute(bytes, LIST_TABLE, |bytes| text(bytes, TABLE));
            attribute(bytes, LIST_SET, |bytes| text(bytes, SET));
            attribute(bytes, LIST_ELEMENTS, |bytes| {
                attribute(bytes, LIST_ELEMENT, |bytes| {
                    attribute(bytes, ELEMENT_KEY, |bytes| {
                        attribute(bytes, DATA_VALUE, |bytes| bytes.extend(port.to_be_bytes()));
                    });
                    if let Some(timeout_ms) = timeout_ms {
                        attribute(bytes, ELEMENT_TIMEOUT, |bytes| bytes.extend(timeout_ms.to_be_bytes()));
                    }
                });
            });
        });
    }

    fn end(mut self) -> Vec<u8> {
        self.message(BATCH_END, REQUEST, 0, SUBSYSTEM_NFTABLES, |_| {});
        self.bytes
    }

    /// `nlmsghdr` and `nfgenmsg`, then the attributes; lengths are filled in afterwards.
    fn message(&mut self, kind: u16, flags: u16, family: u8, id: u16, attributes: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.extend([0; 4]);
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(flags.to_ne_bytes());
        self.bytes.extend([0; 8]);
        self.bytes.extend([family, 0]);
        self.bytes.extend(id.to_be_bytes());
        attributes(&mut self.bytes);
        let length = u32::try_from(self.bytes.len() - start).expect("a message is some hundred bytes");
        self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }
}

/// `nlattr`, padded to four bytes; the length does not count the padding.
fn attribute(bytes: &mut Vec<u8>, kind: u16, value: impl FnOnce(&mut Vec<u8>)) {
    let start = bytes.len();
    bytes.extend([0; 2]);
    bytes.extend(kind.to_ne_bytes());
    value(bytes);
    let length = u16::try_from(bytes.len() - start).expect("an attribute is some hundred bytes");
    bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend(text.as_bytes());
    bytes.push(0);
}

/// How many messages were accepted; the first refusal is the error.
fn count_acks(mut replies: &[u8]) -> nix::Result<usize> {
    let mut acks = 0;
    while let Some((length, kind, payload)) = split(replies) {
        if kind == ERROR {
            let code: [u8; 4] =
                payload.get(..4).and_then(|code| code.try_into().ok()).ok_or(Errno::EBADMSG)?;
            match i32::from_ne_bytes(code) {
                0 => acks += 1,
                error => return Err(Errno::from_raw(error.wrapping_neg())),
            }
        }
        replies = replies.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(acks)
}

/// Length, type and payload of the first message.
fn split(replies: &[u8]) -> Option<(usize, u16, &[u8])> {
    let length = u32::from_ne_bytes(replies.get(..4)?.try_into().ok()?);
    let kind = u16::from_ne_bytes(replies.get(4..6)?.try_into().ok()?);
    let length = usize::try_from(length).ok()?;
    Some((length, kind, replies.get(HEADER_BYTES..length)?))
}

fn refused(action: &'static str, errno: Errno) -> FenceError {
    match errno {
        Errno::ENOENT => FenceError::NotInstalled,
        errno => FenceError::Netlink { action, source: io::Error::from(errno) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(code: i32) -> Vec<u8> {
        let mut bytes = 20_u32.to_ne_bytes().to_vec();
        bytes.extend(ERROR.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(code.to_ne_bytes());
        bytes
    }

    #[test]
    fn every_accepted_message_is_counted() {
        assert_eq!(count_acks(&[reply(0), reply(0)].concat()), Ok(2));
    }

    #[test]
    fn a_refusal_is_an_error_also_behind_an_acceptance() {
        assert_eq!(count_acks(&[reply(0), reply(-libc::EPERM)].concat()), Err(Errno::EPERM));
    }

    #[test]
    fn a_reply_cut_short_is_not_an_acceptance() {
        assert_eq!(count_acks(&reply(0)[..18]), Ok(0));
    }

    #[test]
    fn attributes_are_padded_but_not_counted_so() {
        let mut bytes = Vec::new();
        attribute(&mut bytes, DATA_VALUE, |bytes| bytes.extend([21, 56]));
        assert_eq!(bytes, [6, 0, 1, 0, 21, 56, 0, 0]);
    }
}
