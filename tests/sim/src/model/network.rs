use crate::profile::Wire;
use crate::rng::{MS, Rng};

/// The links between servers: how long a message takes, and whether it arrives.
#[derive(Clone, Debug)]
pub struct Network {
    count: usize,
    one_way_ns: Vec<u64>,
    /// How many faults cut a link now.
    cuts: Vec<u8>,
    /// How many faults make it slow now.
    slow: Vec<u8>,
    wire: Wire,
    /// Whether messages are lost, late or doubled.
    pub lossy: bool,
}

/// Round trips from Ravena and between the other sites in milliseconds, by site number: Ravena, Burlington,
/// Montpelier, Nantucket, Tucson.
const ROUND_TRIP_MS: [[u64; 5]; 5] =
    [[1, 8, 8, 15, 75], [8, 1, 2, 15, 75], [8, 2, 1, 15, 75], [15, 15, 15, 1, 75], [75, 75, 75, 75, 1]];
/// What a slow link adds to one way, in milliseconds.
const SLOW_MS: (u64, u64) = (50, 400);

impl Network {
    /// `sites` is the site of each server.
    pub fn new(sites: &[usize], wire: Wire) -> Self {
        let count = sites.len();
        let links = (0..count * count).map(|link| (sites[link / count], sites[link % count]));
        let one_way_ns = links.map(|(a, b)| match wire {
            Wire::Sites => ROUND_TRIP_MS[a.min(4)][b.min(4)] * MS / 2,
            Wire::Minimal => MS / 20,
        });
        let one_way_ns = one_way_ns.collect();
        Self {
            count,
            one_way_ns,
            cuts: vec![0; count * count],
            slow: vec![0; count * count],
            wire,
            lossy: true,
        }
    }

    /// Whether what `from` sends reaches `to`.
    pub fn carries(&self, from: usize, to: usize) -> bool {
        self.cuts[from * self.count + to] == 0
    }

    /// Whether `a` and `b` reach each other.
    pub fn joins(&self, a: usize, b: usize) -> bool {
        self.carries(a, b) && self.carries(b, a)
    }

    /// How long something sent now takes.
    pub fn delay_ns(&self, from: usize, to: usize, rng: &mut Rng) -> u64 {
        let link = from * self.count + to;
        let base = self.one_way_ns[link];
        let jitter = rng.range(0, base / 4 + MS / 10);
        let slow = if self.slow[link] > 0 { rng.ns(SLOW_MS) } else { 0 };
        base + jitter + slow
    }

    /// How often a message travels, and what it is held up by beyond its time: lost, doubled, overtaken.
    pub fn fate(&self, rng: &mut Rng) -> Fate {
        if !self.lossy {
            return Fate::Arrives;
        }
        match rng.range(0, 1_000) {
            0..20 => Fate::Lost,
            20..30 => Fate::Doubled(rng.ns((0, 800))),
            30..60 => Fate::Late(rng.ns(if self.wire == Wire::Sites { (0, 300) } else { (0, 30) })),
            _ => Fate::Arrives,
        }
    }

    pub fn cut(&mut self, links: &[(usize, usize)]) {
        links.iter().for_each(|(from, to)| self.cuts[from * self.count + to] += 1);
    }

    pub fn mend(&mut self, links: &[(usize, usize)]) {
        for (from, to) in links {
            let cuts = &mut self.cuts[from * self.count + to];
            *cuts = cuts.saturating_sub(1);
        }
    }

    pub fn slow_down(&mut self, links: &[(usize, usize)]) {
        links.iter().for_each(|(from, to)| self.slow[from * self.count + to] += 1);
    }

    pub fn speed_up(&mut self, links: &[(usize, usize)]) {
        for (from, to) in links {
            let slow = &mut self.slow[from * self.count + to];
            *slow = slow.saturating_sub(1);
        }
    }

    pub fn calm(&mut self) {
        self.cuts.fill(0);
        self.slow.fill(0);
        self.lossy = false;
    }
}

/// What becomes of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Arrives,
    Lost,
    /// It comes, and once more this much later.
    Doubled(u64),
    /// It comes this much later, behind others.
    Late(u64),
}
