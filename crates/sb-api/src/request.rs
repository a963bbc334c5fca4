use serde::{Deserialize, Serialize};

use crate::Durability;

/// Move the primary on purpose: body of `POST /v1/switchover`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwitchoverRequest {
    /// The server to move to; absent = the best candidate.
    pub to: Option<String>,
    /// Pass the gates and show the plan; change nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Refuse when another server is primary: guards against acting on an old picture.
    pub expect_primary: Option<String>,
}

/// Promote a server although the primary is not there to hand over: body of `POST /v1/failover`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailoverRequest {
    /// The server to promote.
    pub to: String,
    /// Confirmed commits may be lost up to this many bytes of WAL; absent = none.
    pub accept_data_loss_bytes: Option<u64>,
    /// Pass the gates and show the plan; change nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Refuse when another server holds the lease: guards against acting on an old picture.
    pub expect_primary: Option<String>,
}

/// Change what a commit waits for: body of `POST /v1/durability`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DurabilityRequest {
    /// The promise.
    pub durability: Durability,
    /// On how many other servers a commit must be; absent = 1, and of no meaning with `async`.
    pub number: Option<u8>,
    /// Pass the gates and show the plan; change nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Refuse when another server is primary: guards against acting on an old picture.
    pub expect_primary: Option<String>,
}

/// Hold back automatic failover: body of `POST /v1/pause`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PauseRequest {
    /// Seconds until the pause ends by itself.
    pub for_seconds: u64,
    /// Why, for the others.
    pub reason: Option<String>,
    /// Pass the gates and show the plan; change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// End a pause now: body of `POST /v1/resume`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResumeRequest {
    /// Pass the gates and show the plan; change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// Replace the WireGuard key of the server that is asked: body of `POST /v1/mesh/rotate`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotateKeyRequest {
    /// Refuse unless this is the server that is asked; absent = whichever it is.
    pub server: Option<String>,
    /// End a replacement that the interface has not gone over to yet, instead of beginning one.
    #[serde(default)]
    pub abandon: bool,
    /// Pass the gates and show the plan; change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// Replace the preshared keys of pairs of servers: body of `POST /v1/mesh/preshared`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotatePresharedRequest {
    /// Of this server's pairs only; absent = of all.
    pub of: Option<String>,
    /// Of its pair with this server only.
    pub with: Option<String>,
    /// Give up those that are not in force yet, instead of beginning.
    #[serde(default)]
    pub abandon: bool,
    /// Forget what the server that is asked shares with this one, which has lost it.
    #[serde(default)]
    pub forget: Option<String>,
    /// Pass the gates and show the plan; change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// Have all know a server that is not heard by another WireGuard key: body of `POST /v1/mesh/accept`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptKeyRequest {
    /// The server.
    pub server: String,
    /// The public key that it has now, in base64.
    pub public_key: String,
    /// Pass the gates and show the plan; change nothing.
    #[serde(default)]
    pub dry_run: bool,
}
