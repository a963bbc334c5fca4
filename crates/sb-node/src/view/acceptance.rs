//! A person says by which public key a server is known that has come up with another one.

use std::time::{Duration, Instant};

use sb_api::{AcceptKeyRequest, Gate, Operation, Problem, Refused, Status};
use sb_topology::Server;
use sb_wireguard::PublicKey;

use super::Agent;
use super::requests::{fresh_id, planned};
use crate::gates::{gate, passed};
use crate::http::Caller;
use crate::mesh::Knowledge;
use crate::operations::new_operation;

/// A server that was heard within so long talks with the key that it has, in seconds.
const SILENT_SECONDS_MIN: u64 = 30;

impl Agent {
    pub(super) async fn request_acceptance(
        &self,
        by: &Caller,
        request: AcceptKeyRequest,
    ) -> Refused<Operation> {
        let name = &self.known_server(&request.server)?;
        let server = self.topology.server(name).expect("it was found there").clone();
        let key: PublicKey = request.public_key.parse().map_err(|error| {
            let problem = Problem::new(400, "mesh.accept.form", "the text is no WireGuard key");
            let hint = format!("On `{name}`, `sb-agent mesh-key` prints its public key.");
            Box::new(problem.detail(format!("{error}")).hint(hint))
        })?;
        let absent = format!("the agent of `{}` keeps no mesh", self.me.name);
        let mesh = self.mesh.as_ref().ok_or_else(|| Box::new(Problem::refused("mesh.absent", absent)))?;
        let peers = self.peers.look().await;
        let gates = self.gates_of_acceptance(&self.cluster_status(&peers), mesh, &server, &key);
        passed("mesh.accept.refused", &format!("cannot take {key} as the key of `{name}`"), gates)?;
        let asked = mesh.acceptance(&self.store, &server, key).map_err(|error| {
            let hint = "sb-cli explain mesh.behind says how that ends.";
            Box::new(Problem::refused("mesh.accept.other_store", error.to_string()).hint(hint))
        })?;
        let operation = new_operation(fresh_id(), "accept-key", &by.name, &[]);
        let Some(asked) = asked else {
            return Ok(self.done(operation, format!("`{name}` is known by {key} already")).await);
        };
        if request.dry_run {
            return Ok(planned(operation, format!("all would know `{name}` by {key}")));
        }
        self.propose(asked).await?;
        Ok(self.done(operation, format!("all know `{name}` by {key}, and by no other key")).await)
    }

    /// A server that is heard would be cut off by a wrong word; its key is replaced by itself.
    fn gates_of_acceptance(
        &self,
        status: &Status,
        mesh: &Knowledge,
        server: &Server,
        key: &PublicKey,
    ) -> Vec<Gate> {
        let own = server.name == self.me.name;
        let heard = mesh.last_heard(&server.name, Instant::now());
        let silent = heard.is_none_or(|ago| ago >= Duration::from_secs(SILENT_SECONDS_MIN));
        let observed = match heard {
            _ if own => "it is the one that is asked".to_owned(),
            None => "it is not heard".to_owned(),
            Some(ago) => format!("heard {} s ago", ago.as_secs()),
        };
        let owner = mesh.other_owner(key, &server.name, &self.me.name);
        let used = owner.as_ref().map_or_else(|| "nobody's".to_owned(), |owner| format!("that of `{owner}`"));
        let mut gates = self.common_gates(status, None);
        gates.retain(|gate| gate.name == "store");
        let limit = format!("not heard for {SILENT_SECONDS_MIN} s, by nobody");
        gates.push(gate("silent", &observed, &limit, silent && !own));
        gates.push(gate("key", &used, "nobody else's", owner.is_none()));
        gates
    }
}
