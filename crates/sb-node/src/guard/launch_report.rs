//! What a forked child tells the guard on its way to the program, through a pipe that closes when it is there.

use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

use super::messages::Refusal;

/// What the child said before the pipe closed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// Nothing yet.
    Pending,
    /// The program runs.
    Runs { leftovers_killed: u32 },
    /// It does not, and the child has ended.
    Failed(Refusal),
}

/// What the child does, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Session,
    Scheduling,
    ControlGroup,
    Groups,
    User,
    Capabilities,
    DeathSignal,
    Parent,
    DataDirectory,
    Output,
    Leftovers,
    StandbySignal,
    Program,
}

impl Step {
    const ALL: [(Step, &'static str); 13] = [
        (Step::Session, "begin a session"),
        (Step::Scheduling, "leave real-time scheduling"),
        (Step::ControlGroup, "enter the control group"),
        (Step::Groups, "change groups"),
        (Step::User, "change the user"),
        (Step::Capabilities, "drop capabilities"),
        (Step::DeathSignal, "ask for a signal at the guard's death"),
        (Step::Parent, "find the guard alive"),
        (Step::DataDirectory, "enter the data directory"),
        (Step::Output, "open the log file"),
        (Step::Leftovers, "end the backends of a former life"),
        (Step::StandbySignal, "find `standby.signal`, without which it would start writable"),
        (Step::Program, "run the program"),
    ];
}

/// The child's word through the pipe; small enough to arrive in one piece.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    /// A [`Step`] that failed, or [`Record::LEFTOVERS`].
    pub kind: u32,
    /// The error number, or how many.
    pub value: u32,
}

impl Record {
    const BYTES: usize = 8;
    pub const LEFTOVERS: u32 = u32::MAX;
}

/// Reads what the child has said. The pipe does not block.
pub(super) fn read_report(report: &OwnedFd, leftovers_killed: &mut u32) -> Report {
    let mut file = match report.try_clone() {
        Ok(copy) => std::fs::File::from(copy),
        Err(error) => return Report::Failed(failed("read its report", &error)),
    };
    let mut bytes = [0; Record::BYTES];
    loop {
        match file.read(&mut bytes) {
            Ok(0) => return Report::Runs { leftovers_killed: *leftovers_killed },
            Ok(Record::BYTES) => {}
            Ok(_) => return Report::Failed(failed("read its report", &"it is cut short")),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Report::Pending,
            Err(error) => return Report::Failed(failed("read its report", &error)),
        }
        let [k0, k1, k2, k3, v0, v1, v2, v3] = bytes;
        let record = Record {
            kind: u32::from_ne_bytes([k0, k1, k2, k3]),
            value: u32::from_ne_bytes([v0, v1, v2, v3]),
        };
        if record.kind != Record::LEFTOVERS {
            return Report::Failed(explain(record));
        }
        *leftovers_killed = record.value;
    }
}

fn explain(record: Record) -> Refusal {
    let step = Step::ALL.iter().find(|(step, _)| *step as u32 == record.kind);
    let errno = Errno::from_raw(i32::try_from(record.value).unwrap_or(0));
    failed(step.map_or("do something unknown", |(_, text)| text), &errno.desc())
}

fn failed(step: &str, reason: &dyn std::fmt::Display) -> Refusal {
    Refusal::StartFailed { step: format!("could not {step}"), reason: reason.to_string() }
}

pub(super) fn send_report(pipe: &OwnedFd, record: Record) {
    let [k0, k1, k2, k3] = record.kind.to_ne_bytes();
    let [v0, v1, v2, v3] = record.value.to_ne_bytes();
    // Without a reader there is nobody to tell.
    let _ = write_all(pipe.as_fd().as_raw_fd(), &[k0, k1, k2, k3, v0, v1, v2, v3]);
}

/// One system call, for what fits in one.
pub(super) fn write_all(fd: RawFd, bytes: &[u8]) -> nix::Result<()> {
    // SAFETY: pointer and length are those of one slice.
    Errno::result(unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) }).map(drop)
}

#[cfg(test)]
mod tests {
    use nix::fcntl::OFlag;
    use nix::unistd::pipe2;

    use super::*;

    #[test]
    fn every_step_has_its_words() {
        for (index, (step, _)) in Step::ALL.iter().enumerate() {
            assert_eq!(*step as usize, index);
        }
    }

    #[test]
    fn a_report_names_the_step_and_the_reason() {
        let (reader, writer) = pipe2(OFlag::O_NONBLOCK).unwrap();
        let mut killed = 0;
        assert_eq!(read_report(&reader, &mut killed), Report::Pending);
        send_report(&writer, Record { kind: Record::LEFTOVERS, value: 3 });
        send_report(&writer, Record { kind: Step::User as u32, value: Errno::EPERM as u32 });
        let refusal = Refusal::StartFailed {
            step: "could not change the user".to_owned(),
            reason: "Operation not permitted".to_owned(),
        };
        assert_eq!(read_report(&reader, &mut killed), Report::Failed(refusal));
        assert_eq!(killed, 3);
        drop(writer);
        assert_eq!(read_report(&reader, &mut killed), Report::Runs { leftovers_killed: 3 });
    }
}
