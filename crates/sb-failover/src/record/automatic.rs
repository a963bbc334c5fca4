use sb_topology::{NotAutomatic, ServerName};
use serde::{Deserialize, Serialize};

use super::{ClusterRecord, Outcome, Rejection};

/// Whether a server may take over without a person's word.
///
/// With an even number of voters, or with voters at fewer than three sites, the loss of one site can take the
/// majority away or leave it on the wrong side. Whether the other side is gone is then for a person to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Automatic {
    /// It may, with a proof.
    #[default]
    Allowed,
    /// Only with a person's transfer beside the proof.
    Refused(NotAutomatic),
}

impl From<Result<(), NotAutomatic>> for Automatic {
    fn from(judged: Result<(), NotAutomatic>) -> Self {
        judged.map_or_else(Automatic::Refused, |()| Automatic::Allowed)
    }
}

impl ClusterRecord {
    /// What a takeover needs beside its proof of the data: that nobody has paused failover, and that it is automatic
    /// here; or a person who named this very server.
    pub(crate) fn prove_wanted(&self, by: &ServerName) -> Outcome {
        if self.transfer.as_ref().is_some_and(|t| t.to.as_ref() == Some(by)) {
            return Ok(());
        }
        if self.pause.is_some() {
            return Err(Rejection::Paused);
        }
        // The holder that gave its lease back judges nobody else's absence when it takes it again.
        let returns = self.lease.as_ref().is_some_and(|l| l.holder == *by);
        match self.automatic {
            Automatic::Refused(reason) if !returns => Err(Rejection::NotAutomatic { reason }),
            Automatic::Refused(_) | Automatic::Allowed => Ok(()),
        }
    }
}
