//! One screen as text: pure, so that a test can read it.

use std::collections::VecDeque;
use std::time::Duration;

use super::map;
use crate::host::Power;
use crate::network::Links;
use crate::picture::{Picture, ServerPicture};

/// Everything that is on the screen.
#[derive(Debug)]
pub struct Frame<'a> {
    /// What is being shown.
    pub title: &'a str,
    /// Time since the beginning.
    pub elapsed: Duration,
    /// The servers.
    pub picture: &'a Picture,
    /// The links between them.
    pub links: &'a Links,
    /// Acknowledged writes so far.
    pub acknowledged: usize,
    /// The newest lines of the story.
    pub lines: &'a VecDeque<String>,
}

impl Frame<'_> {
    /// The screen, line by line, without colour.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let head = format!(
            "{}   {:.0} s   {} writes acknowledged",
            self.title,
            self.elapsed.as_secs_f64(),
            self.acknowledged
        );
        let mut lines = vec![head, String::new()];
        lines.extend(map::lines(self.picture, &self.links.cuts()));
        lines.push(String::new());
        lines.extend(table(self.picture));
        lines.push(String::new());
        lines.extend(self.lines.iter().cloned());
        lines
    }
}

/// The servers as a table.
#[must_use]
pub fn table(picture: &Picture) -> Vec<String> {
    let head = row("server", "role", "term", "lag", "from primary", "follows", "state");
    std::iter::once(head).chain(picture.servers.iter().map(|server| describe(picture, server))).collect()
}

/// What a server is, in one word; nothing when it does not answer.
pub(super) fn role_word(server: &ServerPicture) -> Option<&'static str> {
    match server.power {
        Power::Off => Some("off"),
        Power::Frozen => Some("frozen"),
        Power::On => server.role().map(sb_api::Role::word),
    }
}

fn describe(picture: &Picture, server: &ServerPicture) -> String {
    let status = server.status.as_ref();
    let term = status.and_then(|status| status.lease).map_or_else(dash, |lease| lease.term.to_string());
    let lag = status.and_then(|status| status.lag_bytes).map_or_else(dash, bytes);
    let distance = picture
        .primary()
        .filter(|primary| primary.place != server.place)
        .map_or_else(dash, |primary| format!("{} ms", primary.place.round_trip(server.place).as_millis()));
    let upstream = status.and_then(|status| status.upstream.clone()).unwrap_or_else(dash);
    let state = status.map_or_else(|| silence(server), |status| status.state.clone());
    row(server.place.name(), role_word(server).unwrap_or("silent"), &term, &lag, &distance, &upstream, &state)
}

/// Why nothing is heard, as far as the lab can tell from outside.
fn silence(server: &ServerPicture) -> String {
    match (server.power, server.programs_ended) {
        (Power::On, ended @ 1..) => format!("its programs have ended {ended} times"),
        _ => String::new(),
    }
}

fn row(
    server: &str,
    role: &str,
    term: &str,
    lag: &str,
    distance: &str,
    upstream: &str,
    state: &str,
) -> String {
    let line = format!("  {server:<13} {role:<10} {term:>4} {lag:>9} {distance:>12}  {upstream:<13} {state}");
    line.trim_end().to_owned()
}

fn dash() -> String {
    "-".into()
}

fn bytes(count: u64) -> String {
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    match count {
        0..KIB => format!("{count} B"),
        KIB..MIB => format!("{} KiB", count / KIB),
        _ => format!("{} MiB", count / MIB),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Place;
    use sb_api::{LeaseStatus, Role, ServerStatus};

    fn picture() -> Picture {
        let status = |place: Place| {
            let mut status = ServerStatus::unknown(place.name(), place.site());
            status.state = "following".into();
            status.role = Role::Standby;
            status.upstream = Some("ravena-2".into());
            status.lag_bytes = Some(3_000);
            status
        };
        let server = |place: Place| ServerPicture {
            place,
            power: Power::On,
            programs_ended: 0,
            status: Some(status(place)),
        };
        let mut servers: Vec<_> = Place::servers().map(server).collect();
        servers[0].power = Power::Off;
        servers[0].status = None;
        let primary = servers[1].status.as_mut().unwrap();
        primary.role = Role::Primary;
        primary.state = "leading".into();
        primary.upstream = None;
        primary.lag_bytes = None;
        primary.lease = Some(LeaseStatus { term: 2, remaining_ms: 3_000 });
        Picture { servers }
    }

    #[test]
    fn the_table_names_role_term_lag_and_distance() {
        assert_eq!(
            table(&picture())[..4],
            [
                "  server        role       term       lag from primary  follows       state",
                "  ravena-1      off           -         -         1 ms  -",
                "  ravena-2      primary       2         -            -  -             leading",
                "  burlington-1  standby       -     2 KiB         8 ms  ravena-2      following",
            ]
        );
    }

    #[test]
    fn a_picture_is_whole_only_when_every_server_follows_the_primary() {
        let mut picture = picture();
        assert_eq!(picture.term(), Some(2));
        assert!(!picture.whole(), "one server has no power");
        picture.servers[0] = ServerPicture { place: picture.servers[0].place, ..picture.servers[2].clone() };
        assert!(picture.whole());
        picture.servers[3].status.as_mut().unwrap().upstream = Some("ravena-1".into());
        assert!(!picture.whole(), "one server follows somebody else");
    }
}
