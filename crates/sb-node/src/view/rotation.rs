//! A person has this server's WireGuard key replaced: gates first, the same for a dry run; whoever keeps the mesh does the rest.

use std::time::Duration;

use sb_api::{Operation, OperationState, Problem, Refused, RotateKeyRequest, Status};

use super::Agent;
use super::requests::{fresh_id, planned};
use crate::gates::{gate, passed};
use crate::http::Caller;
use crate::mesh::{Knowledge, RotateError};
use crate::operations::{Mark, new_operation};
use crate::postgres::chain;

/// A server that has told nothing about the mesh for so long is not there, in milliseconds.
const THERE_MS_MAX: u64 = 6_000;

impl Agent {
    pub(super) async fn request_rotation(
        &self,
        by: &Caller,
        request: RotateKeyRequest,
    ) -> Refused<Operation> {
        let own = &self.me.name;
        if let Some(other) = request.server.filter(|server| server != own.as_str()) {
            let title = format!("cannot replace the WireGuard key of `{other}` from `{own}`");
            let problem = Problem::refused("mesh.rotation.elsewhere", title);
            let hint = format!("Ask that server itself: sb-cli --ssh {other} net rotate-key");
            return Err(Box::new(problem.detail("A private key never leaves its server.").hint(hint)));
        }
        let absent =
            || Box::new(Problem::refused("mesh.absent", format!("the agent of `{own}` keeps no mesh")));
        let mesh = self.mesh.as_ref().ok_or_else(absent)?;
        if request.abandon {
            return self.abandon_rotation(by, mesh).await;
        }
        let peers = self.peers.look().await;
        let gates = self.gates_of_rotation(&self.cluster_status(&peers), mesh);
        passed("mesh.rotation.refused", &format!("cannot replace the WireGuard key of `{own}`"), gates)?;
        let operation = new_operation(fresh_id(), "rotate-key", &by.name, &steps(own.as_str()));
        if request.dry_run {
            let result = format!("`{own}` would have a new WireGuard key; its packets would go on");
            return Ok(planned(operation, result));
        }
        let key = mesh.keys.begin().await.ok_or_else(stopping)?.map_err(|error| problem(&error))?;
        self.operations.begin(operation.clone(), Mark::KeyRotation { key: key.to_string() }).await;
        Ok(Operation { state: OperationState::Running, ..operation })
    }

    async fn abandon_rotation(&self, by: &Caller, mesh: &Knowledge) -> Refused<Operation> {
        mesh.keys.abandon().await.ok_or_else(stopping)?.map_err(|error| problem(&error))?;
        let operation = new_operation(fresh_id(), "abandon-rotation", &by.name, &[]);
        Ok(self.done(operation, format!("`{}` keeps its WireGuard key", self.me.name)).await)
    }

    fn gates_of_rotation(&self, status: &Status, mesh: &Knowledge) -> Vec<sb_api::Gate> {
        let mut gates = self.common_gates(status, None);
        let going = mesh.rotation_of();
        let observed = going.as_ref().map_or_else(|| "none".to_owned(), |of| format!("that of `{of}`"));
        gates.push(gate("rotation", &observed, "none is under way", going.is_none()));
        let there = mesh.heard_within(Duration::from_millis(THERE_MS_MAX));
        gates.push(gate("others", &format!("{there} answer"), "1 or more", there > 0));
        gates
    }
}

fn steps(own: &str) -> [String; 3] {
    [
        "the others are told the new key and add it".to_owned(),
        format!("`{own}` goes over to the new key, and the others move"),
        "the new key takes the old one's place".to_owned(),
    ]
}

fn stopping() -> Box<Problem> {
    Box::new(Problem::unavailable("mesh.absent", "the agent is stopping"))
}

fn problem(error: &RotateError) -> Box<Problem> {
    let refused = |code| Problem::refused(code, chain(error));
    Box::new(match error {
        RotateError::Busy(record) => refused("mesh.rotation.busy")
            .detail(format!("From {} to {}.", record.old, record.new))
            .hint(format!("On `{}`: sb-cli ops", record.server)),
        RotateError::NoneGoesOn => refused("mesh.rotation.none"),
        RotateError::TooLate => refused("mesh.rotation.too_late").hint("Wait for its end: sb-cli ops"),
        RotateError::Files(_) => refused("mesh.rotation.files")
            .hint("Let the agent's user write the directory of the documents: docs/mesh.md"),
    })
}
