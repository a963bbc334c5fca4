use sb_api::{LogFork, LogPosition};
use sb_pgtypes::{Fork, Lineage, Position, TimelineId};

/// A position as it is told.
#[must_use]
pub fn to_wire(position: &Position) -> LogPosition {
    let forks = position.lineage.forks().iter();
    LogPosition {
        timeline: position.lineage.current().get(),
        forks: forks.map(|f| LogFork { timeline: f.from.get(), lsn: f.at.to_string() }).collect(),
        lsn: position.flushed.to_string(),
    }
}

/// A position as it was told; [`None`] when it makes no sense.
#[must_use]
pub fn from_wire(told: &LogPosition) -> Option<Position> {
    let fork =
        |f: &LogFork| Some(Fork { from: TimelineId::try_from(f.timeline).ok()?, at: f.lsn.parse().ok()? });
    let forks = told.forks.iter().map(fork).collect::<Option<Vec<_>>>()?;
    let lineage = Lineage::new(forks, TimelineId::try_from(told.timeline).ok()?).ok()?;
    Some(Position { lineage, flushed: told.lsn.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use sb_pgtypes::Lsn;

    use super::*;

    #[test]
    fn a_position_survives_being_told() {
        let lineage = Lineage::first().forked(Lsn::new(0x5000), TimelineId::try_from(2).unwrap()).unwrap();
        let position = Position { lineage, flushed: Lsn::new(0x1_0000_6000) };
        assert_eq!(from_wire(&to_wire(&position)), Some(position.clone()));
        let nonsense = LogPosition { lsn: "far away".into(), ..to_wire(&position) };
        assert_eq!(from_wire(&nonsense), None);
    }
}
