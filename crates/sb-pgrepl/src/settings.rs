//! What `sb.conf` says, and why. Values that safety rests on are not a matter of choice; the rest are defaults for a server
//! of 4 GB.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::credentials::{CA, CERTIFICATE, KEY};
use crate::{Desired, Instance};

/// Longest value of a setting, in bytes.
const VALUE_BYTES_MAX: usize = 8_192;

/// Name, value, why.
type Row = (&'static str, &'static str, &'static str);

/// Nobody may choose these otherwise.
const REQUIRED: &[Row] = &[
    ("fsync", "on", "a commit that is not on disk is not a commit"),
    ("full_page_writes", "on", "a torn page after a power cut must be repairable"),
    ("synchronous_commit", "on", "sessions wait for the synchronous standbys unless they say otherwise"),
    ("data_sync_retry", "off", "after a failed fsync the kernel may have dropped the data"),
    ("wal_level", "replica", "standbys need it"),
    ("wal_log_hints", "on", "pg_rewind needs it where checksums are off"),
    ("hot_standby", "on", "a standby must answer how far it is"),
    ("restart_after_crash", "off", "the postmaster may not come back without a check of the lease"),
    ("recovery_target_timeline", "latest", "a standby goes along with a promotion"),
    ("archive_cleanup_command", "", "no command of others runs in recovery"),
    ("recovery_end_command", "", "no command of others runs at a promotion"),
    ("recovery_min_apply_delay", "0", "a delayed standby would be promoted late"),
    ("ssl", "on", "nothing crosses the network in the clear"),
    ("password_encryption", "scram-sha-256", "pg_hba.conf asks for it"),
    ("unix_socket_permissions", "0700", "the superuser's door is for root and PostgreSQL's own user"),
];

/// An operator may choose these otherwise.
const DEFAULTS: &[Row] = &[
    ("max_connections", "100", "enough for the application; each costs memory"),
    ("superuser_reserved_connections", "5", "the agent gets in also when clients took every connection"),
    ("max_wal_senders", "16", "a standby a server, a backup a site, and both again while they reconnect"),
    ("max_replication_slots", "16", "as above"),
    ("wal_keep_size", "256MB", "a standby that finds no slot after a promotion still finds its WAL"),
    ("wal_compression", "on", "full pages cross long links"),
    ("wal_sender_timeout", "5s", "a dead standby is noticed within seconds"),
    ("wal_receiver_timeout", "5s", "a dead primary is noticed within seconds"),
    ("wal_receiver_status_interval", "1s", "lag is known to the second"),
    ("wal_retrieve_retry_interval", "200ms", "the default of 5 s delays every change of upstream by as much"),
    ("hot_standby_feedback", "on", "readers on standbys do not hold up replay"),
    ("tcp_keepalives_idle", "5", "half-open connections end within seconds"),
    ("tcp_keepalives_interval", "2", "as above"),
    ("tcp_keepalives_count", "3", "as above"),
    ("tcp_user_timeout", "10s", "as above, with data under way"),
    ("shared_buffers", "512MB", "an eighth of 4 GB: the application shares the server"),
    ("effective_cache_size", "2GB", "half of 4 GB"),
    ("maintenance_work_mem", "128MB", "vacuum on a small server"),
    ("work_mem", "8MB", "100 connections may use it at once"),
    ("checkpoint_timeout", "5min", "bounds recovery after a crash"),
    ("max_wal_size", "1GB", "as above"),
    (
        "recovery_init_sync_method",
        "syncfs",
        "a restart after a crash syncs one file system, not thousands of files",
    ),
    ("logging_collector", "on", "logs rotate without anybody's help"),
    ("log_filename", "postgresql-%a.log", "seven files, one a weekday"),
    ("log_truncate_on_rotation", "on", "last week's file is overwritten: logs cannot fill the disk for ever"),
    ("log_rotation_age", "1d", "as above"),
    ("log_rotation_size", "0", "as above: a rotation by size would append"),
    ("log_line_prefix", "%m [%p] %q%u@%d %h ", "who did it, and when"),
    ("log_checkpoints", "on", "slow disks show here first"),
    ("log_lock_waits", "on", "waits of over a second are worth a line"),
    ("log_replication_commands", "on", "who followed whom, and when"),
];

/// The desired settings cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Safety needs another value.
    #[error("cannot set `{name}`: its value is not a matter of choice ({why})")]
    NotYours {
        /// The setting.
        name: String,
        /// Why.
        why: &'static str,
    },
    /// The name or value has characters that no setting has.
    #[error("`{name}` is not a setting that can be written")]
    Malformed {
        /// The setting.
        name: String,
    },
}

