//! sb-api
