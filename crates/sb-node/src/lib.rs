//! sb-node
pub mod http;
