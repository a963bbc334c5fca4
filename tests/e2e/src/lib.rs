//! Runs end-to-end cases one after another inside a lab of their own.
//!
//! The standard test harness starts threads before a test is asked anything, and a program with threads cannot
//! move into other namespaces. So each test program here has a `main` of one line that calls [`run`]; arguments
//! and output are those of the standard harness, as far as they are used.
//!
//! Six servers on whatever machine this is may miss a limit of time, or come into the order of events that a case did not
//! mean. So a case that fails is run a second time, on new servers, and said to be flaky when it passes then. A promise of
//! the product is kept every time or not at all: what breaks one says so with [`promise!`], and fails at once.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this crate is a test harness")]

mod condition;
pub mod postgres;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

pub use condition::{eventually, throughout};

use sb_lab::options::{LabOptions, Mesh, Storage};
use sb_lab::stage::{Inside, Interrupt, Stage, launch_attended};

/// As a shell reports a program that was interrupted.
const INTERRUPTED: i32 = 130;

/// How the lab of a case is built that does not ask for more: without the mesh, which costs processor time and belongs to
/// the agent's process, so that what a fault of the agent does to everything else would not show.
#[must_use]
pub fn plain_lab() -> LabOptions {
    LabOptions { mesh: Mesh::Off, ..LabOptions::default() }
}

/// What a case panics with when a promise of the product was broken.
#[derive(Debug)]
pub struct BrokenPromise;

/// Fails the case at once and for good, where a promise of the product was broken: an acknowledged write is gone, two
/// servers acknowledged at a time, an answer came after its lease.
#[macro_export]
macro_rules! promise {
    ($kept:expr, $($message:tt)+) => {
        if !$kept {
            let place = (file!(), line!());
            ::std::eprintln!("a promise was broken, {}:{}: {}", place.0, place.1, format_args!($($message)+));
            ::std::panic::panic_any($crate::BrokenPromise);
        }
    };
}

/// One test. It fails by panicking.
pub struct Case {
    /// A sentence of fact.
    pub name: &'static str,
    /// What shows it.
    pub body: fn(&Inside),
}

/// Where a test program runs its cases.
pub struct Program {
    /// Cases that need the lab's namespaces. They share one set of namespaces, one after another.
    pub inside: &'static [Case],
    /// Cases that look at a lab from outside.
    pub outside: &'static [OutsideCase],
}

/// A test that runs before any namespace is made.
pub struct OutsideCase {
    /// A sentence of fact.
    pub name: &'static str,
    /// What shows it.
    pub body: fn(),
}

/// What the arguments ask for.
#[derive(Debug, Default)]
struct Wanted {
    filters: Vec<String>,
    list: Option<()>,
}

impl Wanted {
    fn from_arguments(arguments: impl Iterator<Item = String>) -> Self {
        let mut wanted = Self::default();
        for argument in arguments {
            match argument.as_str() {
                "--list" => wanted.list = Some(()),
                flag if flag.starts_with('-') => {}
                filter => wanted.filters.push(filter.to_owned()),
            }
        }
        wanted
    }

    fn includes(&self, name: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| name.contains(filter.as_str()))
    }
}

/// Counts what happened, and prints it as the standard harness does.
#[derive(Debug, Default)]
struct Tally {
    passed: usize,
    /// Passed, but not the first time.
    flaky: Vec<&'static str>,
    failed: Vec<&'static str>,
    filtered: usize,
}

impl Tally {
    fn run(&mut self, wanted: &Wanted, name: &'static str, body: impl Fn()) {
        if !wanted.includes(name) {
            self.filtered += 1;
            return;
        }
        let attempt = || {
            let started = Instant::now();
            catch_unwind(AssertUnwindSafe(&body)).map(|()| started.elapsed().as_secs_f64())
        };
        let first = attempt();
        let again = |payload: &Box<dyn Any + Send>| !payload.is::<BrokenPromise>();
        match first {
            Ok(seconds) => {
                self.passed += 1;
                println!("test {name} ... ok ({seconds:.1} s)");
            }
            Err(payload) if again(&payload) => {
                println!("test {name} ... failed, and broke no promise; once more");
                match attempt() {
                    Ok(seconds) => {
                        self.passed += 1;
                        self.flaky.push(name);
                        println!("test {name} ... ok at the second attempt ({seconds:.1} s)");
                    }
                    Err(_) => self.fails(name),
                }
            }
            Err(_) => self.fails(name),
        }
    }

