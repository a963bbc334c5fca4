//! The second fence, in the kernel: PostgreSQL's packets to its clients pass only while the lease lasts.

use std::time::Duration;

/// stub
#[derive(Clone, Debug)]
pub struct KernelFence;
/// stub
pub enum FenceState {
    /// o
    Open,
    /// c
    Closed,
    /// a
    Absent,
}
#[allow(missing_docs)]
impl KernelFence {
    pub fn spawn(_port: u16, _stop: tokio_util::sync::CancellationToken) -> Self {
        Self
    }
    pub fn renew(&self, _d: Duration) {}
    pub fn close(&self) {}
    pub fn install_for_primary(&self) {}
    pub fn open_for_standby(&self) {}
    pub fn state(&self) -> FenceState {
        FenceState::Absent
    }
    pub fn unavailable(&self) -> Option<String> {
        None
    }
}
