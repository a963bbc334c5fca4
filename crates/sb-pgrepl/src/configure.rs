//! Configuring a running server, and proving that it took.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use crate::files::off_thread;
use crate::session::{POLL, Session};
use crate::settings::Settings;
use crate::sync::SYNC_CONF;
use crate::upstream::UPSTREAM_CONF;
use crate::{Desired, FileError, Instance, SettingsError, SqlError};

/// Longest wait until the postmaster has loaded its files.
const RELOAD_SECONDS_MAX: u64 = 5;

/// Our files, in the order in which `postgresql.conf` includes them.
pub(crate) const OUR_FILES: [&str; 3] = ["sb.conf", UPSTREAM_CONF, SYNC_CONF];

/// What came of configuring a running server.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Configured {
    /// Settings of ours that `postgresql.auto.conf` had overridden, and that were reset there.
    pub taken_back: Vec<String>,
    /// Settings that wait for a restart.
    pub pending_restart: Vec<String>,
}

/// A running server is not configured as desired.
#[derive(Debug, thiserror::Error)]
pub enum ConfigureError {
    /// The settings cannot be written.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// PostgreSQL did not answer.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// PostgreSQL did not load the new files in time.
    #[error("PostgreSQL did not load its configuration files in time")]
    NotLoaded,
    /// PostgreSQL finds errors in the files; those with an error are not in force.
    #[error("PostgreSQL refuses its configuration files: {}", problems.join("; "))]
    Refused {
        /// File, line and words of each.
        problems: Vec<String>,
    },
    /// Something still overrides ours.
    #[error("settings stay overridden: {}", names.join(", "))]
    Overridden {
        /// Their names.
        names: Vec<String>,
    },
}

/// What PostgreSQL says about its files.
#[derive(Deserialize)]
struct FileReport {
    problems: Vec<String>,
    /// Settings that stand in our files and, later, in another: (name, file).
    overridden: Vec<(String, String)>,
    pending_restart: Vec<String>,
}

/// A change that needs a restart is shown as an error too, in the same words as a wrong value; it is none.
const FILE_REPORT_SQL: &str = r"
    WITH s AS (SELECT *, lower(name) AS key, sourcefile ~ '/sb(-upstream|-sync)?\.conf$' AS ours FROM pg_file_settings),
         last AS (SELECT DISTINCT ON (key) key, ours, sourcefile FROM s WHERE key IS NOT NULL ORDER BY key, seqno DESC),
         wrong AS (
             SELECT sourcefile AS file, sourceline AS line, error FROM s
             WHERE error IS NOT NULL AND key NOT IN (SELECT name FROM pg_settings WHERE pending_restart)
             UNION ALL
             SELECT current_setting('hba_file'), line_number, error FROM pg_hba_file_rules WHERE error IS NOT NULL
             UNION ALL
             SELECT current_setting('ident_file'), line_number, error FROM pg_ident_file_mappings WHERE error IS NOT NULL)
    SELECT json_build_object(
        'problems', (SELECT coalesce(json_agg(format('%s:%s: %s', file, line, error)), '[]') FROM wrong),
        'overridden', (SELECT coalesce(json_agg(json_build_array(key, sourcefile)), '[]') FROM last
                       WHERE NOT ours AND key IN (SELECT key FROM s WHERE ours)),
        'pending_restart', (SELECT coalesce(json_agg(name), '[]') FROM pg_settings WHERE pending_restart))::text";

impl Instance {
    /// Configures a running server: writes the files that differ, has them loaded, and checks that they are in force. Call it
    /// after every start too: it finds what [`Instance::prepare_start`] cannot know.
    ///
    /// # Errors
    /// When the server does not run, or ours is not in force afterwards.
    pub async fn configure(&self, desired: &Desired) -> Result<Configured, ConfigureError> {
        let mut session = self.session(Duration::from_secs(RELOAD_SECONDS_MAX)).await?;
        // Also of a primary: what was raised while it was a standby stays until it is started anew.
        let floors = self.control_data().await.map(|control| control.floors).unwrap_or_default();
        let settings = self.settings(desired, &floors)?;
        let (instance, wanted) = (self.clone(), desired.clone());
        off_thread(move || {
            instance.write_credentials()?;
            instance.write_configuration(&wanted, &settings)
        })
        .await?;
        self.reload_in(&mut session).await?;
        let (taken_back, report) = self.take_back(&mut session).await?;
        if !report.problems.is_empty() {
            return Err(ConfigureError::Refused { problems: report.problems });
        }
        if !report.overridden.is_empty() {
            let names =
                report.overridden.into_iter().map(|(name, file)| format!("{name} by {file}")).collect();
            return Err(ConfigureError::Overridden { names });
        }
        Ok(Configured { taken_back, pending_restart: report.pending_restart })
    }

