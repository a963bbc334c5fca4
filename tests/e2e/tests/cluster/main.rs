//! The cluster: real agents, real PostgreSQL, real faults. The demo's scenarios begin with servers that are switched
//! off; the other cases share a cluster as long as each leaves it whole, the synchronous ones first.

mod agents;
mod crash;
mod disks;
mod durability;
mod etcd;
mod explain;
mod failsafe;
mod field;
mod guard;
mod haproxy;
mod log;
mod mesh;
mod preshared;
mod proxy;
mod recover;
mod returns;
mod rotation;
mod scenarios;
mod scene;
mod sessions;
mod sites;

use std::process::ExitCode;

use sb_e2e::{Case, Program};

/// In the order in which they run.
const CASES: &[Case] = &[
    Case { name: "switchover_async_loses_nothing", body: scenarios::switchover },
    Case { name: "postgres_crash_async_loses_nothing", body: scenarios::postgres_crash },
    Case { name: "host_loss_sync_loses_nothing", body: scenarios::host_loss },
    Case { name: "site_loss_sync_loses_nothing", body: scenarios::site_loss },
    Case { name: "partition_sync_loses_nothing", body: scenarios::partition },
    Case { name: "a_full_disk_below_a_primary_is_a_failover", body: disks::full },
    Case { name: "a_hung_disk_below_a_primary_is_a_failover", body: disks::hung },
    Case { name: "two_failures_in_a_row_are_survived", body: returns::two_in_a_row },
    Case { name: "a_wiped_server_rejoins_under_a_new_incarnation", body: returns::wiped },
    Case { name: "a_data_directory_of_another_cluster_is_left_alone", body: returns::foreign_data },
    Case { name: "a_lagging_site_does_not_elect_itself", body: durability::lagging_site_does_not_win },
    Case { name: "sync_falls_back_and_returns", body: durability::sync_falls_back },
    Case { name: "a_person_ends_a_fall_back_whose_primary_is_lost", body: durability::a_person_ends_it },
    Case { name: "postgres_that_cannot_start_hands_over_without_loss", body: crash::postgres_cannot_start },
    Case { name: "voters_that_are_cut_off_disturb_nobody", body: sites::voters_are_cut_off },
    Case { name: "durability_changes_while_clients_write", body: durability::changes_at_run_time },
    Case { name: "strict_waits_for_ever", body: durability::strict_waits },
    Case {
        name: "a_waiting_commit_is_shown_only_after_a_standby_has_it",
        body: field::a_waiting_commit_is_not_shown_early,
    },
    Case { name: "an_old_primary_that_boots_cut_off_stays_read_only", body: returns::boots_cut_off },
    Case { name: "a_standby_with_a_torn_segment_goes_on", body: crash::torn_segment },
    Case {
        name: "clients_that_know_only_their_own_server_write_through_changes_of_primary",
        body: proxy::clients_know_only_their_own_server,
    },
    Case { name: "a_thawed_primary_loses_nothing_in_sync", body: guard::thawed_sync },
    Case { name: "an_open_session_gets_no_answer_after_the_deadline", body: sessions::agent_alive },
    Case { name: "nor_when_the_agent_is_stopped", body: sessions::agent_stopped },
    Case { name: "nor_when_the_agent_is_killed_for_good", body: guard::agent_gone },
    Case { name: "nor_when_the_guard_is_stopped_which_the_agent_ends", body: guard::guard_stopped },
    Case { name: "nor_when_agent_and_guard_are_killed", body: guard::both_gone },
    Case { name: "nor_behind_the_kernels_fence_when_both_are_stopped", body: guard::both_stopped },
    Case { name: "nor_behind_the_kernels_fence_after_a_thaw", body: guard::thawed_async },
    Case { name: "postgres_ends_with_a_killed_guard_and_is_back", body: guard::guard_killed },
    Case {
        name: "a_session_on_a_standby_writes_only_when_clients_may",
        body: sessions::on_a_promoted_standby,
    },
    Case {
        name: "a_lost_host_is_explained_and_its_failover_replays",
        body: explain::host_loss_is_explained_and_replayed,
    },
    Case { name: "a_killed_agent_costs_no_failover", body: agents::killed },
    Case {
        name: "the_preferred_server_fetches_what_one_far_away_has_more",
        body: log::the_preferred_server_fetches,
    },
    Case {
        name: "nobody_leads_with_too_little_until_a_person_accepts_the_loss",
        body: log::nobody_leads_with_too_little,
    },
    Case {
        name: "a_real_haproxy_leads_to_the_primary_before_and_after_a_failover",
        body: haproxy::leads_to_the_primary,
    },
    Case { name: "people_ask_and_move_the_primary_with_sb_cli", body: agents::answers_people },
    Case { name: "a_pause_ends_by_itself_and_everybody_is_told", body: field::a_pause_ends_by_itself },
    Case {
        name: "a_slot_is_given_up_at_its_budget_and_its_server_copied_anew",
        body: field::a_slot_is_given_up_and_its_server_comes_back,
    },
    Case { name: "a_lost_witness_changes_nothing", body: sites::the_witness_is_lost },
    Case {
        name: "two_sites_with_a_witness_survive_a_lost_site_and_no_primary_returns_alone",
        body: sites::a_site_is_lost,
    },
    Case { name: "a_line_cut_between_two_sites_is_told_as_degraded", body: sites::the_line_is_cut },
    Case {
        name: "between_two_sites_alone_a_person_decides",
        body: sites::a_person_decides_between_two_sites,
    },
    Case { name: "through_the_mesh_the_loss_of_the_primary_loses_nothing", body: mesh::survives_the_primary },
    Case { name: "servers_that_are_cut_from_each_other_talk_through_a_third", body: mesh::relayed },
    Case { name: "a_port_is_cut_inside_the_mesh", body: mesh::a_port_is_cut_inside },
    Case { name: "a_peer_that_somebody_takes_away_is_put_back", body: mesh::put_right },
    Case { name: "pairs_get_preshared_keys_while_packets_flow", body: preshared::under_load },
    Case { name: "a_key_is_replaced_while_packets_flow", body: rotation::under_load },
    Case { name: "a_lost_majority_is_recovered_by_a_person", body: recover::lost_majority },
    Case { name: "on_etcd_the_loss_of_a_host_with_its_member_loses_nothing", body: etcd::host_loss },
    Case { name: "on_etcd_a_site_that_is_cut_off_is_fenced", body: etcd::partition },
    Case { name: "a_stall_of_etcd_shorter_than_the_lease_demotes_nobody", body: etcd::short_stall },
    Case { name: "without_etcd_the_primary_ends_with_its_lease", body: etcd::fenced },
    Case { name: "with_the_failsafe_writes_go_on_without_etcd", body: etcd::failsafe },
    Case {
        name: "a_primary_goes_on_without_the_store_by_everybodys_promise",
        body: failsafe::everybody_promises,
    },
    Case {
        name: "a_primary_without_the_store_ends_with_its_lease_when_one_does_not_promise",
        body: failsafe::one_does_not_answer,
    },
    Case {
        name: "a_primary_without_store_and_failsafe_ends_with_its_lease",
        body: failsafe::nobody_is_asked,
    },
];

fn main() -> ExitCode {
    sb_e2e::run(&Program { outside: &[], inside: CASES })
}
