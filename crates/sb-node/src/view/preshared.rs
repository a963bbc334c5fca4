//! A person has the preshared keys of pairs replaced: gates first, the same for a dry run. Of each pair the server that is first
//! by name makes the key, so it is asked, whoever the person has asked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sb_api::{
    MeshPreshared, Operation, OperationState, PresharedAnswer, PresharedBegin, PresharedWord, Problem,
    Refused, RotatePresharedRequest,
};
use sb_client::{Client, Target};
use sb_topology::ServerName;
use sb_wireguard::preshared::is_maker;
use sb_wireguard::relay::Pair;

use super::Agent;
use super::requests::{fresh_id, planned};
use crate::gates::{gate, passed};
use crate::http::Caller;
use crate::membership::peer_address;
use crate::mesh::{Knowledge, PresharedError, to_answer, to_word};
use crate::operations::{Mark, PresharedPair, new_operation};
use crate::postgres::chain;

/// A server that has told nothing about the mesh for so long is not there, in milliseconds.
const THERE_MS_MAX: u64 = 6_000;

/// Longest wait for one server to begin, in milliseconds.
const BEGIN_MS_MAX: u64 = 2_000;

/// The other servers of the pairs whose keys a server makes.
type ByMaker = BTreeMap<ServerName, BTreeSet<ServerName>>;

impl Agent {
    pub(super) async fn request_preshared(
        &self,
        by: &Caller,
        request: RotatePresharedRequest,
    ) -> Refused<Operation> {
        let mesh = self.meshed()?;
        if let Some(peer) = &request.forget {
            return self.forget_preshared(by, mesh, peer, request.dry_run).await;
        }
        let pairs = self.pairs(request.of.as_deref(), request.with.as_deref())?;
        if request.abandon {
            return self.abandon_preshared(by, pairs).await;
        }
        let limit = Duration::from_millis(THERE_MS_MAX);
        let own = &self.me.name;
        let (there, mut away): (ByMaker, ByMaker) =
            pairs.into_iter().partition(|(maker, _)| mesh.preshared_of(maker, own, limit).is_some());
        let observed = format!("{} of {}", there.len(), there.len() + away.len());
        let gates = vec![gate("makers", &observed, "1 or more answer", !there.is_empty())];
        passed("mesh.preshared.refused", "cannot replace preshared keys", gates)?;
        if request.dry_run {
            let operation = new_operation(fresh_id(), "rotate-preshared", &by.name, &names(&there));
            let result = format!("each of these pairs would have a new key{}", left_out(&away));
            return Ok(planned(operation, result));
        }
        let begun = self.begin_pairs(there, &mut away).await?;
        let steps: Vec<_> =
            begun.iter().map(|pair| format!("`{}` and `{}`", pair.maker, pair.taker)).collect();
        let operation = new_operation(fresh_id(), "rotate-preshared", &by.name, &steps);
        let mark = Mark::Preshared { pairs: begun, left_out: left_out(&away) };
        self.operations.begin(operation.clone(), mark).await;
        Ok(Operation { state: OperationState::Running, ..operation })
    }

    /// Asks every maker for new keys; whoever does not begin goes to `away`.
    async fn begin_pairs(&self, there: ByMaker, away: &mut ByMaker) -> Refused<Vec<PresharedPair>> {
        let (mut begun, mut refusal) = (Vec::new(), None);
        for (maker, with) in there {
            let pair = |told: MeshPreshared| PresharedPair {
                maker: maker.to_string(),
                taker: told.peer,
                revision: told.revision,
                key: told.key,
            };
            match self.ask_maker(&maker, &with, What::Begin).await {
                Ok(told) => begun.extend(told.into_iter().map(pair)),
                Err(problem) => {
                    refusal = Some(problem);
                    away.insert(maker, with);
                }
            }
        }
        match refusal {
            Some(refusal) if begun.is_empty() => Err(refusal),
            Some(_) | None => Ok(begun),
        }
    }

    async fn abandon_preshared(&self, by: &Caller, pairs: ByMaker) -> Refused<Operation> {
        let (mut ended, mut refusal) = (Vec::new(), None);
        for (maker, with) in &pairs {
            match self.ask_maker(maker, with, What::Abandon).await {
                Ok(told) => {
                    ended.extend(told.into_iter().map(|told| format!("`{maker}` and `{}`", told.peer)))
                }
                Err(problem) => refusal = Some(problem),
            }
        }
        if let (true, Some(refusal)) = (ended.is_empty(), refusal) {
            return Err(refusal);
        }
        let operation = new_operation(fresh_id(), "abandon-preshared", &by.name, &[]);
        Ok(self.done(operation, format!("given up: {}", ended.join(", "))).await)
    }

    async fn forget_preshared(
        &self,
        by: &Caller,
        mesh: &Knowledge,
        peer: &str,
        dry_run: bool,
    ) -> Refused<Operation> {
        let peer = self.server_named(peer)?;
        if peer == self.me.name {
            return Err(Box::new(unknown(format!("`{peer}` shares nothing with itself"))));
        }
        let operation = new_operation(fresh_id(), "forget-preshared", &by.name, &[]);
        if dry_run {
            return Ok(planned(
                operation,
                format!("`{}` would forget what it shares with `{peer}`", self.me.name),
            ));
        }
        mesh.preshared.forget(peer.clone()).await.ok_or_else(stopping)?.map_err(|error| problem(&error))?;
        let result = format!("`{}` has forgotten what it shared with `{peer}`", self.me.name);
        Ok(self.done(operation, result).await)
    }

