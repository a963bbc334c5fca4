//! The demo: five sites come up, clients write, something is lost, and the database comes back by itself.
//!
//! [`play`] tells the story on a [`Screen`], which it is given: this module prints nothing itself.

mod frame;
mod journal;
mod map;
mod mesh;
mod report;
mod story;
mod watch;

use std::time::Duration;

pub use frame::{Frame, table};
pub use report::Report;
pub use story::{Outcome, play};
pub use watch::StoryError;

/// Where the story is shown.
pub trait Screen {
    /// A line of the story, which stays.
    fn say(&mut self, line: &str);

    /// The state of everything, which replaces the one before. Without a terminal it may be left out.
    fn show(&mut self, frame: &Frame<'_>);
}

/// The limits of every wait of a story.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Until all sites are up: one initial database and five clones of it.
    pub up: Duration,
    /// Until writes are accepted again.
    pub recovery: Duration,
    /// Until everything that was lost has rejoined.
    pub rejoin: Duration,
    /// Until the standbys have replayed the last write.
    pub replay: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { up: seconds(180), recovery: seconds(60), rejoin: seconds(120), replay: seconds(30) }
    }
}
