//! Every process below the guard, found in `/proc` without allocating.
//!
//! A descendant that forks away from its parent is handed to the guard by the kernel, because the guard is a child
//! subreaper; so the chain of parents of any descendant ends here, and a walk over all processes finds it.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::fs::{AtFlags, Mode, OFlags, RawDir, SeekFrom};

use super::leftovers::file_name;

/// How many processes of the host one walk looks at; those of PostgreSQL are always among the next walk's when
/// earlier ones were killed.
const PROCESSES_MAX: usize = 32 * 1024;
/// Room for the directory entries of one system call.
const DIRECTORY_BYTES: usize = 16 * 1024;
/// A process's `stat` up to its parent: pid, at most 64 bytes of name, state, parent.
const STAT_BYTES: usize = 256;

/// The host's processes at one moment, and which of them descend from the guard.
pub(super) struct Descendants {
    proc_dir: OwnedFd,
    directory: Box<[MaybeUninit<u8>]>,
    processes: Box<[Process]>,
    seen: usize,
}

#[derive(Debug, Clone, Copy)]
struct Process {
    pid: i32,
    parent: i32,
    kin: Kin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kin {
    Stranger,
    Descendant,
}

impl Descendants {
    /// Opens `/proc` and takes all the memory a walk will need.
    pub(super) fn open() -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            proc_dir: rustix::fs::open(c"/proc", flags, Mode::empty())?,
            directory: vec![MaybeUninit::uninit(); DIRECTORY_BYTES].into_boxed_slice(),
            processes: vec![Process { pid: 0, parent: 0, kin: Kin::Stranger }; PROCESSES_MAX]
                .into_boxed_slice(),
            seen: 0,
        })
    }

    /// How many descendants of `ancestor` live, zombies not counted.
    pub(super) fn count(&mut self, ancestor: Pid) -> u32 {
        self.walk(ancestor);
        u32::try_from(self.descendants().count()).unwrap_or(u32::MAX)
    }

    /// Sends `SIGKILL` to every living descendant of `ancestor`, once.
    ///
    /// One that forks between the walk and its signal leaves a child for the next walk; when the guard has no
    /// children left, there is none.
    pub(super) fn kill(&mut self, ancestor: Pid) {
        self.walk(ancestor);
        for process in self.descendants() {
            // Gone by itself in between: that is what was wanted.
            let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
        }
    }

    /// Calls `found` with every other living process that runs a program named `program` in the directory of this
    /// device and inode, as far as the caller may see it.
    pub(super) fn for_each_working_in(
        &mut self,
        directory: (u64, u64),
        program: &[u8],
        mut found: impl FnMut(i32),
    ) {
        self.read_processes();
        let own = Pid::this().as_raw();
        for process in self.processes[..self.seen].iter().filter(|process| process.pid != own) {
            if works_in(&self.proc_dir, process.pid, directory) && runs(&self.proc_dir, process.pid, program)
            {
                found(process.pid);
            }
        }
    }

    fn descendants(&self) -> impl Iterator<Item = &Process> {
        self.processes[..self.seen].iter().filter(|process| process.kin == Kin::Descendant)
    }

    fn walk(&mut self, ancestor: Pid) {
        self.read_processes();
        let processes = &mut self.processes[..self.seen];
        processes.sort_unstable_by_key(|process| process.pid);
        // A child's number may be below its parent's, so one pass in order is not enough.
        while mark_children(processes, ancestor.as_raw()) {}
    }

    fn read_processes(&mut self) {
        self.seen = 0;
        if rustix::fs::seek(&self.proc_dir, SeekFrom::Start(0)).is_err() {
            return;
        }
        let mut entries = RawDir::new(&self.proc_dir, &mut self.directory);
        while let Some(Ok(entry)) = entries.next() {
            let Some(slot) = self.processes.get_mut(self.seen) else { break };
            let name = entry.file_name().to_bytes();
            let Some(pid) = parse_number(name) else { continue };
            if let Some(parent) = living_parent(&self.proc_dir, name) {
                *slot = Process { pid, parent, kin: Kin::Stranger };
                self.seen += 1;
            }
        }
    }
}

/// Marks the children of what is marked; true when a new one was found.
fn mark_children(processes: &mut [Process], ancestor: i32) -> bool {
    let mut found = false;
    for index in 0..processes.len() {
        let Process { parent, kin, .. } = processes[index];
        if kin == Kin::Stranger && (parent == ancestor || is_descendant(processes, parent)) {
            processes[index].kin = Kin::Descendant;
            found = true;
        }
    }
    found
}

fn is_descendant(processes: &[Process], pid: i32) -> bool {
    let found = processes.binary_search_by_key(&pid, |process| process.pid);
    found.is_ok_and(|index| processes[index].kin == Kin::Descendant)
}

