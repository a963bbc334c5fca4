use bytes::BytesMut;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::connection::{ANSWER_BYTES_MAX, Connection};
use super::wire::{EventKind, WatchLine, WatchResponse};
use super::{CallError, Gateway, Version};

/// A watch on the key at one endpoint: one line of JSON for each batch of changes.
pub(in crate::etcd) struct Watch<'a> {
    gateway: &'a Gateway,
    at: usize,
    body: Incoming,
    _connection: Connection,
    read: BytesMut,
}

/// Why a watch is over. Whoever watches reads the key and watches anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::etcd) enum WatchEnd {
    #[error("the history up to revision {compacted} has been compacted")]
    Compacted { compacted: u64 },
    #[error("etcd ended it: {0}")]
    Cancelled(String),
    #[error(transparent)]
    Lost(#[from] CallError),
}

impl<'a> Watch<'a> {
    pub(super) fn new(gateway: &'a Gateway, at: usize, body: Incoming, connection: Connection) -> Self {
        Self { gateway, at, body, _connection: connection, read: BytesMut::new() }
    }

    /// The newest version of the next batch; none when the batch has no version, as the first one. Loses nothing
    /// when it is given up half-way.
    pub(in crate::etcd) async fn next(&mut self) -> Result<Option<Version>, WatchEnd> {
        let line = self.line().await?;
        let line: WatchLine =
            serde_json::from_slice(&line).map_err(|error| CallError::Malformed(error.to_string()))?;
        let Some(response) = line.result else {
            return Err(WatchEnd::Cancelled(line.error.unwrap_or_default().to_string()));
        };
        self.gateway.check_etcd(&response.header, self.at)?;
        newest(response)
    }

    /// Calls go elsewhere from now on.
    pub(in crate::etcd) fn give_way(&self, error: &CallError) {
        self.gateway.give_way(self.at, error);
    }

    async fn line(&mut self) -> Result<BytesMut, CallError> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line = self.read.split_to(end);
                let _ = self.read.split_to(1);
                return Ok(line);
            }
            if self.read.len() > ANSWER_BYTES_MAX {
                return Err(CallError::Malformed(format!("a line of more than {ANSWER_BYTES_MAX} bytes")));
            }
            let frame = self.body.frame().await.ok_or_else(|| CallError::Broken("it was closed".into()))?;
            let frame = frame.map_err(|error| CallError::Broken(error.to_string()))?;
            if let Some(bytes) = frame.data_ref() {
                self.read.extend_from_slice(bytes);
            }
        }
    }
}

fn newest(response: WatchResponse) -> Result<Option<Version>, WatchEnd> {
    if response.compact_revision > 0 {
        return Err(WatchEnd::Compacted { compacted: response.compact_revision });
    }
    if response.canceled {
        return Err(WatchEnd::Cancelled(response.cancel_reason));
    }
    match response.events.into_iter().next_back() {
        Some(event) if event.kind == EventKind::Delete => Err(WatchEnd::Cancelled("the key is gone".into())),
        Some(event) => Ok(Some(event.kv.into())),
        None => Ok(None),
    }
}
