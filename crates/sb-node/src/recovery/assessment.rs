//! What can be seen of a cluster whose store is lost, judged: pure, the same for the plan and for the act.

use std::collections::BTreeSet;
use std::time::Duration;

use sb_api::{Gate, RecoverRequest, RecoveryPlan, RecoveryServer, Role, StoreRole};
use sb_failover::ClusterRecord;
use sb_failover::record::{Standing, missing};
use sb_pgtypes::Position;
use sb_topology::ServerName;

use crate::gates::{bytes, gate};

/// One server, as the one that looks sees it.
#[derive(Debug, Clone)]
pub struct Sight {
    /// Its name.
    pub name: ServerName,
    /// Its site.
    pub site: String,
    /// Whether it answers now.
    pub answers: bool,
    /// How long ago it last answered.
    pub silent: Option<Duration>,
    /// Its part in the store.
    pub store_role: StoreRole,
    /// What its PostgreSQL is.
    pub role: Role,
    /// Whether it may be primary.
    pub promotable: bool,
    /// Where its log ends.
    pub position: Option<Position>,
    /// What its replica says of the last primary.
    pub word: Option<Word>,
}

/// What one replica says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Which store it is of.
    pub generation: u64,
    /// The newest term.
    pub term: u64,
    /// Who held the lease in it.
    pub holder: Option<String>,
    /// Where that server's log ended when it last said so.
    pub position: Option<Position>,
}

/// Everything that is judged.
#[derive(Debug)]
pub struct Assessment<'a> {
    /// Who looks.
    pub me: &'a ServerName,
    /// Its replica.
    pub record: &'a ClusterRecord,
    /// The voters of the store, as its replica knows them.
    pub voters: &'a BTreeSet<String>,
    /// Whether it hears a majority.
    pub majority: Option<bool>,
    /// Since when it does not.
    pub store_silent: Option<Duration>,
    /// Every server of the topology.
    pub sights: Vec<Sight>,
}

