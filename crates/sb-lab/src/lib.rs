//! sb-lab
