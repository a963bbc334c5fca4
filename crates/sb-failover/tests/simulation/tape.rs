//! What the machines of a schedule were told, recorded and played again.

use sb_failover::record::Durability;
use sb_failover::trace::{Follows, Recorder, Replay, StepError, TraceError, read_segment};
use sb_failover::{BootTime, Command, Event, Machine, State};

use crate::invariants;
use crate::profile::Profile;
use crate::world::World;

/// After how many steps a segment ends: short, so that many snapshots are compared.
const SEGMENT_STEPS: usize = 60;
const SCHEDULES: u64 = 25;

/// The segments of one server.
#[derive(Debug, Default)]
pub struct Tape {
    run: u64,
    steps: usize,
    recorder: Option<Recorder>,
    pub segments: Vec<Vec<u8>>,
}

impl Tape {
    pub fn event(&mut self, run: u64, machine: &Machine, event: &Event, now: BootTime) {
        if self.run != run || self.steps >= SEGMENT_STEPS {
            let follows = if self.run == run { Follows::Continues } else { Follows::Start };
            let (recorder, bytes) = Recorder::begin(machine, follows, String::new(), now).unwrap();
            self.segments.push(bytes);
            (self.run, self.steps, self.recorder) = (run, 0, Some(recorder));
        }
        self.steps += 1;
        self.recorder.as_mut().unwrap().event(event, now);
    }

    pub fn end(&mut self, machine: &Machine, commands: &[Command]) {
        let recorder = self.recorder.as_mut().unwrap();
        commands.iter().for_each(|command| recorder.command(command));
        let step = recorder.end(machine).unwrap();
        self.segments.last_mut().unwrap().extend(step);
    }
}

fn recorded(seed: u64, profile: &Profile) -> Vec<Vec<Vec<u8>>> {
    let mut world = World::new(seed, profile.clone(), invariants::all());
    world.servers.iter_mut().for_each(|server| server.tape = Some(Tape::default()));
    world.run();
    world.servers.iter_mut().map(|server| server.tape.take().unwrap().segments).collect()
}

/// Plays segments to their end; how many steps, and who led.
fn played(segments: &[Vec<u8>]) -> Result<(usize, bool), String> {
    let (mut replay, mut steps, mut led) = (Replay::new(), 0, false);
    for bytes in segments {
        replay.enter(read_segment(bytes.clone()).unwrap()).map_err(|diverged| diverged.to_string())?;
        while let Some(step) = replay.step() {
            let step = step.map_err(|failed| failed.to_string())?;
            steps += 1;
            led |= step.after == Some(State::Leading) && step.before != State::Leading;
        }
        assert!(!replay.is_torn());
    }
    Ok((steps, led))
}

#[test]
fn what_was_recorded_of_a_schedule_replays_to_the_same_commands_and_the_same_machine() {
    let (mut steps, mut leaders) = (0, 0);
    for durability in [Durability::Async, Durability::Sync, Durability::Strict] {
        for seed in 0..SCHEDULES {
            for (server, segments) in recorded(seed, &Profile::real(durability).failsafe()).iter().enumerate()
            {
                let (played, led) = played(segments)
                    .unwrap_or_else(|diverged| panic!("{durability:?}, seed {seed}, s{server}: {diverged}"));
                steps += played;
                leaders += usize::from(led);
            }
        }
    }
    assert!(steps > 10_000 && leaders > 50, "{steps} steps, {leaders} leaders");
}

#[test]
fn every_event_and_command_of_a_schedule_can_be_shown_as_json() {
    let mut shown = 0;
    for segments in recorded(3, &Profile::real(Durability::Sync).failsafe()) {
        let mut replay = Replay::new();
        for bytes in segments {
            replay.enter(read_segment(bytes).unwrap()).unwrap();
            while let Some(step) = replay.step() {
                let step = step.unwrap();
                serde_json::to_string(&(step.event, step.commands)).unwrap();
                shown += 1;
            }
        }
    }
    assert!(shown > 100, "{shown} steps");
}

#[test]
fn a_machine_with_another_rule_does_not_replay_what_was_recorded() {
    let mut profile = Profile::real(Durability::Async);
    profile.mutant = Some(sb_failover::mutant::Mutant::CountFromReceipt);
    let diverged = (0..SCHEDULES)
        .flat_map(|seed| recorded(seed, &profile))
        .filter(|segments| played(segments).is_err())
        .count();
    assert!(diverged > 0, "a replay that never diverges proves nothing");
}

#[test]
fn a_segment_cut_at_any_byte_gives_the_steps_before_it() {
    let all = recorded(1, &Profile::real(Durability::Async));
    let bytes = &all[0][0];
    let whole = steps_of(bytes.clone()).unwrap();
    let mut before = 0;
    for end in 0..bytes.len() {
        match steps_of(bytes[..end].to_vec()) {
            Err(error) => assert_eq!((error, before), (TraceError::Empty, 0), "cut at {end}"),
            Ok(steps) => {
                assert!(steps >= before && steps <= SEGMENT_STEPS, "cut at {end}");
                before = steps;
            }
        }
    }
    assert_eq!(before + 1, whole, "only the last step is lost with the last byte");
}

#[test]
fn a_byte_changed_anywhere_is_never_played_as_if_it_were_recorded() {
    let all = recorded(2, &Profile::real(Durability::Async));
    let (bytes, whole) = (&all[0][0], steps_of(all[0][0].clone()).unwrap());
    for at in (0..bytes.len()).step_by(7) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x20;
        // A length that became longer than the rest looks like a torn end: fewer steps, each as it was.
        if let Ok(steps) = steps_of(changed) {
            assert!(steps < whole, "changed at {at}");
        }
    }
}

/// How many steps are played before the end, or why not all.
fn steps_of(segment: Vec<u8>) -> Result<usize, TraceError> {
    let mut replay = Replay::new();
    replay.enter(read_segment(segment)?).unwrap();
    let mut steps = 0;
    while let Some(step) = replay.step() {
        match step {
            Ok(_) => steps += 1,
            Err(StepError::Unread(error)) => return Err(error),
            Err(StepError::Diverged(_, diverged)) => panic!("{diverged}"),
        }
    }
    Ok(steps)
}
