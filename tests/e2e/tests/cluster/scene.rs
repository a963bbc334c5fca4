//! A lab on which a case can act and wait. Every wait has a limit, and tells what it saw.
#![allow(clippy::print_stdout, reason = "this is part of a test harness")]

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use sb_api::Event;
use sb_e2e::{plain_lab, promise};
use sb_lab::demo::{Frame, Limits, Outcome, Screen, play, table};
use sb_lab::fault::{Fault, Part, Target};
use sb_lab::lab::Lab;
use sb_lab::options::{Durability, LabOptions, Scenario};
use sb_lab::picture::Picture;
use sb_lab::place::Place;
use sb_lab::recorder::{Access, Findings, Ledger, Recorder, RecorderPlan, check};
use sb_lab::stage::Inside;

pub const UP: Duration = Duration::from_secs(180);
pub const FAILOVER: Duration = Duration::from_secs(60);
pub const REJOIN: Duration = Duration::from_secs(120);

const REPLAY: Duration = Duration::from_secs(20);

/// Six agents are asked each time; they have other things to do.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

thread_local! {
    /// The cluster that the case before has left whole.
    static LEFT: RefCell<Option<Scene>> = const { RefCell::new(None) };
}

/// A lab for one case or for some that follow each other. Dropping it ends its servers and removes their files.
pub struct Scene {
    name: &'static str,
    runtime: tokio::runtime::Runtime,
    options: LabOptions,
    lab: Lab,
}

impl Scene {
    /// A lab whose servers are switched off.
    pub fn set(inside: &Inside, name: &'static str, durability: Durability) -> Self {
        Self::set_with(inside, name, LabOptions { durability, ..plain_lab() })
    }

    /// The same, built in another way than by default.
    pub fn set_with(inside: &Inside, name: &'static str, options: LabOptions) -> Self {
        // Two labs at once have no room on a small machine.
        LEFT.set(None);
        static ROOT: OnceLock<PathBuf> = OnceLock::new();
        let root = ROOT.get_or_init(|| inside.mount().expect("mounts")).join(name);
        std::fs::create_dir_all(&root).expect("a directory");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let guard = runtime.enter();
        let lab = Lab::build(&root, &options)
            .unwrap_or_else(|error| panic!("{error}\nhint: {}", error.hint().unwrap_or_default()));
        drop(guard);
        Self { name, runtime, options, lab }
    }

    /// Runs a case on a cluster whose servers are all up: the one that the case before has left whole, where there
    /// is one of this durability, because to bring up six servers takes longer than most cases. Who is primary is
    /// for the case to find out. A case that fails takes its cluster along.
    pub fn shared(inside: &Inside, name: &'static str, durability: Durability, case: impl FnOnce(&Self)) {
        Self::shared_with(inside, name, LabOptions { durability, ..plain_lab() }, case);
    }

    /// The same, on a cluster that is built in another way than by default.
    pub fn shared_with(inside: &Inside, name: &'static str, options: LabOptions, case: impl FnOnce(&Self)) {
        let left = LEFT.take().filter(|scene| scene.options == options);
        let mut scene = left.unwrap_or_else(|| Self::up(inside, name, options));
        scene.name = name;
        case(&scene);
        scene.until("every server followed the primary again", REJOIN, Picture::whole);
        LEFT.set(Some(scene));
    }

    /// A lab whose servers are all up.
    pub fn up(inside: &Inside, name: &'static str, options: LabOptions) -> Self {
        let scene = Self::set_with(inside, name, options);
        scene.lab.switch_on();
        scene.until("all sites were up", UP, Picture::whole);
        scene
    }

    /// Plays one of the demo's scenarios.
    pub fn play(&self, scenario: Scenario) -> Outcome {
        let mut screen = Lines::default();
        let playing = play(&self.lab, scenario, &self.options, &mut screen, Limits::default());
        self.runtime.block_on(playing).unwrap_or_else(|error| {
            let seen = screen.0.join("\n");
            panic!("{error}\n{seen}\n{}", self.kept_logs())
        })
    }

    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    pub fn act(&self, fault: &Fault) {
        self.lab.apply(fault).unwrap_or_else(|error| panic!("{fault}: {error}"));
    }

