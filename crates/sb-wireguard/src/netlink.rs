//! One netlink socket, used for one question at a time.

use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable,
};
use netlink_sys::{Socket, SocketAddr};

/// Longest single message that is sent, in bytes. The kernel takes one of up to the socket's send buffer; no plan for
/// the peers of one mesh comes near this.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Most answers to one question. A table of routes is the longest: beyond this something else is wrong.
const ANSWERS_MAX: usize = 100_000;

/// A question that the kernel did not answer as asked.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// The socket failed.
    #[error("could not talk to the kernel over netlink")]
    Socket(#[source] io::Error),
    /// The kernel refused; the error is its own number.
    #[error("the kernel refused")]
    Refused(#[source] io::Error),
    /// The kernel's answer does not read as one.
    #[error("an answer of the kernel does not read as one: {0}")]
    Answer(String),
    /// The request is longer than a message may be.
    #[error("a request of {bytes} bytes is longer than {MESSAGE_BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// More answers than any table has.
    #[error("more than {ANSWERS_MAX} answers to one question")]
    TooMany,
}

impl NetlinkError {
    /// Whether the kernel refused with this number (`errno`).
    #[must_use]
    pub fn is(&self, number: i32) -> bool {
        matches!(self, Self::Refused(error) if error.raw_os_error() == Some(number))
    }
}

/// A netlink socket of the network namespace in which it was opened.
pub(crate) struct Channel {
    socket: Socket,
    sequence: u32,
}

impl Channel {
    /// Opens a socket of one protocol (`NETLINK_ROUTE`, `NETLINK_GENERIC`).
    pub(crate) fn open(protocol: isize) -> Result<Self, NetlinkError> {
        let mut socket = Socket::new(protocol).map_err(NetlinkError::Socket)?;
        socket.bind_auto().map_err(NetlinkError::Socket)?;
        socket.connect(&SocketAddr::new(0, 0)).map_err(NetlinkError::Socket)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Asks for an alteration and waits until it is done. `flags` are added to those of a request.
    pub(crate) fn alter<M>(&mut self, message: M, flags: u16) -> Result<(), NetlinkError>
    where
        M: NetlinkSerializable + NetlinkDeserializable,
        NetlinkPayload<M>: From<M>,
    {
        self.send(message, NLM_F_REQUEST | NLM_F_ACK | flags)?;
        self.answers::<M>().map(drop)
    }

    /// Asks one question that has one answer.
    pub(crate) fn ask<M>(&mut self, message: M) -> Result<Vec<M>, NetlinkError>
    where
        M: NetlinkSerializable + NetlinkDeserializable,
        NetlinkPayload<M>: From<M>,
    {
        self.send(message, NLM_F_REQUEST | NLM_F_ACK)?;
        self.answers()
    }

    /// Asks for a whole table.
    pub(crate) fn dump<M>(&mut self, message: M) -> Result<Vec<M>, NetlinkError>
    where
        M: NetlinkSerializable + NetlinkDeserializable,
        NetlinkPayload<M>: From<M>,
    {
        self.send(message, NLM_F_REQUEST | NLM_F_DUMP)?;
        self.answers()
    }

    fn send<M>(&mut self, message: M, flags: u16) -> Result<(), NetlinkError>
    where
        M: NetlinkSerializable,
        NetlinkPayload<M>: From<M>,
    {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
        message.finalize();
        let bytes = message.buffer_len();
        if bytes > MESSAGE_BYTES_MAX {
            return Err(NetlinkError::TooLong { bytes });
        }
        let mut buffer = zeroize::Zeroizing::new(vec![0; bytes]);
        message.serialize(&mut buffer);
        self.socket.send(&buffer, 0).map_err(NetlinkError::Socket).map(drop)
    }

    /// Reads until the kernel says that it has said everything. Answers to earlier questions are passed over.
    fn answers<M: NetlinkDeserializable>(&mut self) -> Result<Vec<M>, NetlinkError> {
        let mut found = Vec::new();
        loop {
            let (datagram, _) = self.socket.recv_from_full().map_err(NetlinkError::Socket)?;
            let datagram = zeroize::Zeroizing::new(datagram);
            let mut rest = datagram.as_slice();
            while !rest.is_empty() {
                let message = NetlinkMessage::<M>::deserialize(rest);
                let length =
                    length(rest).ok_or_else(|| NetlinkError::Answer("it is cut short".to_owned()))?;
                rest = rest.get(aligned(length)..).unwrap_or_default();
                // Of a whole table one entry may be of a kind that is not known here, and is not ours.
                let Ok(message) = message else { continue };
                if message.header.sequence_number != self.sequence {
                    continue;
                }
                match message.payload {
                    NetlinkPayload::Done(_) => return Ok(found),
                    NetlinkPayload::Error(error) if error.code.is_none() => return Ok(found),
                    NetlinkPayload::Error(error) => return Err(NetlinkError::Refused(error.to_io())),
                    NetlinkPayload::InnerMessage(_) if found.len() == ANSWERS_MAX => {
                        return Err(NetlinkError::TooMany);
                    }
                    NetlinkPayload::InnerMessage(inner) => found.push(inner),
                    _ => {}
                }
            }
        }
    }
}

/// Length of the message that begins here, by its first four bytes.
fn length(datagram: &[u8]) -> Option<u32> {
    datagram.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

/// Where the next message of a datagram begins: messages are aligned to 4 bytes. Never 0, so that reading ends.
fn aligned(length: u32) -> usize {
    (usize::try_from(length).unwrap_or(usize::MAX).saturating_add(3) & !3).max(16)
}
