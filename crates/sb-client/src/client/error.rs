use std::io;
use std::time::Duration;

use sb_api::Problem;

use crate::trust::{DialError, TrustError};

/// A call did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The text is no address of an agent.
    #[error("`{text}` is no address of an agent")]
    Address {
        /// What was given.
        text: String,
    },
    /// TLS could not be set up.
    #[error("could not set up TLS")]
    Trust(#[from] TrustError),
    /// Nobody answers there.
    #[error("could not reach the agent at `{target}`")]
    Unreachable {
        /// Where.
        target: String,
        /// What the system or TLS said.
        #[source]
        source: io::Error,
    },
    /// The peer does not answer, or somebody else does.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The agent does not accept who calls.
    #[error("the agent at `{target}` refused access: {}", problem.title)]
    Unauthorised {
        /// Where.
        target: String,
        /// Its words.
        problem: Box<Problem>,
    },
    /// The agent said why it did not do it.
    #[error("{}", .0.title)]
    Problem(Box<Problem>),
    /// No answer in time. Whether a request that changes something arrived is unknown.
    #[error("the agent at `{target}` did not answer within {} ms", limit.as_millis())]
    Timeout {
        /// Where.
        target: String,
        /// The deadline.
        limit: Duration,
    },
    /// The answer broke off, or is none that this program knows.
    #[error("the agent at `{target}` gave an unusable answer: {reason}")]
    Answer {
        /// Where.
        target: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The request could not be put into words.
    #[error("could not write the request as JSON")]
    Request(#[source] serde_json::Error),
    /// The operation had not ended when the limit passed. It goes on.
    #[error("operation `{id}` had not ended after {} s", limit.as_secs())]
    StillRunning {
        /// Its id.
        id: String,
        /// How long it was waited for.
        limit: Duration,
    },
}

impl CallError {
    /// Whether asking the same again may help by itself.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::Dial(_) | Self::Answer { .. } => true,
            Self::Problem(problem) => problem.status == 503,
            Self::Address { .. }
            | Self::Trust(_)
            | Self::Unauthorised { .. }
            | Self::Request(_)
            | Self::StillRunning { .. } => false,
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Address { .. } => Some("Give https://HOST:PORT or HOST.".into()),
            Self::Unreachable { source, .. } if source.kind() == io::ErrorKind::NotFound => Some(
                "The agent does not run here, or its socket is elsewhere: systemctl status sb-agent\n\
                 To ask another server: sb-cli --ssh HOST status"
                    .into(),
            ),
            Self::Unreachable { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("Only root and the agent's own user may use the socket: sudo sb-cli ...".into())
            }
            Self::Unreachable { .. } | Self::Dial(_) => {
                Some("Any other server's agent can answer as well: sb-cli --ssh HOST status".into())
            }
            Self::Unauthorised { problem, .. } | Self::Problem(problem) => problem.hint.clone(),
            Self::Timeout { .. } => Some("Whether it took effect: sb-cli ops".into()),
            Self::StillRunning { id, .. } => Some(format!("It goes on; watch it: sb-cli ops show {id}")),
            Self::Answer { .. } => {
                Some("Agent and sb-cli may be of different versions: sb-cli --version".into())
            }
            Self::Trust(_) | Self::Request(_) => None,
        }
    }
}