    /// Resets what `ALTER SYSTEM` has put over ours. Gives what was reset, and the state of the files after that.
    async fn take_back(&self, session: &mut Session) -> Result<(Vec<String>, FileReport), ConfigureError> {
        let check = "check the configuration files";
        let report: FileReport = session.json(check, FILE_REPORT_SQL).await?;
        let by_alter_system = |(_, file): &&(String, String)| file.ends_with("/postgresql.auto.conf");
        let names: BTreeSet<_> =
            report.overridden.iter().filter(by_alter_system).map(|(name, _)| name.clone()).collect();
        if names.is_empty() {
            return Ok((Vec::new(), report));
        }
        for name in &names {
            session.execute("reset a setting", &format!("ALTER SYSTEM RESET {name}")).await?;
        }
        tracing::warn!(?names, "ALTER SYSTEM had overridden settings of the agent; they are reset");
        self.reload_in(session).await?;
        Ok((names.into_iter().collect(), session.json(check, FILE_REPORT_SQL).await?))
    }

    /// Has the files loaded, and returns when the postmaster and this session have. What waits for a restart is shown only by
    /// a session that was there before the change, and only once it has loaded the files too.
    async fn reload_in(&self, session: &mut Session) -> Result<(), ConfigureError> {
        let action = "ask for the load time";
        let before: String = session.value(action, "SELECT pg_conf_load_time()::text").await?;
        self.reload_by(session.deadline()).await?;
        let loaded = format!("SELECT pg_conf_load_time() <> '{before}'");
        while !session.value::<bool>(action, &loaded).await? {
            if session.is_over() {
                return Err(ConfigureError::NotLoaded);
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Has the files loaded, and returns when the postmaster has.
    ///
    /// # Errors
    /// When the server does not run, or has not loaded them in time.
    pub async fn reload(&self) -> Result<(), ConfigureError> {
        self.reload_by(Instant::now() + Duration::from_secs(RELOAD_SECONDS_MAX)).await.map(drop)
    }

    /// As [`Instance::reload`]; gives a session that was made after that.
    pub(crate) async fn reload_by(&self, deadline: Instant) -> Result<Session, ConfigureError> {
        let mut session = self.session_in("postgres", deadline).await?;
        // Of a new session this is the postmaster's own. It is compared for change, not for order: clocks jump.
        let before: String =
            session.value("ask for the load time", "SELECT pg_conf_load_time()::text").await?;
        session.execute("have the configuration files loaded", "SELECT pg_reload_conf()").await?;
        let loaded = format!("SELECT pg_conf_load_time() <> '{before}'");
        // The postmaster makes new sessions only after it has loaded everything, pg_hba.conf too.
        loop {
            let mut new = self.session_in("postgres", deadline).await?;
            if new.value("ask when the configuration files were loaded", &loaded).await? {
                return Ok(new);
            }
            if session.is_over() {
                return Err(ConfigureError::NotLoaded);
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

/// `postgresql.conf` with the includes of ours at its very end, so that they win.
pub(crate) fn with_includes(text: &str, files: &[&str]) -> String {
    let includes: Vec<_> = files.iter().map(|file| format!("include_if_exists '{file}'")).collect();
    let others = text.lines().filter(|line| !includes.iter().any(|include| include == line.trim()));
    let mut lines: Vec<_> = others.collect();
    lines.extend(includes.iter().map(String::as_str));
    lines.join("\n") + "\n"
}

/// `postgresql.auto.conf` without what would override ours.
pub(crate) fn neutral_auto_conf(text: &str, ours: &Settings) -> String {
    const ELSEWHERE: [&str; 5] = [
        "primary_conninfo",
        "primary_slot_name",
        "max_standby_streaming_delay",
        "max_standby_archive_delay",
        "synchronous_standby_names",
    ];
    let overrides = |line: &&str| {
        let name = line.split(['=', ' ']).next().unwrap_or_default().to_ascii_lowercase();
        ours.contains_key(&name) || ELSEWHERE.contains(&name.as_str())
    };
    text.lines().filter(|line| !overrides(line)).fold(String::new(), |text, line| text + line + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_includes_move_to_the_end_and_stay_single() {
        let once = with_includes("a = 1\n", &["sb.conf"]);
        assert_eq!(once, "a = 1\ninclude_if_exists 'sb.conf'\n");
        assert_eq!(
            with_includes(&(once + "b = 2\n"), &["sb.conf"]),
            "a = 1\nb = 2\ninclude_if_exists 'sb.conf'\n"
        );
    }

    #[test]
    fn alter_system_keeps_only_what_is_not_ours() {
        let ours = [("fsync".to_owned(), ("on".to_owned(), ""))].into();
        let text = "# Do not edit\nfsync = 'off'\nPrimary_Conninfo = 'x'\njit = 'off'\n";
        assert_eq!(neutral_auto_conf(text, &ours), "# Do not edit\njit = 'off'\n");
    }
}
