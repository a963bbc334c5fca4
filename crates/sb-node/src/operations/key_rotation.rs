//! How the replacement of this server's WireGuard key goes on, as an operation.

use sb_api::{OperationState, Problem, StepState};
use sb_wireguard::rotation::Step;

use super::{Mark, Tracked, finish};
use crate::mesh::KeyStanding;

/// Whether something changed. Which key the server has in the end says how it ended, also after a restart.
pub(super) fn note(tracked: &mut Tracked, standing: &KeyStanding) -> bool {
    let Mark::KeyRotation { key } = &tracked.mark else { return false };
    let Some(own) = standing.key.map(|own| own.to_string()) else { return false };
    match standing.going {
        Some((new, step)) if new.to_string() == *key => return reach(tracked, step),
        Some(_) | None => {}
    }
    if own == *key {
        tracked.operation.result = Some(match standing.sessions_ms {
            Some(ms) => {
                format!("the server's public key is {own}; every session was made anew within {ms} ms")
            }
            None => format!("the server's public key is {own}"),
        });
        finish(&mut tracked.operation, OperationState::Done, StepState::Done);
    } else {
        let problem = Problem::refused("mesh.rotation.not_done", "the server keeps the key that it had")
            .detail(format!("Its public key is {own}."))
            .hint("The journal says why: sb-cli events");
        tracked.operation.problem = Some(problem);
        finish(&mut tracked.operation, OperationState::Failed, StepState::Failed);
    }
    tracked.mark = Mark::Ended;
    true
}

fn reach(tracked: &mut Tracked, step: Step) -> bool {
    let reached = match step {
        Step::Announce => 0,
        Step::Swap => 1,
        Step::Finish => 2,
        // On the way back; how it ended is told then.
        Step::TurnBack | Step::Withdraw => return false,
    };
    let before: Vec<_> = tracked.operation.steps.iter().map(|step| step.state).collect();
    for (at, step) in tracked.operation.steps.iter_mut().enumerate() {
        step.state = match at.cmp(&reached) {
            std::cmp::Ordering::Less => StepState::Done,
            std::cmp::Ordering::Equal => StepState::Running,
            std::cmp::Ordering::Greater => StepState::Waiting,
        };
    }
    tracked.operation.steps.iter().map(|step| step.state).ne(before)
}

#[cfg(test)]
mod tests {
    use sb_wireguard::PublicKey;

    use super::super::new_operation;
    use super::*;

    const OLD: PublicKey = PublicKey::from_bytes([1; 32]);
    const NEW: PublicKey = PublicKey::from_bytes([2; 32]);

    fn tracked() -> Tracked {
        let steps = ["told", "swapped", "settled"].map(str::to_owned);
        let mark = Mark::KeyRotation { key: NEW.to_string() };
        Tracked { operation: new_operation(7, "rotate-key", "root", &steps), mark }
    }

    fn standing(key: PublicKey, step: Option<Step>) -> KeyStanding {
        KeyStanding { key: Some(key), going: step.map(|step| (NEW, step)), sessions_ms: Some(40) }
    }

    #[test]
    fn the_steps_are_told_as_they_are_reached() {
        let mut tracked = tracked();
        assert!(note(&mut tracked, &standing(OLD, Some(Step::Announce))));
        assert!(!note(&mut tracked, &standing(OLD, Some(Step::Announce))), "nothing new");
        assert!(note(&mut tracked, &standing(NEW, Some(Step::Swap))));
        let states: Vec<_> = tracked.operation.steps.iter().map(|step| step.state).collect();
        assert_eq!(states, [StepState::Done, StepState::Running, StepState::Waiting]);
        assert_eq!(tracked.operation.state, OperationState::Running);
    }

    #[test]
    fn the_key_that_the_server_has_in_the_end_says_how_it_ended() {
        let mut done = tracked();
        assert!(!note(&mut done, &KeyStanding::default()), "nothing is known before the first look");
        assert!(note(&mut done, &standing(NEW, None)));
        assert_eq!(done.operation.state, OperationState::Done);
        assert!(done.operation.result.unwrap().contains("within 40 ms"));
        let mut kept = tracked();
        assert!(note(&mut kept, &standing(OLD, None)));
        assert_eq!(kept.operation.problem.unwrap().code, "mesh.rotation.not_done");
    }
}