    pub(super) async fn follow_preshared(
        &self,
        peer: &ServerName,
        word: PresharedWord,
    ) -> Refused<PresharedAnswer> {
        let own = &self.me.name;
        if !is_maker(peer, own) || self.topology.server(peer).is_none() {
            let title = format!("`{peer}` does not make the preshared key that it shares with `{own}`");
            return Err(Box::new(Problem::new(403, "mesh.preshared.not_the_maker", title)));
        }
        let unusable = |_| Box::new(Problem::new(400, "mesh.preshared.unusable", "the word cannot be read"));
        let word = to_word(&word).map_err(unusable)?;
        let mesh = self.meshed()?;
        let followed = mesh.preshared.follow(peer.clone(), word).await.ok_or_else(stopping)?;
        Ok(to_answer(&followed.map_err(|error| problem(&error))?))
    }

    pub(super) async fn begin_preshared_for(
        &self,
        peer: &ServerName,
        request: PresharedBegin,
    ) -> Refused<Vec<MeshPreshared>> {
        tracing::info!(server = %peer, "it asks for new preshared keys");
        let with = request.with.iter().map(|name| self.server_named(name)).collect::<Refused<_>>()?;
        self.begin_here(with, if request.abandon { What::Abandon } else { What::Begin }).await
    }

    /// The pairs that are meant, by who makes their keys.
    fn pairs(&self, of: Option<&str>, with: Option<&str>) -> Refused<ByMaker> {
        let named = |name: Option<&str>| name.map(|name| self.server_named(name)).transpose();
        let (of, with) = (named(of)?, named(with)?);
        let is_meant = |pair: &Pair| {
            let has = |server: &Option<ServerName>| server.as_ref().is_none_or(|it| pair.other(it).is_some());
            has(&of) && has(&with)
        };
        let servers: Vec<_> = self.topology.servers().map(|server| &server.name).collect();
        let every = servers.iter().flat_map(|one| servers.iter().map(move |other| (*one, *other)));
        let mut by_maker = ByMaker::new();
        for pair in
            every.filter(|(one, other)| is_maker(one, other)).map(|(one, other)| Pair::new(one, other))
        {
            if is_meant(&pair) {
                let (maker, taker) = pair.servers();
                by_maker.entry(maker.clone()).or_default().insert(taker.clone());
            }
        }
        if by_maker.is_empty() {
            return Err(Box::new(unknown("there is no such pair of servers".to_owned())));
        }
        Ok(by_maker)
    }

    fn server_named(&self, name: &str) -> Refused<ServerName> {
        let found = name.parse().ok().filter(|name| self.topology.server(name).is_some());
        found.ok_or_else(|| Box::new(unknown(format!("there is no server `{name}`"))))
    }

    async fn ask_maker(
        &self,
        maker: &ServerName,
        with: &BTreeSet<ServerName>,
        what: What,
    ) -> Refused<Vec<MeshPreshared>> {
        if *maker == self.me.name {
            return self.begin_here(with.clone(), what).await;
        }
        let unreachable = |detail: String| {
            let title = format!("`{maker}` does not answer, which makes the preshared keys of some pairs");
            Box::new(Problem::unavailable("mesh.preshared.away", title).detail(detail))
        };
        let server = self.topology.server(maker).expect("the pairs were made of the topology");
        let target = Target::peer(maker.clone(), peer_address(server), &self.peers.credentials());
        let client = Client::new(target.map_err(|error| unreachable(chain(&error)))?);
        let with = with.iter().map(ToString::to_string).collect();
        let request = PresharedBegin { with, abandon: what == What::Abandon };
        let asked = client.deadline(Duration::from_millis(BEGIN_MS_MAX)).begin_preshared(&request).await;
        asked.map_err(|error| match error {
            sb_client::CallError::Problem(problem) => problem,
            error => unreachable(chain(&error)),
        })
    }

    async fn begin_here(&self, with: BTreeSet<ServerName>, what: What) -> Refused<Vec<MeshPreshared>> {
        let secrets = &self.meshed()?.preshared;
        let told = match what {
            What::Begin => secrets.begin(with).await,
            What::Abandon => secrets.abandon(with).await,
        };
        told.ok_or_else(stopping)?.map_err(|error| problem(&error))
    }

    fn meshed(&self) -> Refused<&Knowledge> {
        let absent = || {
            let title = format!("the agent of `{}` keeps no mesh", self.me.name);
            Box::new(Problem::refused("mesh.absent", title))
        };
        self.mesh.as_ref().ok_or_else(absent)
    }
}

/// What the maker of pairs is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Begin,
    Abandon,
}

fn names(pairs: &ByMaker) -> Vec<String> {
    let of = |(maker, with): (&ServerName, &BTreeSet<ServerName>)| {
        with.iter().map(|taker| format!("`{maker}` and `{taker}`")).collect::<Vec<_>>()
    };
    pairs.iter().flat_map(of).collect()
}

/// What is said of pairs that were not begun with.
fn left_out(away: &ByMaker) -> String {
    if away.is_empty() {
        String::new()
    } else {
        format!("; left out, since the first of each does not begin: {}", names(away).join(", "))
    }
}

fn unknown(title: String) -> Problem {
    Problem::not_found("mesh.preshared.unknown", title).hint("sb-cli status lists the servers.")
}

fn stopping() -> Box<Problem> {
    Box::new(Problem::unavailable("mesh.absent", "the agent is stopping"))
}

fn problem(error: &PresharedError) -> Box<Problem> {
    Box::new(match error {
        PresharedError::NoneGoesOn => Problem::refused("mesh.preshared.none", chain(error)),
        PresharedError::File(_) => Problem::refused("mesh.preshared.files", chain(error))
            .hint("Let the agent's user write the directory of the documents: docs/mesh.md"),
    })
}
