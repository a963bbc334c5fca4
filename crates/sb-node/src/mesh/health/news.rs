use std::collections::{BTreeMap, BTreeSet};

use sb_topology::ServerName;

use super::circle::Circle;
use super::finding::{Finding, Findings};
use super::path_size::Passes;
use super::window::ClockOffset;
use crate::journal::Entry;

/// Clocks further apart than this are told, in microseconds: logs of two servers cannot be put in order then, and a
/// restore to a point in time misses it.
const CLOCK_US_MAX: u64 = 500_000;

/// Clocks as close as this are well again, in microseconds.
const CLOCK_US_WELL: u64 = 400_000;

/// What was told to people of the findings, so that only what is new is told again.
#[derive(Debug, Default)]
pub(in crate::mesh) struct News {
    narrowed: BTreeMap<ServerName, u16>,
    clocks: BTreeSet<ServerName>,
    holes: BTreeSet<ServerName>,
}

impl News {
    /// What these findings say that was not so before.
    pub(in crate::mesh) fn entries(&mut self, findings: &Findings, circle: &Circle) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (name, finding) in findings {
            entries.extend(self.size(name, finding, circle.mtu));
            entries.extend(self.clock(name, finding));
        }
        let lost = findings.iter().filter(|(_, finding)| finding.passes == Some(Passes::Lost));
        self.holes = lost.map(|(name, _)| name.clone()).collect();
        entries
    }

    /// The servers whose clocks are too far from this one's, as a sentence.
    pub(in crate::mesh) fn clocks(&self) -> Option<String> {
        let names = listed(&self.clocks)?;
        Some(format!("the clock here is more than 500 ms from that of {names}"))
    }

    /// The servers to which packets of the smallest size that is used get lost, as a sentence.
    pub(in crate::mesh) fn holes(&self) -> Option<String> {
        let names = listed(&self.holes)?;
        Some(format!("large packets to {names} get lost on the way, small ones pass"))
    }

    fn size(&mut self, name: &ServerName, finding: &Finding, full: u16) -> Option<Entry> {
        let before = match finding.narrowed {
            Some(size) => self.narrowed.insert(name.clone(), size),
            None => self.narrowed.remove(name),
        };
        if before == finding.narrowed {
            return None;
        }
        Some(match finding.narrowed {
            Some(size) => {
                let message = format!("packets to `{name}` have up to {size} bytes from now on");
                let detail = format!("Of {full} bytes they got lost on the way while small ones passed.");
                Entry::new("mesh.mtu.lowered", message).detail(detail)
            }
            None => {
                let message = format!("packets to `{name}` have up to {full} bytes again");
                Entry::new("mesh.mtu.restored", message)
            }
        })
    }

    fn clock(&mut self, name: &ServerName, finding: &Finding) -> Option<Entry> {
        let clock = finding.clock?;
        if certainly_apart_us(clock) <= CLOCK_US_WELL {
            self.clocks.remove(name);
        }
        if certainly_apart_us(clock) <= CLOCK_US_MAX || !self.clocks.insert(name.clone()) {
            return None;
        }
        let ahead = if clock.micros < 0 { "behind" } else { "ahead of" };
        let ms = clock.micros.unsigned_abs() / 1_000;
        let message = format!("the clock of `{name}` is {ms} ms {ahead} the one here");
        let detail = format!("Measured to within {} ms.", clock.uncertainty_us.div_ceil(1_000));
        Some(Entry::new("mesh.clock", message).detail(detail))
    }
}

/// How far two clocks are apart at least, in microseconds.
const fn certainly_apart_us(clock: ClockOffset) -> u64 {
    clock.micros.unsigned_abs().saturating_sub(clock.uncertainty_us)
}

fn listed(names: &BTreeSet<ServerName>) -> Option<String> {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(narrowed: Option<u16>, clock: Option<(i64, u64)>) -> Finding {
        Finding {
            to: "10.0.2.1".parse().unwrap(),
            round_trip: None,
            last_round_trip: None,
            loss_percent: None,
            narrowed,
            passes: None,
            size: narrowed.unwrap_or(1420),
            clock: clock.map(|(micros, uncertainty_us)| ClockOffset { micros, uncertainty_us }),
        }
    }

    fn kinds(news: &mut News, finding: Finding) -> Vec<&'static str> {
        let findings = Findings::from([("tucson-1".parse().unwrap(), finding)]);
        let circle = Circle { own: "10.0.1.1".parse().unwrap(), mtu: 1420, servers: BTreeMap::new() };
        news.entries(&findings, &circle).into_iter().map(|entry| entry.kind).collect()
    }

    #[test]
    fn a_size_is_told_when_it_changes_and_only_then() {
        let mut news = News::default();
        assert_eq!(kinds(&mut news, finding(None, None)), Vec::<&str>::new());
        assert_eq!(kinds(&mut news, finding(Some(1220), None)), ["mesh.mtu.lowered"]);
        assert_eq!(kinds(&mut news, finding(Some(1220), None)), Vec::<&str>::new());
        assert_eq!(kinds(&mut news, finding(None, None)), ["mesh.mtu.restored"]);
    }

    #[test]
    fn a_clock_is_told_when_it_is_certainly_off_and_once() {
        let mut news = News::default();
        assert_eq!(kinds(&mut news, finding(None, Some((560_000, 80_000)))), Vec::<&str>::new());
        assert_eq!(news.clocks(), None);
        assert_eq!(kinds(&mut news, finding(None, Some((-700_000, 80_000)))), ["mesh.clock"]);
        assert_eq!(kinds(&mut news, finding(None, Some((-530_000, 80_000)))), Vec::<&str>::new());
        assert!(news.clocks().is_some_and(|sentence| sentence.contains("`tucson-1`")));
        assert_eq!(kinds(&mut news, finding(None, Some((-400_000, 80_000)))), Vec::<&str>::new());
        assert_eq!(news.clocks(), None);
    }

    #[test]
    fn a_black_hole_that_no_size_passes_is_a_trouble_while_it_lasts() {
        let mut news = News::default();
        let lost = Finding { passes: Some(Passes::Lost), ..finding(Some(1200), None) };
        kinds(&mut news, lost);
        assert!(news.holes().is_some());
        kinds(&mut news, Finding { passes: Some(Passes::Both), ..lost });
        assert_eq!(news.holes(), None);
    }
}
