//! Why the cluster or a server is as it is.

use sb_api::{Candidate, ExplainQuery, Explanation, Problem, Refused, explain_code};
use sb_topology::ServerName;

use super::{Agent, manual};
use crate::words;

impl Agent {
    pub(super) async fn explanation(&self, subject: &str) -> Refused<Explanation> {
        match subject {
            "cluster" => self.cluster_explanation(ExplainQuery::default()).await,
            code if explain_code(code).next().is_some() => Ok(of_code(code)),
            name if name == self.me.name.as_str() => Ok(self.explain_self()),
            name => self.explain_other(name).await,
        }
    }

    pub(super) async fn cluster_explanation(&self, query: ExplainQuery) -> Refused<Explanation> {
        let (mut explanation, judged) = tokio::join!(self.cluster_now(), self.judged_anywhere(query));
        if let (Some(term), None) = (query.term, &judged) {
            let title =
                format!("no server that answers remembers how the succession in term {term} was judged");
            let problem = Problem::not_found("explain.no_judgement", title);
            return Err(Box::new(problem.hint("sb-cli history lists the terms.")));
        }
        explanation.judged = judged;
        Ok(explanation)
    }

    async fn cluster_now(&self) -> Explanation {
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
        let candidates = match self.if_primary_were_lost(&status) {
            Some((verdict, candidates)) => {
                details.push(format!("If the primary were lost now: {verdict}."));
                candidates
            }
            None => Vec::new(),
        };
        Explanation {
            subject: "cluster".to_owned(),
            message: status.cluster.verdict.sentence.clone(),
            details,
            next: None,
            hints: manual::hints(&record, &status),
            candidates,
            judged: None,
        }
    }

    fn explain_self(&self) -> Explanation {
        let turn = self.turn.borrow().clone();
        let Some(turn) = turn else {
            return Explanation {
                subject: self.me.name.to_string(),
                message: "the agent is starting".to_owned(),
                ..Explanation::default()
            };
        };
        let gates = turn.explanation.gates.iter().map(words::gate).collect();
        Explanation {
            subject: self.me.name.to_string(),
            message: format!("`{}` is {}", self.me.name, words::state(turn.explanation.state)),
            details: self.own_status().problems,
            next: Some(turn.explanation.next).filter(|next| !next.is_empty()),
            candidates: vec![Candidate::unranked(self.me.name.to_string(), gates)],
            ..Explanation::default()
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
                hints: operation.problem.and_then(|p| p.hint).into_iter().collect(),
                ..Explanation::default()
            });
        }
        let peers = self.peers.look().await;
        let status = self.cluster_status(&peers);
        let unknown =
            || {
                let problem = Problem::not_found(
                    "explain.unknown",
                    format!("there is no server, operation or code `{name}`"),
                );
                Box::new(problem.hint(
                    "sb-cli status names the servers, sb-cli ops the operations, sb-cli events the codes.",
                ))
            };
        let server = status.servers.iter().find(|s| s.name == name).ok_or_else(unknown)?;
        let server_name: ServerName = name.parse().map_err(|_| unknown())?;
        let heard = if server.reachable == Some(true) { "" } else { "; this server does not hear it" };
        Ok(Explanation {
            subject: name.to_owned(),
            message: format!("`{name}` is {}{heard}", server.role.word()),
            details: server.problems.clone(),
            hints: vec![format!("On that server itself: sb-cli explain {name}")],
            candidates: vec![Candidate::unranked(name, self.candidate_gates(&status, &server_name))],
            ..Explanation::default()
        })
    }
}

/// What a code means, for those who have no `sb-cli` at hand.
fn of_code(code: &str) -> Explanation {
    let mut explanation = Explanation { subject: code.to_owned(), ..Explanation::default() };
    for known in explain_code(code) {
        if explanation.message.is_empty() {
            known.meaning.clone_into(&mut explanation.message);
        } else {
            explanation.details.push(known.meaning.to_owned());
        }
        explanation.details.push(format!("It is {}. By itself: {}", known.kind.word(), known.by_itself));
        explanation.hints.push(known.operator.to_owned());
    }
    explanation
}
