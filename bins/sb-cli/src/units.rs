//! Durations and sizes as people write and read them.

use std::time::Duration;

/// Longest duration that is accepted, in days.
const DAYS_MAX: u64 = 30;

/// Reads `90s`, `5m`, `2h` or `1d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wanted = || "give a number and s, m, h or d, such as 2h".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wanted)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wanted())?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(wanted()),
    };
    let total = number.checked_mul(seconds).filter(|total| *total <= DAYS_MAX * 24 * 60 * 60);
    match total {
        Some(0) => Err("it must be longer than nothing".into()),
        Some(total) => Ok(Duration::from_secs(total)),
        None => Err(format!("at most {DAYS_MAX}d")),
    }
}

/// Reads a number of bytes: `0`, `1048576`, `512KiB`, `48MiB`, `2GiB`.
pub fn bytes(text: &str) -> Result<u64, String> {
    let wanted = || "give a number of bytes, or of KiB, MiB or GiB, such as 48MiB".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wanted())?;
    let factor: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(wanted()),
    };
    number.checked_mul(factor).ok_or_else(wanted)
}

/// Bytes in the largest unit that leaves at least one, rounded up: a loss is never shown smaller than it is.
pub fn show_bytes(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes.div_ceil(1 << 10)),
        1_048_576..1_073_741_824 => format!("{} MiB", bytes.div_ceil(1 << 20)),
        _ => format!("{} GiB", bytes.div_ceil(1 << 30)),
    }
}

/// Seconds in the two largest units, such as `1h 59m`.
pub fn show_seconds(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m {}s", seconds % 60),
        (0, hours, minutes) => format!("{hours}h {minutes}m"),
        (days, hours, _) => format!("{days}d {hours}h"),
    }
}

/// Microseconds as milliseconds, to a tenth.
pub fn show_micros(micros: u64) -> String {
    let tenths = micros.saturating_add(50) / 100;
    format!("{}.{} ms", tenths / 10, tenths % 10)
}

/// A moment (RFC 3339, UTC) to the second, as people read it in a table.
pub fn show_moment(moment: &str) -> String {
    cut_fraction(moment, 0)
}

/// A moment to the millisecond, to be compared with those beside it.
pub fn show_moment_ms(moment: &str) -> String {
    cut_fraction(moment, 3)
}

/// With exactly this many digits of a second; a text of another form as it is.
fn cut_fraction(moment: &str, digits: usize) -> String {
    let Some(bare) = moment.strip_suffix('Z') else { return moment.to_owned() };
    let (whole, fraction) = bare.split_once('.').unwrap_or((bare, ""));
    match digits {
        0 => format!("{whole}Z"),
        _ => format!("{whole}.{fraction:0<digits$.digits$}Z"),
    }
}

/// A number and what it counts: `1 voter`, `3 voters`.
pub fn show_count(count: usize, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit_and_an_end() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        for text in ["", "2", "h", "-2h", "2 h", "0s", "31d", "99999999999999999999h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_binary() {
        assert_eq!(bytes("48MiB"), Ok(48 << 20));
        assert_eq!(bytes("0"), Ok(0));
        for text in ["", "MiB", "48MB", "4.8MiB", "-1", "99999999999GiB"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_size_is_never_shown_smaller_than_it_is() {
        assert_eq!(show_bytes(1023), "1023 B");
        assert_eq!(show_bytes(1025), "2 KiB");
        assert_eq!(show_bytes(48 << 20), "48 MiB");
    }

    #[test]
    fn moments_have_one_length() {
        for moment in ["2026-01-02T03:04:05.678901234Z", "2026-01-02T03:04:05.678Z"] {
            assert_eq!(show_moment(moment), "2026-01-02T03:04:05Z");
            assert_eq!(show_moment_ms(moment), "2026-01-02T03:04:05.678Z");
        }
        assert_eq!(show_moment_ms("2026-01-02T03:04:05Z"), "2026-01-02T03:04:05.000Z");
        assert_eq!(show_moment("yesterday"), "yesterday");
    }

    #[test]
    fn seconds_are_shown_in_two_units() {
        let shown = [0, 59, 61, 7199, 90_000].map(show_seconds);
        assert_eq!(shown, ["0s", "59s", "1m 1s", "1h 59m", "1d 1h"]);
    }
}
