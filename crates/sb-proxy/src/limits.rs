use std::time::Duration;

/// How a listener is bounded. The defaults are those of `docs/adr/2026-11-24-proxy.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; one more is closed at once.
    pub connections_max: usize,
    /// Of them, those that wait for a server; one more is closed at once.
    pub held_max: usize,
    /// How long one waits for a server.
    pub hold: Duration,
    /// Connects under way at a time.
    pub dials_max: usize,
    /// How long one connect may take.
    pub dial: Duration,
    /// Shortest pause before a connect to the same server is tried again; it doubles with every failure.
    pub retry_min: Duration,
    /// Longest such pause.
    pub retry_max: Duration,
    /// How far a standby may be behind, in bytes of log.
    pub lag_bytes_max: u64,
    /// How long a session stays on a standby that is out of the bound or silent.
    pub grace: Duration,
    /// How long a PROXY header may take to arrive.
    pub header: Duration,
    /// How long a client may stay when its server has ended the session.
    pub linger: Duration,
    /// When an idle peer is asked whether it is still there.
    pub keepalive: Keepalive,
    /// How long sent data may go without progress (`TCP_USER_TIMEOUT`, tcp(7)). It also ends a living peer that lets its
    /// window stay shut for so long.
    pub user_timeout: Duration,
    /// How long a bind that failed waits before it is tried again.
    pub bind_again: Duration,
    /// How long accepting pauses after an error that another attempt would meet at once.
    pub accept_again: Duration,
}

/// Keepalive of a connection, tcp(7). The kernel counts in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before the first question.
    pub idle: Duration,
    /// Between two questions.
    pub interval: Duration,
    /// Questions without an answer after which the peer is gone.
    pub count: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 1_000,
            held_max: 1_000,
            hold: Duration::from_secs(30),
            dials_max: 64,
            dial: Duration::from_secs(3),
            retry_min: Duration::from_millis(50),
            retry_max: Duration::from_millis(500),
            lag_bytes_max: 16 << 20,
            grace: Duration::from_secs(5),
            header: Duration::from_secs(5),
            linger: Duration::from_secs(10),
            keepalive: Keepalive {
                idle: Duration::from_secs(15),
                interval: Duration::from_secs(5),
                count: 3,
            },
            user_timeout: Duration::from_secs(120),
            bind_again: Duration::from_secs(2),
            accept_again: Duration::from_millis(100),
        }
    }
}
