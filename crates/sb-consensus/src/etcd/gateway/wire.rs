//! etcd's v3 API as its JSON gateway writes it: 64-bit numbers as text, bytes as base64, defaults left out.
//! <https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

#[derive(Debug, Default, Deserialize)]
pub(super) struct Header {
    #[serde(default, deserialize_with = "number")]
    pub(super) cluster_id: u64,
    #[serde(default, deserialize_with = "number")]
    pub(super) member_id: u64,
    #[serde(default, deserialize_with = "number")]
    pub(super) revision: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct KeyValue {
    #[serde(default, deserialize_with = "number")]
    pub(super) mod_revision: u64,
    #[serde(default, deserialize_with = "bytes")]
    pub(super) value: Vec<u8>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RangeResponse {
    #[serde(default)]
    pub(super) header: Header,
    #[serde(default)]
    pub(super) kvs: Vec<KeyValue>,
}

#[derive(Debug, Deserialize)]
pub(super) struct TxnResponse {
    pub(super) header: Header,
    #[serde(default)]
    pub(super) succeeded: bool,
    #[serde(default)]
    pub(super) responses: Vec<OpResponse>,
}

#[derive(Debug, Deserialize)]
pub(super) struct OpResponse {
    pub(super) response_range: Option<RangeResponse>,
}

#[derive(Debug, Deserialize)]
pub(super) struct WatchLine {
    pub(super) result: Option<WatchResponse>,
    pub(super) error: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct WatchResponse {
    #[serde(default)]
    pub(super) header: Header,
    #[serde(default)]
    pub(super) canceled: bool,
    #[serde(default, deserialize_with = "number")]
    pub(super) compact_revision: u64,
    #[serde(default)]
    pub(super) cancel_reason: String,
    #[serde(default)]
    pub(super) events: Vec<WatchEvent>,
}

#[derive(Debug, Deserialize)]
pub(super) struct WatchEvent {
    /// Left out for a put.
    #[serde(default, rename = "type")]
    pub(super) kind: EventKind,
    pub(super) kv: KeyValue,
}

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum EventKind {
    #[default]
    Put,
    Delete,
}

#[derive(Debug, Deserialize)]
pub(super) struct StatusResponse {
    pub(super) header: Header,
    #[serde(default)]
    pub(super) version: String,
    #[serde(default, rename = "dbSize", deserialize_with = "number")]
    pub(super) db_size: u64,
    #[serde(default, deserialize_with = "number")]
    pub(super) leader: u64,
    /// Alarms, such as that etcd has no room left.
    #[serde(default)]
    pub(super) errors: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct AuthenticateResponse {
    #[serde(default)]
    pub(super) token: String,
}

/// The body of every refusal.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Refusal {
    #[serde(default)]
    pub(super) error: String,
}

/// The newest version of a key. Linearizable: etcd asks a quorum.
pub(super) fn range(key: &str, part: Part) -> Value {
    json!({ "key": STANDARD.encode(key), "keys_only": part == Part::Revision })
}

/// What of a version is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Revision,
    Whole,
}

/// Puts a value if the key is still at a revision (0: does not exist), else returns what is there.
pub(super) fn put_if_at(key: &str, revision: u64, value: &[u8]) -> Value {
    let key = STANDARD.encode(key);
    let compare = if revision == 0 {
        json!({ "target": "CREATE", "key": key, "create_revision": "0", "result": "EQUAL" })
    } else {
        json!({ "target": "MOD", "key": key, "mod_revision": revision.to_string(), "result": "EQUAL" })
    };
    json!({
        "compare": [compare],
        "success": [{ "request_put": { "key": key, "value": STANDARD.encode(value) } }],
        "failure": [{ "request_range": { "key": key } }],
    })
}

pub(super) fn watch_from(key: &str, revision: u64) -> Value {
    json!({ "create_request": { "key": STANDARD.encode(key), "start_revision": revision.to_string() } })
}

pub(super) fn authenticate(name: &str, password: &str) -> Value {
    json!({ "name": name, "password": password })
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
    text.parse().map_err(D::Error::custom)
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
    STANDARD.decode(text.as_bytes()).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_etcd_3_4_says_is_understood() {
        let missing = r#"{"header":{"cluster_id":"324952591200643719","member_id":"3319814642761637952","revision":"2","raft_term":"2"}}"#;
        let missing: RangeResponse = serde_json::from_str(missing).unwrap();
        assert_eq!((missing.header.revision, missing.kvs.len()), (2, 0));
        let lost = r#"{"header":{"revision":"2"},"responses":[{"response_range":{"header":{"revision":"2"},"kvs":[{"key":"L2E=","create_revision":"2","mod_revision":"2","version":"1","value":"Zm9v"}],"count":"1"}}]}"#;
        let lost: TxnResponse = serde_json::from_str(lost).unwrap();
        let found = lost.responses[0].response_range.as_ref().unwrap();
        assert!(!lost.succeeded && found.kvs[0].mod_revision == 2 && found.kvs[0].value == b"foo");
        let compacted = r#"{"result":{"header":{"cluster_id":"3"},"canceled":true,"compact_revision":"3"}}"#;
        let compacted = serde_json::from_str::<WatchLine>(compacted).unwrap().result.unwrap();
        assert!(compacted.canceled && compacted.compact_revision == 3);
        let gone =
            r#"{"result":{"header":{},"events":[{"type":"DELETE","kv":{"key":"L2E=","mod_revision":"9"}}]}}"#;
        let gone = serde_json::from_str::<WatchLine>(gone).unwrap().result.unwrap();
        assert_eq!((&gone.events[0].kind, gone.events[0].kv.mod_revision), (&EventKind::Delete, 9));
    }
}