    fn fails(&mut self, name: &'static str) {
        self.failed.push(name);
        println!("test {name} ... FAILED");
    }

    fn finish(self) -> ExitCode {
        for name in &self.flaky {
            println!("flaky: {name}");
        }
        for name in &self.failed {
            println!("failed: {name}");
        }
        let word = if self.failed.is_empty() { "ok" } else { "FAILED" };
        println!(
            "test result: {word}. {} passed; {} failed; 0 ignored; 0 measured; {} filtered out",
            self.passed,
            self.failed.len(),
            self.filtered
        );
        ExitCode::from(u8::from(!self.failed.is_empty()))
    }
}

/// Runs a test program: its outside cases here, its inside cases in namespaces of their own.
#[must_use]
pub fn run(program: &Program) -> ExitCode {
    let wanted = Wanted::from_arguments(std::env::args().skip(1));
    if wanted.list.is_some() {
        for name in
            program.outside.iter().map(|case| case.name).chain(program.inside.iter().map(|case| case.name))
        {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    match Stage::now() {
        Stage::Inside(inside) => {
            end_when_interrupted(inside.interrupt());
            let mut tally = Tally::default();
            for case in program.inside {
                tally.run(&wanted, case.name, || (case.body)(&inside));
            }
            tally.finish()
        }
        Stage::Outside => run_outside(program, &wanted),
    }
}

/// A case may take a minute; the person who interrupts it does not wait for its end.
#[allow(clippy::exit, reason = "this is the test program's own decision, with nothing left to put in order")]
fn end_when_interrupted(mut interrupt: Interrupt) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    std::thread::spawn(move || {
        runtime.block_on(interrupt.pulled());
        eprintln!("interrupted; nothing is left behind");
        std::process::exit(INTERRUPTED);
    });
}

fn run_outside(program: &Program, wanted: &Wanted) -> ExitCode {
    let mut tally = Tally::default();
    for case in program.outside {
        tally.run(wanted, case.name, case.body);
    }
    let goes_inside = program.inside.iter().any(|case| wanted.includes(case.name));
    let here = if program.outside.is_empty() && goes_inside { ExitCode::SUCCESS } else { tally.finish() };
    if !goes_inside {
        return here;
    }
    let inside = launch_attended(&Storage::Memory).unwrap_or_else(|error| {
        eprintln!("error: {error}\nhint: {}", error.hint());
        ExitCode::FAILURE
    });
    if here == ExitCode::SUCCESS { inside } else { here }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// How often a case is run whose attempts end in `outcomes`, and what is said of it.
    fn told(outcomes: &[fn()]) -> (usize, Tally) {
        let (attempts, mut tally) = (Cell::new(0), Tally::default());
        tally.run(&Wanted::default(), "a_case", || {
            let at = attempts.replace(attempts.get() + 1);
            outcomes[at]();
        });
        (attempts.get(), tally)
    }

    #[test]
    fn a_case_that_fails_once_is_flaky_and_twice_has_failed() {
        let (attempts, tally) = told(&[|| panic!("too slow"), || {}]);
        assert_eq!((attempts, tally.passed, tally.flaky.len(), tally.failed.len()), (2, 1, 1, 0));
        let (attempts, tally) = told(&[|| panic!("too slow"), || panic!("too slow again")]);
        assert_eq!((attempts, tally.passed, tally.flaky.len(), tally.failed.len()), (2, 0, 0, 1));
    }

    #[test]
    fn a_broken_promise_has_no_second_attempt() {
        let (attempts, tally) = told(&[|| promise!(1 + 1 == 3, "a sum of {}", 3), || {}]);
        assert_eq!((attempts, tally.passed, tally.flaky.len(), tally.failed.len()), (1, 0, 0, 1));
        let (attempts, tally) = told(&[|| promise!(1 == 1, "kept")]);
        assert_eq!((attempts, tally.passed), (1, 1));
    }
}
