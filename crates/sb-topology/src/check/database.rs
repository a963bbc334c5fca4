use std::net::IpAddr;

use super::Drafts;
use super::addresses::is_public;
use crate::DatabaseSettings;
use crate::findings::{Findings, shown};

const PROXY_HINT: &str =
    "Use 127.0.0.1 with port 6432: every server's proxy leads to the primary, wherever it is.";

pub(super) fn check(drafts: &Drafts, findings: &mut Findings) {
    let Some(host) = &drafts.database.host else { return };
    let severity = drafts.severity_in_mesh();
    match host.value.parse::<IpAddr>() {
        Ok(address) if is_public(address) => {
            findings
                .report(
                    severity,
                    &host.place,
                    "database.host.public",
                    format!("database host {address} is a public address"),
                )
                .detail("The database's port would have to be reachable from outside the mesh.")
                .hint(PROXY_HINT);
        }
        Ok(_) => {}
        Err(_) if !is_local_name(&host.value) => {}
        Err(_) => {
            let message =
                format!("database host {} is known inside one container network only", shown(&host.value));
            findings
                .report(severity, &host.place, "database.host.local_name", message)
                .detail(
                    "It names a service of a compose file, which is always the database of that one machine.",
                )
                .hint(PROXY_HINT);
        }
    }
}

/// A name without dots, as compose gives its services.
fn is_local_name(host: &str) -> bool {
    !host.contains('.') && host != "localhost" && !host.starts_with('/')
}

const _: () = assert!(DatabaseSettings::PROXY_PORT == 6432, "the hint names the proxy's port");
