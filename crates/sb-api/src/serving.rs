use serde::{Deserialize, Serialize};

/// Longest time that `GET /peer/v1/serving` waits for another word, in milliseconds.
pub const SERVING_WAIT_MS_MAX: u64 = 10_000;

/// What clients may do on a server, by its own word: the answer of `GET /peer/v1/serving`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServingWord {
    /// The newest term that it knows; absent before the first.
    pub term: Option<u64>,
    /// What it does for clients.
    pub serving: Serving,
}

/// What a server does for clients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
pub enum Serving {
    /// It holds the lease of this term, and lets them write.
    Writes {
        /// The term.
        term: u64,
    },
    /// It holds the lease of this term and is about to hand over: who is connected may finish.
    Closing {
        /// The term.
        term: u64,
    },
    /// It is a standby that knows how far it is behind.
    Reads {
        /// Bytes of log that its queries do not see yet, against the primary's last known position.
        lag_bytes: u64,
    },
    /// It lets nobody in, or does not know.
    #[default]
    Nothing,
    /// Something that this program is too old to know.
    #[serde(other)]
    Unknown,
}

/// Asks for the word of a server: query of `GET /peer/v1/serving`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServingQuery {
    /// The [`ServingWord::gist`] of the last word; the answer comes at once when it is another by now.
    #[serde(default)]
    pub seen: String,
    /// How long to wait for another one, in milliseconds, at most [`SERVING_WAIT_MS_MAX`].
    #[serde(default)]
    pub wait_ms: u64,
}

impl ServingWord {
    /// What the asker must hear of at once, as a text without spaces. Lag counts in powers of two of a MiB.
    #[must_use]
    pub fn gist(&self) -> String {
        let known = self.term.unwrap_or_default();
        match self.serving {
            Serving::Writes { term } => format!("{known}.writes.{term}"),
            Serving::Closing { term } => format!("{known}.closing.{term}"),
            Serving::Reads { lag_bytes } => {
                let magnitude = u64::BITS - (lag_bytes >> 20).leading_zeros();
                format!("{known}.reads.{magnitude}")
            }
            Serving::Nothing | Serving::Unknown => format!("{known}.nothing"),
        }
    }
}

/// One address of a server's proxy. Counters begin at 0 with its agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyListener {
    /// `ADDRESS:PORT`, or the path of a socket.
    pub address: String,
    /// Where it leads.
    pub access: ProxyAccess,
    /// Why it does not listen; absent while it does.
    #[serde(default)]
    pub trouble: Option<String>,
    /// Connections at present, those that are held among them.
    pub open: u64,
    /// Connections that wait for a server at present.
    pub held: u64,
    /// Connections that were let in.
    pub accepted: u64,
    /// Connections that were closed at once, since a maximum was reached.
    pub refused: u64,
    /// Connections that no server took in the time that they may be held.
    pub held_too_long: u64,
    /// Sessions that were cut, since their server was not the right one any more.
    pub cut: u64,
    /// Connections whose PROXY header was missing, wrong or late.
    pub bad_headers: u64,
    /// Connects to servers that failed.
    pub failed_dials: u64,
    /// Errors of accepting connections.
    pub accept_errors: u64,
    /// Bytes passed on to servers.
    pub bytes_to_servers: u64,
    /// Bytes passed on to clients.
    pub bytes_to_clients: u64,
}

/// Where an address of a proxy leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyAccess {
    /// To the primary.
    ReadWrite,
    /// To a standby nearby.
    ReadOnly,
    /// This client is older than the agent.
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_survives_the_way_and_an_unknown_one_is_no_leave_to_come_in() {
        let word = ServingWord { term: Some(7), serving: Serving::Reads { lag_bytes: 3 } };
        let text = serde_json::to_string(&word).unwrap();
        assert_eq!(text, r#"{"term":7,"serving":{"is":"reads","lag_bytes":3}}"#);
        assert_eq!(serde_json::from_str::<ServingWord>(&text).unwrap(), word);
        let newer = r#"{"term":7,"serving":{"is":"sings","loud":true}}"#;
        assert_eq!(serde_json::from_str::<ServingWord>(newer).unwrap().serving, Serving::Unknown);
    }

    #[test]
    fn the_gist_changes_with_what_matters_and_with_the_magnitude_of_lag() {
        let gist = |lag_bytes| ServingWord { term: Some(1), serving: Serving::Reads { lag_bytes } }.gist();
        assert_eq!(gist(0), gist((1 << 20) - 1));
        assert_ne!(gist(0), gist(1 << 20));
        assert_ne!(gist(15 << 20), gist(16 << 20));
        let writes = |term| ServingWord { term: Some(2), serving: Serving::Writes { term } }.gist();
        assert_ne!(writes(1), writes(2));
    }
}
