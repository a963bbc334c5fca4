//! The five sites as text. Pure.

use crate::host::Power;
use crate::picture::{Picture, ServerPicture};
use crate::place::Place;
use sb_api::Role;

/// The map, with a sign for every server: `#` primary, `o` standby, `x` without power, `=` frozen, `.` anything
/// else. `!` beside a site: some of its links are cut.
pub(super) fn lines(picture: &Picture, cuts: &[(Place, Place)]) -> Vec<String> {
    let site = |name: &str| {
        let servers = picture.servers.iter().filter(|server| server.place.site() == name);
        let signs: Vec<_> = servers.map(|server| sign(server).to_string()).collect();
        let cut = cuts.iter().any(|(from, to)| from.site() == name || to.site() == name);
        format!("[{}]{}", signs.join(" "), if cut { "!" } else { " " })
    };
    let (montpelier, burlington) = (site("montpelier"), site("burlington"));
    let (tucson, ravena, nantucket) = (site("tucson"), site("ravena"), site("nantucket"));
    vec![
        format!("           montpelier {montpelier}-- 2 ms --{burlington} burlington"),
        "                            \\          /".to_owned(),
        "                           8 ms      8 ms".to_owned(),
        "                              \\      /".to_owned(),
        format!("  tucson {tucson}---- 75 ms ---- {ravena}---- 15 ms ----{nantucket} nantucket"),
        "                              ravena".to_owned(),
    ]
}

fn sign(server: &ServerPicture) -> char {
    match (server.power, server.role()) {
        (Power::Off, _) => 'x',
        (Power::Frozen, _) => '=',
        (Power::On, Some(Role::Primary)) => '#',
        (Power::On, Some(Role::Standby)) => 'o',
        (Power::On, _) => '.',
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sb_api::ServerStatus;

    #[test]
    fn the_map_shows_who_leads_who_is_gone_and_who_is_cut_off() {
        let mut servers: Vec<_> = Place::servers()
            .map(|place| {
                let mut status = ServerStatus::unknown(place.name(), place.site());
                status.role = Role::Standby;
                ServerPicture { place, power: Power::On, programs_ended: 0, status: Some(status) }
            })
            .collect();
        servers[0].power = Power::Off;
        servers[2].status.as_mut().unwrap().role = Role::Primary;
        let tucson = Place::named("tucson-1").unwrap();
        let lines = lines(&Picture { servers }, &[(tucson, Place::OFFICE)]);
        assert_eq!(lines[0], "           montpelier [o] -- 2 ms --[#]  burlington");
        assert_eq!(lines[4], "  tucson [o]!---- 75 ms ---- [x o]!---- 15 ms ----[o]  nantucket");
    }
}
