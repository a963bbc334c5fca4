//! sb-pgrepl