impl Assessment<'_> {
    /// The whole picture, with what going on with each server would mean.
    #[must_use]
    pub fn plan(&self) -> RecoveryPlan {
        let servers: Vec<_> = self.sights.iter().map(|sight| self.server(sight)).collect();
        let sound = |s: &&RecoveryServer| s.answers && !s.gates.is_empty() && s.gates.iter().all(|g| g.ok);
        // Of equals the one that is asked, so that one call is enough.
        let best = servers.iter().filter(sound).min_by_key(|s| (s.at_risk_bytes, s.name != self.me.as_str()));
        let last = self.last_word();
        RecoveryPlan {
            observer: self.me.to_string(),
            gates: self.common_gates(),
            silent: self.silent().iter().map(ToString::to_string).collect(),
            store_silent_seconds: self.store_silent.map(|since| since.as_secs()),
            last_primary: last.and_then(|word| word.holder.clone()),
            term: last.map(|word| word.term),
            last_position: last.and_then(|word| word.position.as_ref()).map(text),
            best: best.map(|server| server.name.clone()),
            unknown: self.unknown(),
            servers,
        }
    }

    /// Every gate of going on with the server that `request` names.
    #[must_use]
    pub fn gates(&self, request: &RecoverRequest) -> Vec<Gate> {
        let mut gates = self.common_gates();
        gates.push(gate("here", self.me.as_str(), &request.to, self.me.as_str() == request.to));
        if let Some(sight) = self.sights.iter().find(|sight| sight.name.as_str() == request.to) {
            gates.extend(self.server_gates(sight));
            let observed = self.at_risk(sight).map_or_else(|| "unknown".to_owned(), bytes);
            let accepted = request.accept_data_loss_bytes;
            let ok = self.at_risk(sight).is_some_and(|lost| lost <= accepted);
            gates.push(gate("loss", &observed, &bytes(accepted), ok));
        }
        gates.extend(self.declared(&request.confirm_lost));
        gates
    }

    fn common_gates(&self) -> Vec<Gate> {
        let answering = self.sights.iter().filter(|s| s.answers && self.voters.contains(s.name.as_str()));
        let (answering, voters) = (answering.count(), self.voters.len());
        let needed = voters / 2 + 1;
        let observed = match self.majority {
            Some(true) => "the store has one".to_owned(),
            Some(false) | None => format!("{answering} of {voters} voters answer"),
        };
        let lost = voters > 0 && answering < needed && self.majority != Some(true);
        let own = self.record.branch.generation;
        let newer = self.sights.iter().filter_map(|s| Some((&s.name, s.word.as_ref()?.generation)));
        let newer = newer.max_by_key(|(_, generation)| *generation).filter(|(_, newest)| *newest > own);
        let recovered = newer.map_or_else(|| "no".to_owned(), |(name, _)| format!("`{name}` was"));
        vec![
            gate("majority lost", &observed, &format!("fewer than {needed}"), lost),
            gate("recovered already", &recovered, "no", newer.is_none()),
        ]
    }

    fn server(&self, sight: &Sight) -> RecoveryServer {
        RecoveryServer {
            name: sight.name.to_string(),
            site: sight.site.clone(),
            answers: sight.answers,
            silent_seconds: sight.silent.filter(|_| !sight.answers).map(|since| since.as_secs()),
            store_role: sight.store_role,
            role: sight.role,
            position: sight.position.as_ref().map(text),
            at_risk_bytes: self.at_risk(sight),
            gates: if sight.answers { self.server_gates(sight) } else { Vec::new() },
        }
    }

    fn server_gates(&self, sight: &Sight) -> Vec<Gate> {
        let yes = |it: bool| if it { "yes" } else { "no" };
        let standing = sight.position.as_ref().and_then(|position| self.record.standing(position));
        let line = match standing {
            Some(Standing::InForce | Standing::Unrecorded) => "yes",
            Some(Standing::Diverged) => "it has left it",
            None => "unknown",
        };
        let known = self.record.members.contains_key(&sight.name);
        let ahead = self.ahead_of(sight);
        let observed = if ahead.is_empty() { "no server that answers".to_owned() } else { ahead.join(", ") };
        vec![
            gate("answers", yes(sight.answers), "yes", sight.answers),
            gate("promotable", yes(sight.promotable && known), "yes", sight.promotable && known),
            gate("standby", sight.role.word(), "standby", sight.role == Role::Standby),
            gate("on the cluster's line", line, "yes", line == "yes"),
            gate("has more log", &observed, "no server that answers", ahead.is_empty()),
        ]
    }

    /// Servers that answer and have, or may have, log that this one lacks.
    fn ahead_of(&self, sight: &Sight) -> Vec<String> {
        let others = self.sights.iter().filter(|s| s.answers && s.promotable && s.name != sight.name);
        // A copy that is being made holds nothing that was ever confirmed here.
        let others = others.filter(|s| s.role != Role::Cloning);
        others.filter_map(|other| self.has_more(other, sight)).collect()
    }

    fn has_more(&self, other: &Sight, sight: &Sight) -> Option<String> {
        let name = &other.name;
        let Some(theirs) = &other.position else {
            return Some(format!("`{name}`: unknown"));
        };
        if self.record.standing(theirs) == Some(Standing::Diverged) {
            return None;
        }
        match missing(sight.position.as_ref()?, theirs) {
            Some(0) => None,
            Some(lacks) => Some(format!("`{name}`: {}", bytes(lacks))),
            None => Some(format!("`{name}`: on another line")),
        }
    }

    /// Each server that does not answer must be declared lost, and no other.
    fn declared(&self, confirmed: &[String]) -> Vec<Gate> {
        let silent = self.silent();
        let is_silent = |name: &str| silent.iter().any(|server| server.as_str() == name);
        let answering: Vec<_> = confirmed.iter().filter(|name| !is_silent(name)).cloned().collect();
        let forgotten = silent.iter().filter(|server| !confirmed.iter().any(|name| name == server.as_str()));
        let forgotten: Vec<_> = forgotten.map(ToString::to_string).collect();
        let list = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        vec![
            gate("declared lost and not silent", &list(&answering), "none", answering.is_empty()),
            gate("silent and not declared lost", &list(&forgotten), "none", forgotten.is_empty()),
        ]
    }

    fn silent(&self) -> Vec<&ServerName> {
        self.sights.iter().filter(|sight| !sight.answers).map(|sight| &sight.name).collect()
    }

    /// The newest that anybody who answers knows of the last primary.
    fn last_word(&self) -> Option<&Word> {
        let words = self.sights.iter().filter(|sight| sight.answers).filter_map(|s| s.word.as_ref());
        words.max_by_key(|word| (word.term, word.position.as_ref().map(|position| position.flushed)))
    }

    fn at_risk(&self, sight: &Sight) -> Option<u64> {
        missing(sight.position.as_ref()?, self.last_word()?.position.as_ref()?)
    }

    fn unknown(&self) -> Vec<String> {
        let mut unknown = Vec::new();
        if let Some(word) = self.last_word() {
            let primary = word.holder.as_deref().unwrap_or("the last primary");
            let silent = self.silent().iter().any(|server| server.as_str() == primary);
            if silent {
                unknown.push(format!(
                    "what `{primary}` wrote after it last said where its log ends, until its lease ended: nobody who \
                     answers has seen that"
                ));
            }
            let term = word.term;
            unknown.push(format!(
                "whether the silent servers agreed on a term after {term}: then a server among them was primary since"
            ));
        }
        if self.record.sync.durability.is_synchronous() {
            unknown.push(
                "whether a commit that was confirmed to a client was, besides on the primary, on silent servers only"
                    .to_owned(),
            );
        }
        unknown.push(
            "whether the silent servers are gone: if a majority of the old store's voters comes back and reaches none of \
             the servers that go on, they are a second cluster"
                .to_owned(),
        );
        unknown
    }
}

