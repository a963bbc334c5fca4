use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::limits::{BULK_FRAME_BYTES_MAX, CLUSTER_BYTES_MAX, HELLO_BYTES_MAX, URGENT_FRAME_BYTES_MAX};
use crate::replica::Message;
use crate::{Lane, Member};

/// The first frame of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    version: u16,
    /// The group that the sender belongs to.
    pub(crate) cluster: String,
    /// The sender, with the address at which it can be answered.
    pub(crate) member: Member,
    urgent: bool,
}

const VERSION: u16 = 1;

/// What can be wrong with a frame.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a frame of {bytes} bytes where {max} are allowed")]
    TooLong { bytes: usize, max: usize },
    #[error("an unreadable {0}")]
    Unreadable(&'static str),
    #[error("an unsound hello")]
    Hello,
    #[error("protocol version {0} is not {VERSION}")]
    Version(u16),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl Hello {
    pub(crate) fn new(cluster: String, member: Member, lane: Lane) -> Self {
        Self { version: VERSION, cluster, member, urgent: lane == Lane::Urgent }
    }

    pub(crate) fn lane(&self) -> Lane {
        if self.urgent { Lane::Urgent } else { Lane::Bulk }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        let hello: Self = postcard::from_bytes(bytes).map_err(|_| FrameError::Unreadable("hello"))?;
        if hello.version != VERSION {
            return Err(FrameError::Version(hello.version));
        }
        if hello.cluster.len() > CLUSTER_BYTES_MAX || hello.member.validate().is_err() {
            return Err(FrameError::Hello);
        }
        Ok(hello)
    }
}

/// A frame: four bytes of length, little-endian, and a payload.
pub(crate) fn encode(payload: &impl Serialize) -> Option<Vec<u8>> {
    let mut bytes = postcard::to_extend(payload, vec![0; 4]).ok()?;
    let length = u32::try_from(bytes.len() - 4).ok()?;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    Some(bytes)
}

pub(crate) fn decode_message(bytes: &[u8]) -> Result<Message, FrameError> {
    let message: Message = postcard::from_bytes(bytes).map_err(|_| FrameError::Unreadable("message"))?;
    message.validate().map_err(|_| FrameError::Unreadable("message"))?;
    Ok(message)
}

/// Reads one frame; `None` at the end of the stream. Too long a frame is refused before room is made for it.
pub(crate) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    bytes_max: usize,
) -> Result<Option<Vec<u8>>, FrameError> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length).await {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let bytes = u32::from_le_bytes(length) as usize;
    if bytes > bytes_max {
        return Err(FrameError::TooLong { bytes, max: bytes_max });
    }
    let mut frame = vec![0; bytes];
    stream.read_exact(&mut frame).await?;
    Ok(Some(frame))
}

pub(crate) fn bytes_max(lane: Option<Lane>) -> usize {
    match lane {
        None => HELLO_BYTES_MAX,
        Some(Lane::Urgent) => URGENT_FRAME_BYTES_MAX,
        Some(Lane::Bulk) => BULK_FRAME_BYTES_MAX,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::MemberId;
    use crate::replica::MessageKind;

    fn heartbeat() -> Message {
        let (to, from) = (MemberId::new(1).unwrap(), MemberId::new(2).unwrap());
        Message {
            kind: MessageKind::Heartbeat,
            to,
            from,
            term: 3,
            log_term: 0,
            index: 0,
            entries: vec![],
            commit: 4,
            commit_term: 0,
            snapshot: None,
            reject: false,
            reject_hint: 0,
            context: vec![],
            priority: 0,
        }
    }

    #[test]
    fn a_message_survives_its_frame() {
        let frame = encode(&heartbeat()).unwrap();
        assert_eq!(decode_message(&frame[4..]).unwrap(), heartbeat());
    }

    #[tokio::test]
    async fn a_frame_over_its_bound_is_refused_before_it_is_read() {
        let mut stream: &[u8] = &[0xFF, 0xFF, 0xFF, 0x7F];
        let refused = read(&mut stream, 10).await;
        assert!(matches!(refused, Err(FrameError::TooLong { bytes: 0x7FFF_FFFF, max: 10 })));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = decode_message(&bytes);
            let _ = Hello::decode(&bytes);
        }

        #[test]
        fn a_damaged_message_is_a_message_or_refused(at in 0_usize..20, byte: u8) {
            let mut frame = encode(&heartbeat()).unwrap().split_off(4);
            let at = at % frame.len();
            frame[at] = byte;
            let _ = decode_message(&frame);
        }
    }
}
