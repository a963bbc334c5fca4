//! How new preshared keys go on, as an operation: by what the servers that make them tell everybody.

use sb_api::{MeshPreshared, OperationState, Problem, StepState};
use serde::{Deserialize, Serialize};

use super::{Mark, Tracked, finish};

/// A pair whose key is being replaced, as it stood when that began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresharedPair {
    /// The server that makes the key.
    pub maker: String,
    /// The other one.
    pub taker: String,
    /// How often the pair had been changed.
    pub revision: u64,
    /// By what the key that it had is spoken of.
    pub key: Option<String>,
}

/// Whether something changed. `of` says where the keys stand that a server makes, when it says anything.
pub(super) fn note(tracked: &mut Tracked, of: impl Fn(&str) -> Option<Vec<MeshPreshared>>) -> bool {
    let Mark::Preshared { pairs, left_out } = &tracked.mark else { return false };
    let states: Vec<_> = pairs.iter().map(|pair| state(pair, of(&pair.maker))).collect();
    let before: Vec<_> = tracked.operation.steps.iter().map(|step| step.state).collect();
    for (step, state) in tracked.operation.steps.iter_mut().zip(&states) {
        // What was seen to end has ended, also when its maker is away now.
        if !matches!(step.state, StepState::Done | StepState::Failed) {
            step.state = *state;
        }
    }
    let steps = &tracked.operation.steps;
    if steps.iter().any(|step| !matches!(step.state, StepState::Done | StepState::Failed)) {
        return steps.iter().map(|step| step.state).ne(before);
    }
    let failed: Vec<_> =
        steps.iter().filter(|step| step.state == StepState::Failed).map(|step| step.name.clone()).collect();
    if failed.is_empty() {
        let number = steps.len();
        let pairs =
            if number == 1 { "pair has a new preshared key" } else { "pairs have new preshared keys" };
        tracked.operation.result = Some(format!("{number} {pairs}{left_out}"));
        finish(&mut tracked.operation, OperationState::Done, StepState::Done);
    } else {
        let problem = Problem::refused("mesh.preshared.not_done", "some pairs share what they shared before")
            .detail(format!("{}.", failed.join(", ")))
            .hint("The journal of the first of each pair says why: sb-cli events");
        tracked.operation.problem = Some(problem);
        tracked.operation.state = OperationState::Failed;
    }
    tracked.mark = Mark::Ended;
    true
}

fn state(pair: &PresharedPair, told: Option<Vec<MeshPreshared>>) -> StepState {
    let told = told.and_then(|told| told.into_iter().find(|it| it.peer == pair.taker));
    match told {
        Some(now) if now.revision <= pair.revision => StepState::Waiting,
        Some(now) if now.step.is_some() => StepState::Running,
        Some(now) if now.key != pair.key && now.key.is_some() => StepState::Done,
        Some(_) => StepState::Failed,
        None => StepState::Waiting,
    }
}

#[cfg(test)]
mod tests {
    use sb_api::PresharedStep;

    use super::super::new_operation;
    use super::*;

    fn tracked() -> Tracked {
        let pair = |taker: &str| PresharedPair {
            maker: "burlington-1".into(),
            taker: taker.into(),
            revision: 3,
            key: Some("old".into()),
        };
        let pairs = vec![pair("ravena-1"), pair("tucson-1")];
        let steps = ["one", "other"].map(str::to_owned);
        let operation = new_operation(7, "rotate-preshared", "root", &steps);
        Tracked { operation, mark: Mark::Preshared { pairs, left_out: String::new() } }
    }

    fn told(peer: &str, revision: u64, key: &str, step: Option<PresharedStep>) -> MeshPreshared {
        let (key, peer) = (Some(key.to_owned()), peer.to_owned());
        MeshPreshared { peer, revision, key, age_seconds: None, step, waits: None }
    }

    fn states(tracked: &Tracked) -> Vec<StepState> {
        tracked.operation.steps.iter().map(|step| step.state).collect()
    }

    #[test]
    fn it_is_done_when_every_pair_keeps_a_new_key() {
        let mut tracked = tracked();
        let one = told("ravena-1", 6, "new", None);
        let other = |step, key| told("tucson-1", 5, key, step);
        let under_way = vec![one.clone(), other(Some(PresharedStep::Apply), "old")];
        assert!(note(&mut tracked, |_| Some(under_way.clone())));
        assert_eq!(states(&tracked), [StepState::Done, StepState::Running]);
        assert!(!note(&mut tracked, |_| Some(under_way.clone())), "nothing new");
        note(&mut tracked, |_| None);
        assert_eq!(states(&tracked)[0], StepState::Done, "it has been seen, and its maker is away");
        assert!(note(&mut tracked, |_| Some(vec![one.clone(), other(None, "new")])));
        assert_eq!(tracked.operation.state, OperationState::Done);
    }

    #[test]
    fn a_pair_that_keeps_what_it_had_is_told_by_name() {
        let mut tracked = tracked();
        let back = vec![told("ravena-1", 6, "new", None), told("tucson-1", 6, "old", None)];
        assert!(note(&mut tracked, |_| Some(back.clone())));
        assert_eq!(tracked.operation.state, OperationState::Failed);
        assert_eq!(states(&tracked), [StepState::Done, StepState::Failed]);
        assert!(tracked.operation.problem.unwrap().detail.unwrap().contains("other"));
    }
}
