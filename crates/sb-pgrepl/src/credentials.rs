//! Copies of keys and passwords that PostgreSQL's user may read, in the run directory.
//!
//! PostgreSQL and libpq refuse a key file that others may read or that somebody else owns, and a password belongs neither on
//! a command line nor in a connection string that is shown in views and logs.

use std::fs;

use crate::files::{make_private_dir, write_durably};
use crate::roles::{REPLICATOR, REWIND};
use crate::{FileError, Instance, Upstream};

pub(crate) const CA: &str = "ca.pem";
pub(crate) const CERTIFICATE: &str = "server.pem";
pub(crate) const KEY: &str = "server.key";
const PASSFILE: &str = "pgpass";

impl Instance {
    /// Makes the run and log directories and puts the copies in place.
    pub(crate) fn write_credentials(&self) -> Result<(), FileError> {
        let config = self.config();
        make_private_dir(&config.run_dir, config.run_as)?;
        make_private_dir(&config.log_dir, config.run_as)?;
        let tls = &config.tls;
        for (from, to) in [(&tls.ca, CA), (&tls.certificate, CERTIFICATE), (&tls.key, KEY)] {
            let bytes = fs::read(from).map_err(FileError::on("read", from))?;
            write_durably(&self.in_run(to), &bytes, 0o600, config.run_as)?;
        }
        let secrets = &config.secrets;
        let row = |role: &str, password: &str| {
            format!("*:*:*:{role}:{}\n", password.replace('\\', "\\\\").replace(':', "\\:"))
        };
        let rows = row(REPLICATOR, secrets.replicator.expose()) + &row(REWIND, secrets.rewind.expose());
        write_durably(&self.in_run(PASSFILE), rows.as_bytes(), 0o600, config.run_as)
    }

    /// The `application_name` of a copy of ours under way. `pg_basebackup` acknowledges WAL that a failed copy throws away,
    /// so its name must be one that no set of synchronous standbys can hold. The part that no server's name has comes
    /// first: PostgreSQL cuts long names off.
    pub(crate) fn copy_application(&self) -> String {
        format!("clone/{}", self.config().server)
    }

    /// libpq's connection string for `role` at `upstream`, as `application`: TLS that proves the upstream's name and shows this server's
    /// certificate, and signs of death within seconds.
    pub(crate) fn conninfo(
        &self,
        upstream: &Upstream,
        role: &str,
        database: &str,
        application: &str,
    ) -> String {
        let file = |name: &str| self.in_run(name).display().to_string();
        let parts = [
            // The name is checked against the certificate; the address is where to go, without asking any DNS.
            ("host", upstream.server.to_string()),
            ("hostaddr", upstream.address.to_string()),
            ("port", upstream.port.to_string()),
            ("user", role.to_owned()),
            ("dbname", database.to_owned()),
            ("application_name", application.to_owned()),
            ("passfile", file(PASSFILE)),
            ("sslmode", "verify-full".to_owned()),
            ("sslrootcert", file(CA)),
            ("sslcert", file(CERTIFICATE)),
            ("sslkey", file(KEY)),
            ("gssencmode", "disable".to_owned()),
            ("connect_timeout", "3".to_owned()),
            ("keepalives_idle", "2".to_owned()),
            ("keepalives_interval", "1".to_owned()),
            ("keepalives_count", "3".to_owned()),
            ("tcp_user_timeout", "5000".to_owned()),
        ];
        let quote = |value: &str| value.replace('\\', "\\\\").replace('\'', "\\'");
        parts.map(|(key, value)| format!("{key}='{}'", quote(&value))).join(" ")
    }
}
