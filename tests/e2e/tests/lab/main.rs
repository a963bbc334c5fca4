//! The lab itself: its network, its faults, its clients, and that nothing survives it.
#![allow(clippy::print_stdout, reason = "measurements are shown with the test")]

mod clients;
mod end;
mod faults;
mod network;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::OnceLock;

use sb_e2e::{Case, OutsideCase, Program};
use sb_lab::network::Network;
use sb_lab::place::Place;
use sb_lab::stage::Inside;

fn main() -> ExitCode {
    if std::env::var_os(end::SLEEPER_VARIABLE).is_some() {
        return end::sleep();
    }
    sb_e2e::run(&Program {
        outside: &[
            OutsideCase { name: "nothing_survives_a_killed_launcher", body: end::killed_launcher },
            OutsideCase { name: "nothing_survives_a_killed_lab", body: end::killed_lab },
            OutsideCase { name: "an_interrupt_ends_the_lab_in_order", body: end::interrupted },
            OutsideCase { name: "a_user_who_is_not_root_can_run_the_lab", body: end::without_root },
        ],
        inside: &[
            Case { name: "round_trips_are_those_of_the_real_sites", body: network::round_trips },
            Case { name: "a_link_carries_replication", body: network::throughput },
            Case { name: "a_cut_works_in_one_direction_only", body: network::one_way_cut },
            Case {
                name: "a_cut_port_stops_its_own_packets_between_servers_until_healed",
                body: network::cut_port,
            },
            Case { name: "a_killed_program_is_started_again", body: faults::killed_program },
            Case { name: "a_lost_host_is_silent_until_it_returns", body: faults::lost_host },
            Case { name: "a_frozen_host_goes_on_where_it_stopped", body: faults::frozen_host },
            Case {
                name: "clients_survive_a_crash_and_the_check_sees_a_lost_row",
                body: clients::crash_and_loss,
            },
        ],
    })
}

/// The namespaces that the cases inside share.
struct Ground {
    network: Network,
    root: PathBuf,
    runtime: tokio::runtime::Runtime,
}

fn ground(inside: &Inside) -> &'static Ground {
    static GROUND: OnceLock<Ground> = OnceLock::new();
    GROUND.get_or_init(|| Ground {
        root: inside.mount().expect("mounts"),
        network: Network::build(sb_lab::options::Mesh::Off).expect("a network"),
        runtime: tokio::runtime::Runtime::new().expect("a runtime"),
    })
}

impl Ground {
    fn directory(&self, name: &str) -> PathBuf {
        let directory: &Path = &self.root;
        let directory = directory.join(name);
        std::fs::create_dir_all(&directory).expect("a directory");
        directory
    }
}

fn place(name: &str) -> Place {
    Place::named(name).expect("a place of the lab")
}
