//! sb-failover
