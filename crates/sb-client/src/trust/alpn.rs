/// What is spoken on a connection to the peer port, agreed in the TLS handshake (RFC 7301).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alpn {
    /// Frames of the replicated store.
    Raft,
    /// Peer calls.
    Http,
}

impl Alpn {
    /// Every protocol that the peer port accepts.
    pub const ALL: [Alpn; 2] = [Alpn::Raft, Alpn::Http];

    /// The protocol's identifier on the wire.
    #[must_use]
    pub const fn id(self) -> &'static [u8] {
        match self {
            Self::Raft => b"sb-raft/1",
            Self::Http => b"http/1.1",
        }
    }

    /// The protocol with this identifier.
    #[must_use]
    pub fn from_id(id: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|alpn| alpn.id() == id)
    }
}
