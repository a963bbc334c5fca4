//! What somebody probably meant to type.

/// Longer words are not compared, in bytes.
const WORD_BYTES_MAX: usize = 64;

/// The candidate with the fewest edits from `word`, when these are few enough to be a slip: one edit for each
/// three characters begun. Upper and lower case are alike.
pub(crate) fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let word: Vec<char> = word.to_lowercase().chars().collect();
    let edits_max = word.len().div_ceil(3);
    let scored = candidates.into_iter().map(|candidate| {
        let letters: Vec<char> = candidate.to_lowercase().chars().collect();
        (edits(&word, &letters), candidate)
    });
    scored
        .filter(|(edits, _)| *edits <= edits_max)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Optimal string alignment distance: insertions, deletions, replacements and swaps of neighbours.
fn edits(a: &[char], b: &[char]) -> usize {
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        rows[i][0] = i;
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_the_word_that_was_meant() {
        let modes = ["async", "sync", "logical"];
        assert_eq!(nearest("snyc", modes), Some("sync"));
        assert_eq!(nearest("Async", modes), Some("async"));
        assert_eq!(nearest("wireguard_ip", ["ip", "wireguardIp"]), Some("wireguardIp"));
    }

    #[test]
    fn another_word_finds_nothing() {
        assert_eq!(nearest("quorum", ["async", "sync", "logical"]), None);
        assert_eq!(nearest("", ["ip"]), None);
        assert_eq!(nearest(&"x".repeat(10_000), ["ip"]), None);
    }
}
