//! sb-client