fn text(position: &Position) -> String {
    format!("{}@{}", position.lineage.current(), position.flushed)
}

#[cfg(test)]
mod tests {
    use sb_failover::Term;
    use sb_failover::record::LineageInForce;
    use sb_pgtypes::{Lineage, Lsn, TimelineId};

    use super::*;

    const LAST: u64 = 0x9000;

    fn at(lsn: u64) -> Position {
        Position { lineage: Lineage::first(), flushed: Lsn::new(lsn) }
    }

    fn sight(name: &str, answers: bool, lsn: u64) -> Sight {
        let word = Word { generation: 0, term: 4, holder: Some("ravena-1".into()), position: Some(at(LAST)) };
        Sight {
            name: name.parse().unwrap(),
            site: name.split('-').next().unwrap_or_default().to_owned(),
            answers,
            silent: None,
            store_role: StoreRole::Voter,
            role: Role::Standby,
            promotable: true,
            position: answers.then(|| at(lsn)),
            word: answers.then_some(word),
        }
    }

    struct Scene {
        me: ServerName,
        record: ClusterRecord,
        voters: BTreeSet<String>,
        sights: Vec<Sight>,
        majority: Option<bool>,
    }

    impl Scene {
        /// Three of five are silent, the last primary among them; `nantucket-1` looks.
        fn new() -> Self {
            let mut record = ClusterRecord::default();
            let member = |site: &str| sb_failover::record::Member {
                incarnation: sb_failover::Incarnation::new(1),
                site: site.parse().unwrap(),
                priority: 0,
                promotable: true,
                sync_eligible: false,
            };
            let names = ["ravena-1", "burlington-1", "montpelier-1", "nantucket-1", "tucson-1"];
            for name in names {
                record.members.insert(name.parse().unwrap(), member(name.split('-').next().unwrap()));
            }
            record.lineage = Some(LineageInForce::promoted(Term::new(4), Lineage::first()));
            let sights = vec![
                sight(names[0], false, 0),
                sight(names[1], false, 0),
                sight(names[2], false, 0),
                sight(names[3], true, 0x8000),
                sight(names[4], true, 0x7000),
            ];
            let voters = names.map(String::from).into();
            Self { me: names[3].parse().unwrap(), record, voters, sights, majority: Some(false) }
        }

        fn assess<T>(&self, look: impl FnOnce(&Assessment<'_>) -> T) -> T {
            look(&Assessment {
                me: &self.me,
                record: &self.record,
                voters: &self.voters,
                majority: self.majority,
                store_silent: Some(Duration::from_secs(90)),
                sights: self.sights.clone(),
            })
        }

        /// The gates that are not passed.
        fn refused(&self, request: &RecoverRequest) -> Vec<String> {
            let gates = self.assess(|assessment| assessment.gates(request));
            gates.into_iter().filter(|gate| !gate.ok).map(|gate| gate.name).collect()
        }
    }

