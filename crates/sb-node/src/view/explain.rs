//! Why the cluster or a server is as it is.

use sb_api::{Candidate, Explanation, Problem, Refused, Role};
use sb_topology::ServerName;

use super::{Agent, manual};
use crate::words;

impl Agent {
    pub(super) async fn explanation(&self, subject: Option<&str>) -> Refused<Explanation> {
        match subject {
            None | Some("cluster") => Ok(self.explain_cluster().await),
            Some(name) if name == self.me.name.as_str() => Ok(self.explain_self()),
            Some(name) => self.explain_other(name).await,
        }
    }

    async fn explain_cluster(&self) -> Explanation {
        let peers = self.peers.look().await;
        let status = self.cluster_status(&peers);
        let record = self.record();
        let mut details = Vec::new();
        if let Some(lease) = &record.lease {
            details.push(format!(
                "The lease of term {} is `{}`'s, renewed {} times.",
                lease.term, lease.holder, lease.seq
            ));
        }
        if let Some(position) = &record.position {
            let timeline = position.lineage.current();
            details.push(format!(
                "The primary's last known position is {} on timeline {timeline}.",
                position.flushed
            ));
        }
        for (server, report) in record.valid_reports() {
            details.push(format!("`{server}` has promised and stands at {}.", report.position.flushed));
        }
        details.extend(status.cluster.degraded.clone());
        details.extend(manual::detail(&record));
        let others = status.servers.iter().filter(|s| s.role != Role::Primary && s.promotable != Some(false));
        let candidates = others.filter_map(|server| {
            let name: ServerName = server.name.parse().ok()?;
            Some(Candidate { server: server.name.clone(), gates: self.candidate_gates(&status, &name) })
        });
        Explanation {
            subject: "cluster".to_owned(),
            message: status.cluster.verdict.sentence.clone(),
            details,
            next: None,
            hints: manual::hints(&record, &status),
            candidates: candidates.collect(),
        }
    }

    fn explain_self(&self) -> Explanation {
        let turn = self.turn.borrow().clone();
        let Some(turn) = turn else {
            return Explanation {
                subject: self.me.name.to_string(),
                message: "the agent is starting".to_owned(),
                details: Vec::new(),
                next: None,
                hints: Vec::new(),
                candidates: Vec::new(),
            };
        };
        let gate = |g: &sb_failover::Gate| sb_api::Gate {
            name: g.name.clone(),
            observed: g.observed.clone(),
            limit: g.limit.clone(),
            ok: g.ok,
        };
        let gates: Vec<sb_api::Gate> = turn.explanation.gates.iter().map(gate).collect();
        Explanation {
            subject: self.me.name.to_string(),
            message: format!("`{}` is {}", self.me.name, words::state(turn.explanation.state)),
            details: self.own_status().problems,
            next: Some(turn.explanation.next).filter(|next| !next.is_empty()),
            hints: Vec::new(),
            candidates: vec![Candidate { server: self.me.name.to_string(), gates }],
        }
    }

    async fn explain_other(&self, name: &str) -> Refused<Explanation> {
        if let Some(operation) = self.operations.one(name, &self.record(), self.writable().await.as_deref()) {
            return Ok(Explanation {
                subject: name.to_owned(),
                message: format!("{} is {:?}", operation.kind, operation.state).to_lowercase(),
                details: operation
                    .result
                    .into_iter()
                    .chain(operation.problem.iter().filter_map(|p| p.detail.clone()))
                    .collect(),
                next: None,
                hints: operation.problem.and_then(|p| p.hint).into_iter().collect(),
                candidates: Vec::new(),
            });
        }
        let peers = self.peers.look().await;
        let status = self.cluster_status(&peers);
        let unknown = || {
            let problem =
                Problem::not_found("explain.unknown", format!("there is no server or operation `{name}`"));
            Box::new(problem.hint("sb-cli status names the servers, sb-cli ops the operations."))
        };
        let server = status.servers.iter().find(|s| s.name == name).ok_or_else(unknown)?;
        let server_name: ServerName = name.parse().map_err(|_| unknown())?;
        let heard = if server.reachable == Some(true) { "" } else { "; this server does not hear it" };
        Ok(Explanation {
            subject: name.to_owned(),
            message: format!("`{name}` is {}{heard}", server.role.word()),
            details: server.problems.clone(),
            next: None,
            hints: vec![format!("On that server itself: sb-cli explain {name}")],
            candidates: vec![Candidate {
                server: name.to_owned(),
                gates: self.candidate_gates(&status, &server_name),
            }],
        })
    }
}
