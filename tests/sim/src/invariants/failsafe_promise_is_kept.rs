use std::collections::BTreeMap;

use sb_failover::{Request, Term};

use super::{Happening, Invariant};
use crate::rng::MS;
use crate::server::index;
use crate::world::World;

/// R10: whoever said yes to the holder of a lease neither takes over nor reports for a takeover against that lease for
/// as long as the holder may count on it.
#[derive(Default)]
pub struct FailsafePromiseIsKept {
    /// Of each server: against which term, and until when at least, in true time.
    promised: BTreeMap<usize, (Term, u64)>,
}

impl Invariant for FailsafePromiseIsKept {
    fn name(&self) -> &'static str {
        "failsafe_promise_is_kept"
    }

    fn see(&mut self, world: &World, happening: &Happening) -> Result<(), String> {
        match happening {
            Happening::PromisedHolder { server, term, ttl_ms } => {
                let until = world.now + ttl_ms * MS;
                let before = self.promised.get(server).filter(|p| p.0 == *term).map_or(0, |p| p.1);
                self.promised.insert(*server, (*term, until.max(before)));
                Ok(())
            }
            // A server that lost its directories is another one.
            Happening::Left { server } => {
                self.promised.remove(server);
                Ok(())
            }
            Happening::Committed { step } => self.see_step(world, *step),
            Happening::Acknowledged { .. }
            | Happening::BecamePrimary { .. }
            | Happening::Opened { .. }
            | Happening::SettingChanged
            | Happening::Renews { .. }
            | Happening::StartedTorn { .. }
            | Happening::Streamed { .. }
            | Happening::End => Ok(()),
        }
    }
}

impl FailsafePromiseIsKept {
    fn see_step(&self, world: &World, step: usize) -> Result<(), String> {
        let (server, expect) = match world.ledger.step(step - 1) {
            (Request::Takeover { by, expect_term, .. }, Ok(())) => (by, expect_term),
            (Request::Report { server, term, .. }, Ok(())) => (server, term),
            _ => return Ok(()),
        };
        let before = world.ledger.at(step - 1);
        let released = before.lease.as_ref().is_some_and(|l| l.released.is_some());
        let held = self.promised.get(&index(&server)).filter(|p| p.0 == expect && world.now < p.1);
        match held.filter(|_| !released) {
            None => Ok(()),
            Some((_, until)) => {
                let early = (until - world.now) / MS;
                Err(format!("{server} acts against term {expect}, {early} ms before its promise ends"))
            }
        }
    }
}