/// Settings in force: name to value and why.
pub(crate) type Settings = BTreeMap<String, (String, &'static str)>;

impl Instance {
    /// Everything for `sb.conf`. `floors` are values of the former primary that a standby may not undercut.
    pub(crate) fn settings(
        &self,
        desired: &Desired,
        floors: &[(&'static str, u32)],
    ) -> Result<Settings, SettingsError> {
        let own =
            |rows: &[Row]| rows.iter().map(|(n, v, w)| ((*n).to_owned(), ((*v).to_owned(), *w))).collect();
        let mut required: Settings = own(REQUIRED);
        required.extend(self.placed(desired));
        let mut settings: Settings = own(DEFAULTS);
        for (name, value) in &desired.settings {
            let name = name.to_ascii_lowercase();
            if let Some((_, why)) = required.get(&name) {
                return Err(SettingsError::NotYours { name, why });
            }
            if !is_name(&name) || !is_value(value) {
                return Err(SettingsError::Malformed { name });
            }
            settings.insert(name, (value.clone(), "the operator's choice"));
        }
        settings.extend(required);
        for (name, floor) in floors {
            raise(&mut settings, name, *floor);
        }
        Ok(settings)
    }

    /// What follows from this server's place.
    fn placed(&self, desired: &Desired) -> Settings {
        let config = self.config();
        let listen: Vec<_> = desired.listen.iter().map(ToString::to_string).collect();
        let run = |name: &str| self.in_run(name).display().to_string();
        let data = |name: &str| self.in_data(name).display().to_string();
        [
            ("hba_file", data("pg_hba.conf"), "one place says who may come in, whatever other files say"),
            (
                "ident_file",
                data("pg_ident.conf"),
                "one place says who is the superuser, whatever other files say",
            ),
            ("cluster_name", config.server.to_string(), "shown in process titles"),
            ("listen_addresses", listen.join(","), "mesh addresses only"),
            ("port", config.port.to_string(), "where the others expect it"),
            ("unix_socket_directories", config.run_dir.display().to_string(), "the agent's way in"),
            (
                "log_directory",
                config.log_dir.display().to_string(),
                "outside the data directory: clones need no logs",
            ),
            ("ssl_ca_file", run(CA), "replication must show a certificate of the cluster"),
            ("ssl_cert_file", run(CERTIFICATE), "proves this server's name"),
            ("ssl_key_file", run(KEY), "as above"),
            (
                "max_slot_wal_keep_size",
                format!("{}MB", desired.slot_wal_mib_max),
                "a dead site must not fill the disk: its slot is given up at this size",
            ),
        ]
        .into_iter()
        .map(|(name, value, why)| (name.to_owned(), (value, why)))
        .collect()
    }
}

fn raise(settings: &mut Settings, name: &str, floor: u32) {
    let lower = settings.get(name).is_none_or(|(value, _)| value.parse::<u32>().is_ok_and(|v| v < floor));
    if lower {
        let why = "as on the primary: a standby with less stops replay (manual, section 27.4.3)";
        settings.insert(name.to_owned(), (floor.to_string(), why));
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.".contains(&b))
}

fn is_value(value: &str) -> bool {
    value.len() <= VALUE_BYTES_MAX && !value.contains(char::is_control)
}

/// The file's text.
pub(crate) fn render(settings: &Settings) -> String {
    let mut text =
        "# Written by the agent; changes made here are lost. Settings of your own: policy.json.\n".to_owned();
    for (name, (value, why)) in settings {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "\n# {why}\n{}", assignment(name, value));
    }
    text
}

/// One line of a configuration file.
pub(crate) fn assignment(name: &str, value: &str) -> String {
    format!("{name} = '{}'", value.replace('\'', "''").replace('\\', "\\\\"))
}

/// How much WAL slots may keep, in MiB, on a disk of `total` bytes of which `free` are left: half of what is free, at most a
/// quarter of the disk, at least 256 MiB.
#[must_use]
pub fn wal_budget_mib(free: u64, total: u64) -> u64 {
    const MIB: u64 = 1 << 20;
    (free / 2).min(total / 4).max(256 * MIB) / MIB
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_survive_the_file() {
        assert_eq!(assignment("a", r"it's \x"), r"a = 'it''s \\x'");
    }

    #[test]
    fn a_standby_is_raised_to_its_primary_and_never_lowered() {
        let mut settings: Settings = [("max_connections".to_owned(), ("100".to_owned(), ""))].into();
        raise(&mut settings, "max_connections", 50);
        assert_eq!(settings["max_connections"].0, "100");
        raise(&mut settings, "max_connections", 200);
        raise(&mut settings, "max_prepared_transactions", 3);
        assert_eq!(settings["max_connections"].0, "200");
        assert_eq!(settings["max_prepared_transactions"].0, "3");
    }

    #[test]
    fn the_wal_budget_follows_the_disk() {
        let gib = |n: u64| n << 30;
        assert_eq!(wal_budget_mib(gib(40), gib(50)), 12_800);
        assert_eq!(wal_budget_mib(gib(4), gib(50)), 2_048);
        assert_eq!(wal_budget_mib(0, gib(50)), 256);
    }
}
