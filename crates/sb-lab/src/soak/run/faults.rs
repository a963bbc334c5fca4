//! Faults, one after another or several at a time.

use std::time::Duration;

use super::{Fault, Run, SoakError, primary};
use crate::fault::Fault as LabFault;
use crate::host::Power;
use crate::lab::{Lab, LabError};
use crate::picture::Picture;
use crate::place::{Place, members};
use crate::soak::nemesis::{Blow, Draw, Kind, Victim, bounded};

/// A fault that has begun.
struct UnderWay {
    draw: Draw,
    victim: Place,
    was_primary: bool,
    began: Duration,
    until: Duration,
}

impl Run<'_> {
    /// Lets faults begin and end, each in its time. Returns when the last has ended.
    pub(super) async fn blow(&mut self, storm: usize, blows: Vec<Blow>) -> Result<(), SoakError> {
        let storm_began = self.clock.now();
        let mut blows = blows.into_iter().peekable();
        let mut under_way: Vec<UnderWay> = Vec::new();
        loop {
            let begins = blows.peek().map(|blow| storm_began + blow.at);
            let first = (0..under_way.len()).min_by_key(|index| under_way[*index].until);
            let ends = first.map(|index| under_way[index].until);
            match (begins, first) {
                (Some(begins), _) if ends.is_none_or(|ends| begins <= ends) => {
                    self.wait_until(begins).await;
                    if let Some(blow) = blows.next() {
                        under_way.extend(self.begin(blow.draw, &under_way).await?);
                    }
                }
                (_, Some(index)) => {
                    let over = under_way.swap_remove(index);
                    self.wait_until(over.until).await;
                    self.end(storm, over, &under_way)?;
                }
                (_, None) => return Ok(()),
            }
        }
    }

    async fn wait_until(&self, at: Duration) {
        tokio::time::sleep(at.saturating_sub(self.clock.now())).await;
    }

    /// Lets one begin; nothing where nobody is primary to choose by.
    async fn begin(&mut self, draw: Draw, under_way: &[UnderWay]) -> Result<Option<UnderWay>, SoakError> {
        let Some(primary) = primary(self.lab).await else { return Ok(None) };
        let drawn = match (draw.kind, draw.victim) {
            (Kind::Switchover, _) | (_, Victim::Primary) => primary,
            (Kind::KillStoreLeader, _) => store_leader(self.lab).await.unwrap_or(primary),
            (_, Victim::Server(place)) => place,
        };
        let struck: Vec<_> = under_way.iter().flat_map(|it| it.draw.kind.strikes(it.victim)).collect();
        let victim = bounded(drawn, &struck, votes);
        let began = self.clock.now();
        let word = if victim == primary { " (primary)" } else { "" };
        let lasts = draw.kind.end(victim).map_or(Duration::ZERO, |_| draw.lasts);
        let number = self.faults.len() + under_way.len() + 1;
        self.tell(&format!("{number:>3} {} `{victim}`{word} for {:.1} s", draw.kind, lasts.as_secs_f64()));
        if draw.kind == Kind::Switchover
            && let Err(error) = self.lab.agents().switchover(primary, None).await
        {
            self.tell(&format!("    the switchover was refused: {error}"));
        }
        let has_power = self.lab.host(victim).is_some_and(|host| host.power() == Power::On);
        for fault in draw.kind.begin(victim, &draw) {
            if has_power {
                self.apply(&fault)?;
            } else {
                self.tell("    it has no power, or is frozen");
            }
        }
        Ok(Some(UnderWay { draw, victim, was_primary: victim == primary, began, until: began + lasts }))
    }

    /// Ends one while others go on.
    fn end(&mut self, storm: usize, over: UnderWay, others: &[UnderWay]) -> Result<(), SoakError> {
        let UnderWay { draw, victim, was_primary, began, .. } = over;
        let cuts = |it: &UnderWay| it.draw.kind.end(it.victim) == Some(LabFault::Heal);
        match draw.kind.end(victim) {
            // It would end the other cuts as well: the last of them heals all.
            Some(LabFault::Heal) if others.iter().any(cuts) => {}
            Some(end) => self.apply(&end)?,
            None => {}
        }
        let ended = self.clock.now();
        self.faults.push(Fault { draw, victim, was_primary, storm, began, ended });
        Ok(())
    }

    fn apply(&mut self, fault: &LabFault) -> Result<(), SoakError> {
        match self.lab.apply(fault) {
            // A part that is being started again is a moment's matter.
            Err(LabError::NothingThere { .. }) => self.tell("    there was nothing to do it to"),
            other => other?,
        }
        Ok(())
    }
}

/// The first server of each site votes in the store.
fn votes(place: Place) -> bool {
    members(place.site()).first() == Some(&place)
}

async fn store_leader(lab: &Lab) -> Option<Place> {
    let picture = Picture::take(lab).await;
    let leads = |role| role == sb_api::StoreRole::Leader;
    let leader = picture.servers.iter().find(|it| it.status.as_ref().is_some_and(|it| leads(it.store_role)));
    leader.map(|server| server.place)
}
