//! sb-node
