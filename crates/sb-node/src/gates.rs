//! Gates of what people ask for, in their words.

use sb_api::{Gate, Problem, Refused};

/// The gate that a person sets by saying who is primary now.
pub const EXPECT_PRIMARY: &str = "expect-primary";

/// One gate.
#[must_use]
pub fn gate(name: &str, observed: &str, limit: &str, ok: bool) -> Gate {
    if ok { Gate::passed(name, observed, limit) } else { Gate::failed(name, observed, limit) }
}

/// Refuses with every gate unless all are passed.
///
/// # Errors
/// The problem `code`.
pub fn passed(code: &str, title: &str, gates: Vec<Gate>) -> Refused<()> {
    if gates.iter().all(|gate| gate.ok) {
        return Ok(());
    }
    let moved = gates.iter().any(|gate| gate.name == EXPECT_PRIMARY && !gate.ok);
    let hint = if moved {
        "The primary has changed since you looked: sb-cli status"
    } else {
        "sb-cli explain shows every server's gates."
    };
    Err(Box::new(Problem::refused(code, title).gates(gates).hint(hint)))
}

/// A number of bytes for people.
#[must_use]
pub fn bytes(count: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let unit = UNITS.iter().find(|(_, size)| count >= *size && count.is_multiple_of(*size));
    unit.map_or_else(|| format!("{count} bytes"), |(name, size)| format!("{} {name}", count / size))
}
