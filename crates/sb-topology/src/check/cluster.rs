//! What is checked of the cluster as a whole: who votes, and who can be waited for.

use crate::findings::{Findings, Place};
use crate::load::SITES;
use crate::read::PolicyDraft;
use crate::voters::SITES_FOR_ONE_VOTER_EACH;
use crate::{Durability, Site, SiteRole, StoreKind, Topology};

/// Fewest voters of which one can be lost.
const VOTERS_TO_LOSE_ONE: usize = 3;

/// Checks a topology, which may have come of documents with errors between their values.
pub(crate) fn check_cluster(topology: &Topology, policy: &PolicyDraft, findings: &mut Findings) {
    if topology.sites().is_empty() {
        return;
    }
    let place = Place { file: SITES, pointer: String::new(), line: 1 };
    // Where etcd keeps the record nobody votes.
    if policy.policy.store.kind() == StoreKind::Raft {
        check_voters(topology, &place, findings);
    }
    check_synchronous(topology, policy.durability.as_ref().unwrap_or(&place), findings);
}

fn check_voters(topology: &Topology, place: &Place, findings: &mut Findings) {
    let voters = topology.voters();
    let names: Vec<_> = voters.iter().map(|name| format!("`{name}`")).collect();
    let sites = topology.failure_domains().len();
    if voters.is_empty() {
        findings
            .error(place, "voters.none", "no server votes")
            .hint("Take `\"voter\": false` away from at least three servers at different sites.");
    } else if voters.len() < VOTERS_TO_LOSE_ONE {
        let detail = format!("{}; a majority of them is all of them.", voters_are(&names));
        let message = "the cluster cannot lose one voter";
        if topology.sites().len() >= SITES_FOR_ONE_VOTER_EACH {
            findings
                .error(place, "voters.cannot_lose_one", message)
                .detail(detail)
                .hint("Take `\"voter\": false` away from servers until three sites have a voter.");
        } else {
            findings
                .warning(place, "voters.cannot_lose_one", message)
                .detail(format!("{detail} No server takes over by itself."))
                .hint("Enable servers at three sites; one of them may be a witness (`\"postgres\": false`).");
        }
    } else if sites < SITES_FOR_ONE_VOTER_EACH {
        findings
            .warning(place, "voters.few_sites", "the loss of one site can take the majority away")
            .detail(format!(
                "{}, at {sites} of the 3 sites needed. No server takes over by itself.",
                voters_are(&names)
            ))
            .hint("Add a witness (`\"postgres\": false`) at another site.");
    } else if voters.len().is_multiple_of(2) {
        findings
            .warning(place, "voters.even", "the number of voters is even")
            .detail(format!(
                "{}; {} can be lost, as with one voter less. No server takes over by itself.",
                voters_are(&names),
                (voters.len() - 1) / 2,
            ))
            .hint("Add a witness (`\"postgres\": false`) at another site, or set `\"voter\": false` for one server.");
    }
}

fn voters_are(names: &[String]) -> String {
    match names {
        [one] => format!("The only voter is {one}"),
        _ => format!("The {} voters are {}", names.len(), names.join(", ")),
    }
}

fn check_synchronous(topology: &Topology, place: &Place, findings: &mut Findings) {
    let durability = topology.durability();
    if durability == Durability::Async {
        return;
    }
    let n = usize::from(topology.policy().durability.n);
    let too_few = |site: &Site| {
        let others = topology.sync_servers().filter(|server| server.site != site.name).count();
        let servers = if n == 1 { "server" } else { "servers" };
        let rule =
            format!("`{durability}` needs {n} {servers} with PostgreSQL at other sites that are `sync`");
        (others < n).then(|| format!("Durability {rule}; there are {others}."))
    };
    let primary = topology.sites().iter().find(|site| site.role == SiteRole::Primary);
    if let Some((site, detail)) = primary.and_then(|site| Some((site, too_few(site)?))) {
        findings
            .error(place, "durability.nobody", format!("primary site `{}` has too few to wait for", site.name))
            .detail(detail)
            .hint("Set `\"replicationMode\": \"sync\"` for another site, or choose a smaller `n` or durability `async`.");
        return;
    }
    // In the synchronous modes the next primary is one that was waited for.
    for site in topology.sites().iter().filter(|site| site.is_sync()) {
        if let Some(detail) = too_few(site) {
            let message = format!("once `{}` is primary it has too few to wait for", site.name);
            findings.warning(place, "durability.nobody_after_failover", message).detail(detail).hint(
                "Set `\"replicationMode\": \"sync\"` for another site too; the first primary's counts then.",
            );
        }
    }
}