    pub fn kill_host(&self, place: Place) {
        self.act(&Fault::Kill(place.into(), Part::Host));
    }

    pub fn return_host(&self, place: Place) {
        self.act(&Fault::Return(Target::from(place)));
    }

    pub fn picture(&self) -> Picture {
        self.runtime.block_on(Picture::take(&self.lab))
    }

    pub fn primary(&self) -> Place {
        self.picture().primary().map(|server| server.place).expect("a primary")
    }

    pub fn term(&self) -> u64 {
        self.picture().term().expect("a term")
    }

    /// A server that is not primary: the one farthest down the order of preference.
    pub fn standby(&self) -> Place {
        let primary = self.primary();
        self.lab.databases().filter(|place| *place != primary).last().expect("more servers than one")
    }

    /// The journal of a server.
    pub fn events(&self, place: Place) -> Vec<Event> {
        self.runtime.block_on(self.lab.agents().events(place, 0)).expect("events")
    }

    pub fn wait_for<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Waits until the picture is as wanted.
    pub fn until(&self, what: &str, limit: Duration, done: impl Fn(&Picture) -> bool) {
        let began = Instant::now();
        loop {
            let picture = self.picture();
            if done(&picture) {
                return println!("  {:.1} s until {what}", began.elapsed().as_secs_f64());
            }
            if began.elapsed() > limit {
                panic!(
                    "waited {limit:?} until {what}, in vain\n{}\n{}",
                    table(&picture).join("\n"),
                    self.kept_logs()
                );
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Clients on this plan, which have written a few rows already.
    pub fn write(&self, primary: Place, plan: RecorderPlan) -> Recorder {
        let create = move |access: Access| async move { access.create_table(primary).await };
        let created = self.runtime.block_on(self.lab.client(Place::OFFICE, create)).expect("a client");
        created.expect("the table");
        let recorder = self.lab.record(plan).expect("clients");
        self.written(&recorder, 50);
        recorder
    }

    /// Waits until so many more writes are acknowledged.
    pub fn written(&self, recorder: &Recorder, more: usize) {
        let wanted = recorder.acknowledged() + more;
        self.until("clients could write", FAILOVER, |_| recorder.acknowledged() >= wanted);
    }

    /// Ends the clients and fails unless a server gets to have every row that they were promised. Returns their book.
    pub fn nothing_is_lost_after(&self, recorder: Recorder, on: Place) -> Ledger {
        let ledger = recorder.finish();
        self.nothing_is_lost_of(&ledger, on);
        ledger
    }

    /// Fails unless a server gets to have every row that is promised in a client's book.
    pub fn nothing_is_lost_of(&self, ledger: &Ledger, on: Place) {
        assert!(ledger.acknowledged() > 0, "nothing was acknowledged, so nothing was shown");
        let began = Instant::now();
        loop {
            let findings = self.compare(ledger, on);
            // A standby may still be replaying; a row too many does not go away.
            if findings.clean() {
                return;
            }
            promise!(
                findings.invented_nothing() && began.elapsed() < REPLAY,
                "`{on}`: {findings:?}\n{}",
                self.kept_logs()
            );
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Whether a server has every row that is in the book, and none that nobody wrote.
    pub fn has_every_row(&self, ledger: &Ledger, on: Place) -> bool {
        self.compare(ledger, on).clean()
    }

    fn compare(&self, ledger: &Ledger, on: Place) -> Findings {
        let read = move |access: Access| async move { access.read_rows(on).await };
        let rows = self.runtime.block_on(self.lab.client(Place::OFFICE, read)).expect("a client");
        check(ledger, rows.expect("rows"))
    }

    pub fn kept_logs(&self) -> String {
        match self.lab.keep_logs(self.name) {
            Ok(kept) => format!("logs: {}", kept.display()),
            Err(error) => format!("the logs could not be kept: {error}"),
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Err(error) = self.lab.clear_away() {
            println!("  the lab `{}` was not cleared away: {error}", self.name);
        }
    }
}

/// Keeps the lines of the story for a failure.
#[derive(Default)]
struct Lines(Vec<String>);

impl Screen for Lines {
    fn say(&mut self, line: &str) {
        self.0.push(line.to_owned());
    }

    fn show(&mut self, _frame: &Frame<'_>) {}
}