/// The parent of the process in directory `name`; `None` when it is dead.
fn living_parent(proc_dir: &OwnedFd, name: &[u8]) -> Option<i32> {
    let mut path = [0; 24];
    let path = join(&mut path, name, b"/stat")?;
    let file = rustix::fs::openat(proc_dir, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut stat = [0; STAT_BYTES];
    let length = rustix::io::read(&file, &mut stat).ok()?;
    parse_stat(&stat[..length])
}

fn works_in(proc_dir: &OwnedFd, pid: i32, directory: (u64, u64)) -> bool {
    let mut path = [0; 24];
    let stat = path_of(&mut path, pid, b"/cwd")
        .and_then(|path| rustix::fs::statat(proc_dir, path, AtFlags::empty()).ok());
    stat.is_some_and(|stat| (stat.st_dev, stat.st_ino) == directory)
}

fn runs(proc_dir: &OwnedFd, pid: i32, program: &[u8]) -> bool {
    let mut path = [0; 24];
    let mut target = [MaybeUninit::uninit(); libc::PATH_MAX as usize];
    let Some(path) = path_of(&mut path, pid, b"/exe") else { return false };
    let Ok((target, _)) = rustix::fs::readlinkat_raw(proc_dir, path, &mut target[..]) else { return false };
    // An upgrade replaces the file below a running program (proc(5)).
    let target = target.strip_suffix(b" (deleted)").unwrap_or(target);
    file_name(target) == program
}

/// `PID/name` in `buffer`.
fn path_of<'a>(buffer: &'a mut [u8; 24], pid: i32, name: &[u8]) -> Option<&'a [u8]> {
    let mut digits = [0; 10];
    let mut rest = u32::try_from(pid).ok()?;
    let mut start = digits.len();
    while start == digits.len() || rest > 0 {
        start -= 1;
        digits[start] = b'0' + u8::try_from(rest % 10).ok()?;
        rest /= 10;
    }
    join(buffer, &digits[start..], name)
}

/// `first` and `second` behind each other in `buffer`; `None` when they do not fit.
fn join<'a>(buffer: &'a mut [u8], first: &[u8], second: &[u8]) -> Option<&'a [u8]> {
    let length = first.len() + second.len();
    buffer.get_mut(..first.len())?.copy_from_slice(first);
    buffer.get_mut(first.len()..length)?.copy_from_slice(second);
    buffer.get(..length)
}

/// The parent in a line of `/proc/PID/stat` (proc(5)); `None` for zombies and dead tasks.
///
/// The name in parentheses may itself hold parentheses and spaces: the last closing one ends it.
fn parse_stat(stat: &[u8]) -> Option<i32> {
    let end_of_name = stat.iter().rposition(|byte| *byte == b')')?;
    let mut fields = stat.get(end_of_name + 2..)?.split(|byte| *byte == b' ');
    let state = fields.next()?;
    if matches!(state, b"Z" | b"X") {
        return None;
    }
    parse_number(fields.next()?)
}

/// A positive decimal number and nothing else.
fn parse_number(digits: &[u8]) -> Option<i32> {
    std::str::from_utf8(digits).ok()?.parse().ok().filter(|number| *number >= 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_hide_the_parent() {
        assert_eq!(parse_stat(b"12 (a) Z 7 (b) S 34 12 12 0 -1"), Some(34));
    }

    #[test]
    fn a_zombie_is_not_alive() {
        assert_eq!(parse_stat(b"12 (postgres) Z 34 12 12 0 -1"), None);
        assert_eq!(parse_stat(b"12 (postgres) D 34 12 12 0 -1"), Some(34));
    }

    #[test]
    fn a_grandchild_with_a_smaller_number_than_its_parent_is_found() {
        let process = |pid, parent| Process { pid, parent, kin: Kin::Stranger };
        let mut processes = [process(5, 90), process(7, 1), process(90, 42)];
        while mark_children(&mut processes, 42) {}
        let found: Vec<i32> =
            processes.iter().filter(|process| process.kin == Kin::Descendant).map(|p| p.pid).collect();
        assert_eq!(found, [5, 90]);
    }

    #[test]
    fn a_path_below_proc_is_written_in_decimal() {
        let mut buffer = [0; 24];
        assert_eq!(path_of(&mut buffer, 2_147_483_647, b"/cwd"), Some(&b"2147483647/cwd"[..]));
        assert_eq!(path_of(&mut buffer, 10, b"/exe"), Some(&b"10/exe"[..]));
    }

    #[test]
    fn a_walk_finds_a_child_of_this_process() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let mut descendants = Descendants::open().unwrap();
        descendants.walk(Pid::this());
        let pid = i32::try_from(child.id()).unwrap();
        assert!(is_descendant(&descendants.processes[..descendants.seen], pid));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
