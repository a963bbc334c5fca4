/// The desired settings cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Safety needs another value.
    #[error("cannot set `{name}`: its value is not a matter of choice ({why})")]
    NotYours {
        /// The setting.
        name: String,
        /// Why.
        why: &'static str,
    },
    /// The name or value has characters that no setting has.
    #[error("`{name}` is not a setting that can be written")]
    Malformed {
        /// The setting.
        name: String,
    },
}

/// How much WAL slots may keep, in MiB, on a disk of `total` bytes of which `free` are left: half of what is free, between
/// 256 MiB and a quarter of the disk.
#[must_use]
pub fn wal_budget_mib(free: u64, total: u64) -> u64 {
    const MIB: u64 = 1 << 20;
    (free / 2).min(total / 4).max(256 * MIB) / MIB
}
