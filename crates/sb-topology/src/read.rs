//! One reader per document: from JSON to drafts.
//!
//! A reader reports what is wrong with a value by itself and goes on with its default. What is wrong between
//! values is found by [`crate::check`], so that everything comes to light at once.

mod database;
mod network;
mod policy;
mod routing;
mod sites;
mod store;

pub(crate) use database::{DatabaseDraft, read_database};
pub(crate) use network::{NetworkDraft, read_network};
pub(crate) use policy::{PolicyDraft, read_policy};
pub(crate) use sites::{ServerDraft, SiteDraft, read_sites};

use crate::PublicKey;
use crate::findings::{Findings, Placed};
use crate::json::Node;

/// The text of a `publicKey`, which may be a placeholder.
pub(crate) type KeyDraft = Placed<Result<PublicKey, String>>;

/// Reads a `publicKey`; an empty text counts as absent.
fn read_key(node: &Node<'_>, findings: &mut Findings) -> Option<KeyDraft> {
    let text = node.text(findings).filter(|text| !text.value.is_empty())?;
    let value = text.value.parse().map_err(|_| text.value.to_owned());
    Some(Placed { value, place: text.place })
}
