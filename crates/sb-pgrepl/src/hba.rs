//! Who may come in: `pg_hba.conf` and `pg_ident.conf`.

use std::fmt::Write as _;

use crate::roles::{MONITOR, REPLICATOR, REWIND, SUPERUSER};
use crate::{ClientAccess, ClientNetwork, Desired};

/// The name of the map from system users to the superuser.
const MAP: &str = "sb";

/// `pg_hba.conf`: the first row that fits decides, and what fits none is refused.
pub(crate) fn render_hba(desired: &Desired) -> String {
    let mut text = "# Written by the agent; changes made here are lost.\n".to_owned();
    let mut row = |row: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{row}");
    };
    row(format!("local all {SUPERUSER} peer map={MAP}"));
    row(format!("local postgres {MONITOR} scram-sha-256"));
    for peer in &desired.peers {
        let from = ClientNetwork::host(*peer);
        row(format!("hostssl replication {REPLICATOR} {from} scram-sha-256 clientcert=verify-ca"));
        row(format!("hostssl postgres {REWIND} {from} scram-sha-256 clientcert=verify-ca"));
    }
    match desired.client_access {
        ClientAccess::Closed => row("# Clients are kept out for now.".to_owned()),
        ClientAccess::Open => {
            for client in &desired.client_rows {
                let (database, role) = (client.database.quoted(), client.role.quoted());
                row(format!("hostssl {database} {role} {} scram-sha-256", client.from));
            }
        }
    }
    text
}

/// `pg_ident.conf`: these system users are the superuser on the Unix socket.
pub(crate) fn render_ident(peers: &[String]) -> String {
    let mut text = "# Written by the agent; changes made here are lost.\n".to_owned();
    for peer in peers {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{MAP} \"{peer}\" {SUPERUSER}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClientRow, SqlName};

    fn desired(client_access: ClientAccess) -> Desired {
        let name = |text| SqlName::new(text).unwrap();
        let from = ClientNetwork::new("10.0.1.0".parse().unwrap(), 24).unwrap();
        Desired {
            system_identifier: None,
            listen: vec![],
            peers: vec!["10.0.2.1".parse().unwrap()],
            client_access,
            client_rows: vec![ClientRow { database: name("show"), role: name("all"), from }],
            settings: std::collections::BTreeMap::new(),
            slot_wal_mib_max: 1,
        }
    }

    #[test]
    fn nobody_is_trusted_and_no_network_is_the_internet() {
        let text = render_hba(&desired(ClientAccess::Open));
        assert!(!text.contains("trust") && !text.contains("/0 ") && !text.contains("\nhost "), "{text}");
        assert!(
            text.contains("hostssl replication replicator 10.0.2.1/32 scram-sha-256 clientcert=verify-ca\n")
        );
        assert!(text.contains("hostssl \"show\" \"all\" 10.0.1.0/24 scram-sha-256\n"), "{text}");
    }

    #[test]
    fn closing_keeps_clients_out_and_replication_in() {
        let text = render_hba(&desired(ClientAccess::Closed));
        assert!(!text.contains("show") && text.contains("hostssl replication"), "{text}");
    }
}
