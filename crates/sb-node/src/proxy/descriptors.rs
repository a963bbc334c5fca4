//! How many connections the process has file descriptors for. The store, the journal and the mesh come first.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Descriptors that are left to everything else of the agent.
const KEPT: usize = 512;

/// Descriptors of one connection: its client's and its server's.
const A_CONNECTION: usize = 2;

/// Raises the process's limit as far as it may go. Of `wanted` connections at each of so many listeners, as many as fit.
pub(super) fn connections_max(wanted: usize, listeners: usize) -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        // Where this is refused, what is there has to do.
        let _ = setrlimit(Resource::Nofile, limit);
    }
    let open = getrlimit(Resource::Nofile).current;
    fitting(wanted, listeners, open.map(|open| usize::try_from(open).unwrap_or(usize::MAX)))
}

/// [`None`] is no limit.
fn fitting(wanted: usize, listeners: usize, open: Option<usize>) -> usize {
    let Some(open) = open else { return wanted };
    let each = open.saturating_sub(KEPT) / A_CONNECTION / listeners.max(1);
    wanted.min(each).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_may_take_leaves_enough_for_everything_else() {
        assert_eq!(fitting(1_000, 2, None), 1_000);
        assert_eq!(fitting(1_000, 2, Some(524_288)), 1_000);
        assert_eq!(fitting(1_000, 2, Some(1_024)), 128);
        assert_eq!(fitting(1_000, 2, Some(64)), 1);
        assert_eq!(fitting(50_000, 0, Some(1_048_576)), 50_000);
    }
}
