//! What is under way: one operation on this server, and one proposal of each purpose.

use serde::{Deserialize, Serialize};

use crate::timings::ms;
use crate::trace::moment;
use crate::{BootTime, Command, OpId, ProposalId, Request};

use super::Machine;

/// After how long an answer that must come is given up.
const ANSWER_MS_MAX: u64 = 10_000;

/// An operation under way.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Work {
    pub(super) op: OpId,
    pub(super) command: Command,
    /// In which stay in a state it was begun.
    pub(super) stage: u64,
}

/// What a proposal is for. Of each purpose at most one is under way (renewals have their own rule).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Purpose {
    Register,
    Initialize,
    Report,
    Takeover,
    Promoted,
    SetSync,
    Release,
    CancelTransfer,
    ClearPause,
    ReserveTimeline,
}

impl Purpose {
    /// Whether it is still meant when the state has changed.
    pub(super) const fn outlasts_a_state(self) -> bool {
        match self {
            Purpose::Register | Purpose::Initialize | Purpose::Takeover | Purpose::ClearPause => true,
            Purpose::Report
            | Purpose::Promoted
            | Purpose::SetSync
            | Purpose::Release
            | Purpose::CancelTransfer
            | Purpose::ReserveTimeline => false,
        }
    }
}

/// A proposal of one purpose.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Asked {
    pub(super) id: ProposalId,
    pub(super) open: bool,
    #[serde(with = "moment")]
    sent: BootTime,
}

impl Machine {
    /// Begins an operation unless one is under way or failed a moment ago.
    pub(super) fn begin(&mut self, make: impl FnOnce(OpId) -> Command) {
        if !self.idle() {
            return;
        }
        let op = OpId::new(self.next_id());
        let command = make(op);
        self.work = Some(Work { op, command: command.clone(), stage: self.stage.number });
        self.commands.push_back(command);
    }

    /// Whether an operation can begin.
    pub(super) fn idle(&mut self) -> bool {
        self.work.is_none() && self.reached(self.retry_at)
    }

    pub(super) fn next_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    /// Proposes `request` and gives its id.
    pub(super) fn propose(&mut self, request: Request) -> ProposalId {
        let id = ProposalId::new(self.next_id());
        self.commands.push_back(Command::Propose { id, request });
        id
    }

    /// Whether a proposal of this purpose may be sent now: none is open, and the last was long enough ago.
    pub(super) fn may_ask(&mut self, purpose: Purpose) -> bool {
        let Some(asked) = self.asks.get(&purpose) else {
            return true;
        };
        let wait = if asked.open { ms(ANSWER_MS_MAX) } else { ms(self.timings().retry_ms) };
        let at = asked.sent + wait;
        self.reached(at)
    }

    /// Notes a proposal of this purpose.
    pub(super) fn asked(&mut self, purpose: Purpose, id: ProposalId) {
        self.asks.insert(purpose, Asked { id, open: true, sent: self.now });
    }

    /// Proposes `request` if one of its purpose may be sent now.
    pub(super) fn ask(&mut self, purpose: Purpose, request: impl FnOnce(&Machine) -> Request) {
        if self.may_ask(purpose) {
            let request = request(self);
            let id = self.propose(request);
            self.asked(purpose, id);
        }
    }
}