    fn request() -> RecoverRequest {
        RecoverRequest {
            to: "nantucket-1".into(),
            confirm_lost: ["ravena-1", "burlington-1", "montpelier-1"].map(String::from).to_vec(),
            accept_data_loss_bytes: LAST - 0x8000,
            dry_run: false,
            expect_primary: None,
        }
    }

    #[test]
    fn the_plan_names_the_bytes_the_silent_and_the_best() {
        let plan = Scene::new().assess(|assessment| assessment.plan());
        assert_eq!(plan.best.as_deref(), Some("nantucket-1"));
        assert_eq!(plan.silent, ["ravena-1", "burlington-1", "montpelier-1"]);
        assert_eq!(plan.last_primary.as_deref(), Some("ravena-1"));
        assert_eq!(plan.last_position.as_deref(), Some("1@0/9000"));
        let at_risk: Vec<_> = plan.servers.iter().map(|server| server.at_risk_bytes).collect();
        assert_eq!(at_risk, [None, None, None, Some(0x1000), Some(0x2000)]);
        assert!(plan.unknown.iter().any(|sentence| sentence.contains("`ravena-1` wrote after")));
    }

    #[test]
    fn what_passes_every_gate_is_let_through() {
        assert_eq!(Scene::new().refused(&request()), [""; 0]);
    }

    #[test]
    fn a_majority_that_answers_is_not_lost() {
        let mut scene = Scene::new();
        scene.sights[2] = sight("montpelier-1", true, 0x8000);
        let refused = scene.refused(&request());
        assert_eq!(refused, ["majority lost", "declared lost and not silent"]);
        let mut scene = Scene::new();
        scene.majority = Some(true);
        assert_eq!(scene.refused(&request()), ["majority lost"]);
    }

    #[test]
    fn the_servers_declared_lost_are_exactly_the_silent_ones() {
        let scene = Scene::new();
        let short = RecoverRequest { confirm_lost: vec!["ravena-1".into()], ..request() };
        assert_eq!(scene.refused(&short), ["silent and not declared lost"]);
        let mut wrong = request();
        wrong.confirm_lost.push("tucson-1".into());
        assert_eq!(scene.refused(&wrong), ["declared lost and not silent"]);
    }

    #[test]
    fn a_server_with_less_log_than_another_that_answers_is_refused() {
        let mut scene = Scene::new();
        scene.me = "tucson-1".parse().unwrap();
        let other = RecoverRequest { to: "tucson-1".into(), accept_data_loss_bytes: u64::MAX, ..request() };
        assert_eq!(scene.refused(&other), ["has more log"]);
        scene.sights[3].position = None;
        assert_eq!(scene.refused(&other), ["has more log"], "what is unknown may be more");
        scene.sights[3].role = Role::Cloning;
        assert_eq!(scene.refused(&other), [""; 0]);
    }

    #[test]
    fn a_larger_loss_an_unknown_one_and_another_line_are_refused() {
        let mut scene = Scene::new();
        let less = RecoverRequest { accept_data_loss_bytes: 0xfff, ..request() };
        assert_eq!(scene.refused(&less), ["loss"]);
        let other_line = Lineage::first().forked(Lsn::new(0x6000), TimelineId::try_from(2).unwrap()).unwrap();
        scene.record.lineage.as_mut().unwrap().lineage = other_line;
        assert!(scene.refused(&request()).contains(&"on the cluster's line".to_owned()));
        scene.sights[3].position = None;
        assert!(scene.refused(&request()).contains(&"loss".to_owned()));
    }

    #[test]
    fn a_store_that_was_recovered_elsewhere_is_not_recovered_again() {
        let mut scene = Scene::new();
        scene.sights[4].word.as_mut().unwrap().generation = 1;
        assert_eq!(scene.refused(&request()), ["recovered already"]);
    }

    #[test]
    fn only_the_server_that_goes_on_is_asked() {
        let mut scene = Scene::new();
        scene.me = "tucson-1".parse().unwrap();
        assert_eq!(scene.refused(&request()), ["here"]);
    }
}
