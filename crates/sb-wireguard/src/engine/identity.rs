use std::sync::Arc;

use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::x25519::{PublicKey as Point, StaticSecret};

use crate::{PrivateKey, PublicKey};

/// Handshake messages answered in a second before senders must prove their address with a cookie.
const HANDSHAKES_PER_SECOND_MAX: u64 = 100;

/// The interface's own key, and what guards the costly part of a handshake with it.
pub(super) struct Identity {
    pub(super) private_key: PrivateKey,
    pub(super) public_key: PublicKey,
    /// Every handshake message passes here first.
    pub(super) gate: RateLimiter,
    /// What every `Tunn` asks again, and must not count a second time.
    open: Arc<RateLimiter>,
}

impl Identity {
    pub(super) fn new(private_key: PrivateKey) -> Self {
        let public_key = private_key.public_key();
        let point = Point::from(*public_key.as_bytes());
        Self {
            gate: RateLimiter::new(&point, HANDSHAKES_PER_SECOND_MAX),
            open: Arc::new(RateLimiter::new(&point, u64::MAX)),
            public_key,
            private_key,
        }
    }

    pub(super) fn secret(&self) -> StaticSecret {
        StaticSecret::from(*self.private_key.expose_bytes())
    }

    pub(super) fn point(&self) -> Point {
        Point::from(*self.public_key.as_bytes())
    }

    pub(super) fn open(&self) -> Arc<RateLimiter> {
        Arc::clone(&self.open)
    }
}
