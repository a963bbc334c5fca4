//! sb-consensus
