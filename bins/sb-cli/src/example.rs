//! The documents that are built in: those of the deployment that Show-Build was made for.

/// `sites.json`
pub const SITES: &str = include_str!("../../../examples/show-build/sites.json");
/// `database.json`, with a placeholder for the password
pub const DATABASE: &str = include_str!("../../../examples/show-build/database.json");
/// The placeholder in [`DATABASE`]
pub const PASSWORD: &str = "change-me";
/// `network.json`
pub const NETWORK: &str = include_str!("../../../examples/show-build/network.json");
/// `policy.json`, every value the default
pub const POLICY: &str = include_str!("../../../examples/show-build/policy.json");
