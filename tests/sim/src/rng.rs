/// SplitMix64: a seed replays exactly, whatever the version of any crate.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// At least `low`, less than `high`.
    pub const fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (if high > low { high - low } else { 1 })
    }

    pub fn pick(&mut self, count: usize) -> usize {
        usize::try_from(self.range(0, count as u64)).expect("less than a count")
    }

    /// True in `percent` of 100 cases.
    pub const fn chance(&mut self, percent: u64) -> bool {
        self.range(0, 100) < percent
    }

    /// Nanoseconds between two numbers of milliseconds, both included.
    pub const fn ns(&mut self, (low_ms, high_ms): (u64, u64)) -> u64 {
        self.range(low_ms * MS, high_ms * MS + 1)
    }
}

/// Nanoseconds in a millisecond.
pub const MS: u64 = 1_000_000;
