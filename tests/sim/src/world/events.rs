use sb_consensus::replica::Message;
use sb_failover::{Armed, AskId, Event, FailsafePromise, FailsafeQuestion, OpId};

use super::Fault;
use crate::model::ledger::Ticket;

/// One thing that happens.
#[derive(Debug)]
pub enum What {
    /// The agent's process begins.
    AgentStarts { server: usize, run: u64 },
    /// The store's thread counts time.
    Tick { server: usize, run: u64 },
    /// A message of the store arrives.
    Message(Box<Message>),
    /// The store's log is durable as far as it was written.
    Synced { server: usize, run: u64 },
    /// The machine hears of the record.
    Tell { server: usize, run: u64 },
    /// The machine hears of something else.
    Deliver { server: usize, run: u64, event: Box<Event> },
    /// The machine asked to be called.
    Wake { server: usize, run: u64, at: u64 },
    /// The agent looks at PostgreSQL.
    Observe { server: usize },
    /// A WAL receiver tries to connect.
    Connect { standby: usize, connection: u64 },
    /// WAL arrives at a standby and is flushed there.
    Stream { standby: usize, connection: u64, until: usize },
    /// A primary hears up to where a standby has flushed.
    Flushed { primary: usize, connection: u64, standby: usize, records: usize },
    /// A client does the next thing.
    Client { client: usize },
    /// The guard's deadline comes.
    GuardFires { server: usize, armed: Armed },
    /// The last process of PostgreSQL is gone.
    Killed { server: usize, run: u64, op: Option<OpId> },
    /// An operation takes effect.
    Effect { server: usize, run: u64, op: OpId },
    /// Whoever leads the store brings its membership in order.
    TendMembership,
    /// Something goes wrong.
    Fault,
    /// This goes wrong.
    Strike { fault: Box<Fault>, lasts_ms: (u64, u64) },
    /// This is put right.
    Heal(Box<Fault>),
    /// A question of the failsafe reaches a member.
    Ask { server: usize, ask: AskId, question: Box<FailsafeQuestion> },
    /// A member's promise to a holder is on its disk.
    Stored { server: usize, run: u64, op: OpId, promise: Box<FailsafePromise> },
    /// A proposal that its server has given up reaches the store.
    Late { server: usize, ticket: Ticket },
    /// The agent has not heard from its guard for a while.
    GuardMissed { server: usize },
    /// The founder's agent puts the policy's times in force.
    Arrange,
}

impl What {
    /// A number for the hash by which a replay is compared.
    pub fn fingerprint(&self) -> u64 {
        let (kind, server) = match self {
            What::AgentStarts { server, .. } => (1, *server),
            What::Tick { server, .. } => (2, *server),
            What::Message(message) => {
                return (3 << 56)
                    ^ (message.from.get() << 40)
                    ^ (message.to.get() << 24)
                    ^ message.index << 4
                    ^ message.term;
            }
            What::Synced { server, .. } => (4, *server),
            What::Tell { server, .. } => (5, *server),
            What::Deliver { server, .. } => (6, *server),
            What::Wake { server, .. } => (7, *server),
            What::Observe { server } => (8, *server),
            What::Connect { standby, .. } => (9, *standby),
            What::Stream { standby, until, .. } => (10, standby ^ until << 8),
            What::Flushed { standby, records, .. } => (11, standby ^ records << 8),
            What::Client { client } => (12, *client),
            What::GuardFires { server, .. } => (13, *server),
            What::Killed { server, .. } => (14, *server),
            What::Effect { server, op, .. } => return (15 << 56) ^ (*server as u64) ^ op.get() << 8,
            What::TendMembership => (16, 0),
            What::Fault => (17, 0),
            What::Strike { .. } => (18, 0),
            What::Heal(_) => (19, 0),
            What::Ask { server, .. } => (20, *server),
            What::Stored { server, .. } => (21, *server),
            What::Late { server, .. } => (22, *server),
            What::GuardMissed { server } => (24, *server),
            What::Arrange => (23, 0),
        };
        (kind << 56) ^ server as u64
    }
}
