use std::fmt;
use std::str::FromStr;

/// When backups are taken and how long they are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupPolicy {
    /// When the daily base backup starts, in the server's local time.
    pub schedule: TimeOfDay,
    /// Days for which every backup is kept.
    pub retention_days: u16,
    /// Weekly backups kept beyond these days.
    pub weekly: u16,
    /// Monthly backups kept beyond these days.
    pub monthly: u16,
}

impl BackupPolicy {
    /// Longest retention and most weekly or monthly backups: ten years of days.
    pub const COUNT_MAX: u16 = 3650;
}

impl Default for BackupPolicy {
    fn default() -> Self {
        Self { schedule: TimeOfDay { hour: 2, minute: 0 }, retention_days: 30, weekly: 12, monthly: 12 }
    }
}

/// A time of day, `HH:MM`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeOfDay {
    hour: u8,
    minute: u8,
}

/// The text is not a time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a time of day from 00:00 to 23:59")]
pub struct TimeOfDayError;

impl TimeOfDay {
    /// From 0 to 23.
    #[must_use]
    pub const fn hour(self) -> u8 {
        self.hour
    }

    /// From 0 to 59.
    #[must_use]
    pub const fn minute(self) -> u8 {
        self.minute
    }
}

impl FromStr for TimeOfDay {
    type Err = TimeOfDayError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let two_digits = |part: &str, limit: u8| {
            let digits = part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
            part.parse().ok().filter(|number| digits && *number < limit).ok_or(TimeOfDayError)
        };
        let (hour, minute) = text.split_once(':').ok_or(TimeOfDayError)?;
        Ok(Self { hour: two_digits(hour, 24)?, minute: two_digits(minute, 60)? })
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.hour, self.minute)
    }
}

impl fmt::Debug for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_has_four_digits() {
        assert_eq!("23:59".parse::<TimeOfDay>().unwrap().to_string(), "23:59");
        for text in ["", "2:00", "24:00", "02:60", "02:00:00", "+2:00", "0200"] {
            assert!(text.parse::<TimeOfDay>().is_err(), "{text}");
        }
    }
}
