//! Changes of the agreement about the mesh, put to the store.

use std::sync::Arc;
use std::time::Duration;

use sb_consensus::{ProposeError, Store};
use sb_failover::{Rejection, Request};
use tokio::sync::watch;

use super::agreed::Agreed;
use super::agreement::Known;
use crate::replicated::Replicated;

/// Longest wait for the store to take a change, in milliseconds.
const PROPOSAL_MS_MAX: u64 = 3_000;

/// A change was not made, or nobody knows whether it was: the agreement will tell.
#[derive(Debug, thiserror::Error)]
pub enum ProposalError {
    /// What this server knows is of another store than the one that it belongs to.
    #[error("the newest agreement about the mesh is of another store")]
    OtherStore,
    /// The store did not take it, or did not say.
    #[error(transparent)]
    Store(#[from] ProposeError),
    /// The record refused it.
    #[error(transparent)]
    Rejected(#[from] Rejection),
}

/// Whether there was anything to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proposed {
    /// The record has the change.
    Changed,
    /// The agreement already is as it should be.
    AsItWas,
}

/// Puts changes to the store. Any server may: the store forwards to its leader, and only a change of the newest agreement is
/// taken.
#[derive(Clone)]
pub(super) struct Proposer {
    store: Store<Replicated>,
    agreed: watch::Receiver<Arc<Known>>,
}

impl Proposer {
    /// Proposes to `store` what follows on the newest of `agreed`.
    pub(super) fn new(store: Store<Replicated>, agreed: watch::Receiver<Arc<Known>>) -> Self {
        Self { store, agreed }
    }

    /// Replaces the newest agreement that this server knows by what `change` makes of it, unless that is [`None`] or the
    /// same.
    ///
    /// # Errors
    /// When somebody was quicker or the store cannot be reached: look at the agreement again before the next attempt.
    pub(super) async fn propose(
        &self,
        change: impl FnOnce(&Agreed) -> Option<Agreed>,
    ) -> Result<Proposed, ProposalError> {
        let Some(request) = self.request(change)? else { return Ok(Proposed::AsItWas) };
        self.store.propose(request, Duration::from_millis(PROPOSAL_MS_MAX)).await??;
        Ok(Proposed::Changed)
    }

    /// The request that makes the change; [`None`] when there is nothing to change.
    ///
    /// # Errors
    /// When this server knows of an agreement that is not of its own store.
    pub(super) fn request(
        &self,
        change: impl FnOnce(&Agreed) -> Option<Agreed>,
    ) -> Result<Option<Request>, ProposalError> {
        let known = self.agreed.borrow().clone();
        let Some(mut next) = change(&known.agreed).filter(|next| *next != known.agreed) else {
            return Ok(None);
        };
        if self.store.watch().borrow().view.branch.generation != known.told.branch {
            return Err(ProposalError::OtherStore);
        }
        next.count_replacements(&known.agreed);
        let expect_generation = known.told.generation.saturating_sub(known.agreed.ahead);
        Ok(Some(Request::SetMesh { expect_generation, document: next.to_document() }))
    }

    /// Puts the newest agreement that this server knows on the record, which lacks it or keys of it. Its number is one
    /// more than the one known, so that everybody takes it over and every later change. A record that is merely late here
    /// refuses.
    ///
    /// # Errors
    /// As [`Self::propose`].
    pub(super) async fn put_on_record(&self) -> Result<(), ProposalError> {
        let known = self.agreed.borrow().clone();
        let (branch, expect_generation) = {
            let applied = self.store.watch();
            let record = &applied.borrow().view;
            (record.branch.generation, record.mesh.generation)
        };
        if branch != known.told.branch {
            return Err(ProposalError::OtherStore);
        }
        let ahead = known.told.generation.saturating_sub(expect_generation);
        let document = Agreed { ahead, ..known.agreed.clone() }.to_document();
        let request = Request::SetMesh { expect_generation, document };
        Ok(self.store.propose(request, Duration::from_millis(PROPOSAL_MS_MAX)).await??)
    }
}

#[cfg(test)]
mod tests {
    use sb_api::MeshAgreement;
    use sb_consensus::MemoryStore;
    use sb_wireguard::PublicKey;

    use super::*;

    fn with_key(agreed: &Agreed, byte: u8) -> Agreed {
        let mut next = agreed.clone();
        next.keys.insert("ravena-1".parse().unwrap(), PublicKey::from_bytes([byte; 32]));
        next
    }

    #[tokio::test]
    async fn only_a_change_of_the_newest_agreement_reaches_the_record() {
        let (_group, store) = MemoryStore::bootstrap("ravena-1", Replicated::default());
        let (known, agreed) = watch::channel(Arc::new(Known::default()));
        let proposer = Proposer::new(store.clone(), agreed);
        let generation = || store.watch().borrow().view.mesh.generation;

        let same = proposer.propose(|agreed| Some(agreed.clone())).await.unwrap();
        assert_eq!((same, generation()), (Proposed::AsItWas, 0));
        let changed = proposer.propose(|agreed| Some(with_key(agreed, 1))).await.unwrap();
        assert_eq!((changed, generation()), (Proposed::Changed, 1));

        // This server does not know of its own change yet.
        let again = proposer.propose(|agreed| Some(with_key(agreed, 2))).await;
        assert!(matches!(again, Err(ProposalError::Rejected(Rejection::MeshMoved { generation: 1 }))));

        // The record has gone back: it had number 5 once.
        let told = MeshAgreement { branch: 0, generation: 5, document: String::new() };
        known.send_replace(Arc::new(Known { told, agreed: with_key(&Agreed::default(), 4) }));
        assert!(proposer.propose(|agreed| Some(with_key(agreed, 5))).await.is_err(), "nothing is taken");
        proposer.put_on_record().await.unwrap();
        let recorded = Agreed::read(&store.watch().borrow().view.mesh.document).unwrap();
        assert_eq!((generation(), recorded.ahead), (2, 4), "which is told as number 6");
        assert_eq!(recorded.keys, with_key(&Agreed::default(), 4).keys);
        let told = MeshAgreement { branch: 0, generation: 6, document: String::new() };
        known.send_replace(Arc::new(Known { told, agreed: recorded }));
        assert_eq!(proposer.propose(|agreed| Some(with_key(agreed, 6))).await.unwrap(), Proposed::Changed);
        let recorded = Agreed::read(&store.watch().borrow().view.mesh.document).unwrap();
        assert_eq!((generation(), recorded.ahead), (3, 4), "number 7");
        assert_eq!(recorded.replacements[&"ravena-1".parse().unwrap()], 1);

        let elsewhere = MeshAgreement { branch: 1, generation: 1, document: String::new() };
        known.send_replace(Arc::new(Known { told: elsewhere, ..Known::default() }));
        let other = proposer.propose(|agreed| Some(with_key(agreed, 3))).await;
        assert!(matches!(other, Err(ProposalError::OtherStore)));
        assert!(matches!(proposer.put_on_record().await, Err(ProposalError::OtherStore)));
        assert_eq!(generation(), 3);
    }
}
