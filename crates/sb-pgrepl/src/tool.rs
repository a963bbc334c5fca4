use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rustix::thread::clear_ambient_capability_set;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::Instance;

/// How much of what a program wrote to standard error is kept for the message.
const WORDS_BYTES_MAX: usize = 4_096;
/// Longest output line that is looked at.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// One run of a PostgreSQL program did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The system could not run it.
    #[error("could not run `{}`", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It was ended because its time was over.
    #[error("`{}` did not finish within {within:?}", program.display())]
    Deadline {
        /// The program.
        program: PathBuf,
        /// The limit.
        within: Duration,
    },
    /// It said no.
    #[error("`{}` failed ({how}): {words}", program.display())]
    Failed {
        /// The program.
        program: PathBuf,
        /// Its exit status or signal.
        how: String,
        /// The end of what it wrote to standard error.
        words: String,
    },
}

impl ToolError {
    /// Whether it ran into a full disk.
    pub(crate) fn is_disk_full(&self) -> bool {
        matches!(self, Self::Failed { words, .. } if words.contains("No space left on device"))
    }
}

/// One bounded run of one of PostgreSQL's programs, as PostgreSQL's user, in the C locale, with nothing else inherited.
pub(crate) struct Tool {
    program: PathBuf,
    command: Command,
}

impl Instance {
    pub(crate) fn tool(&self, name: &str) -> Tool {
        let config = self.config();
        let program = config.programs.path(name);
        let mut command = Command::new(&program);
        // pg_rewind finds `postgres` beside itself, and runs it through a shell.
        command.env_clear().env("LC_ALL", "C").env("PATH", "/usr/bin:/bin").current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.kill_on_drop(true).process_group(0);
        if let Some(run_as) = config.run_as {
            command.uid(run_as.uid).gid(run_as.gid);
        }
        Tool { program, command }
    }
}

/// Kills a whole process group when dropped: a program may have children of its own.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // All of it has ended in order: then there is no such group.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

/// Starts a program without the ambient capabilities of this process: none of PostgreSQL's programs needs one. They are a
/// thread's own, so that a thread that is about to end can give them up for its child.
fn spawn_without_capabilities(command: &mut Command) -> std::io::Result<Child> {
    clear_ambient_capability_set()?;
    command.spawn()
}

impl Tool {
    fn spawn(&mut self) -> std::io::Result<Child> {
        let runtime = tokio::runtime::Handle::current();
        let command = &mut self.command;
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let _runtime = runtime.enter();
                spawn_without_capabilities(command)
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub(crate) fn args(mut self, args: &[&str]) -> Self {
        self.command.args(args);
        self
    }

    /// Runs it and returns what it printed.
    pub(crate) async fn run(self, within: Duration) -> Result<String, ToolError> {
        let mut text = String::new();
        let run = self.run_lines(within, |line| {
            text.push_str(line);
            text.push('\n');
        });
        run.await.map(|_words| text)
    }

    /// Runs it, hands over what it prints line by line, and returns what it wrote to standard error.
    pub(crate) async fn run_lines(
        mut self,
        within: Duration,
        on_line: impl FnMut(&str),
    ) -> Result<String, ToolError> {
        let spawned = self.spawn();
        let mut child =
            spawned.map_err(|source| ToolError::Spawn { program: self.program.clone(), source })?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
        let mut group = Group(pid);
        let Ok(finished) = tokio::time::timeout(within, finish(&mut child, on_line)).await else {
            return Err(ToolError::Deadline { program: self.program, within });
        };
        let (status, words) =
            finished.map_err(|source| ToolError::Spawn { program: self.program.clone(), source })?;
        // Reaped: its number may soon name somebody else.
        group.0 = None;
        if status.success() {
            return Ok(words);
        }
        Err(ToolError::Failed { program: self.program, how: status.to_string(), words: essence(&words) })
    }
}

async fn finish(child: &mut Child, on_line: impl FnMut(&str)) -> std::io::Result<(ExitStatus, String)> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (lines, words) = tokio::join!(hand_over(stdout, on_line), tail(stderr));
    lines?;
    Ok((child.wait().await?, words?))
}

async fn hand_over(
    from: Option<impl AsyncRead + Unpin>,
    mut on_line: impl FnMut(&str),
) -> std::io::Result<()> {
    let Some(from) = from else { return Ok(()) };
    let mut reader = BufReader::new(from);
    let mut line = Vec::new();
    while (&mut reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await? > 0 {
        on_line(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    Ok(())
}

async fn tail(from: Option<impl AsyncRead + Unpin>) -> std::io::Result<String> {
    let Some(mut from) = from else { return Ok(String::new()) };
    let mut kept = Vec::new();
    let mut chunk = [0; 1_024];
    loop {
        let read = from.read(&mut chunk).await?;
        if read == 0 {
            return Ok(String::from_utf8_lossy(&kept).into_owned());
        }
        kept.extend_from_slice(&chunk[..read]);
        let surplus = kept.len().saturating_sub(WORDS_BYTES_MAX);
        kept.drain(..surplus);
    }
}

/// What went wrong, without progress reports and chatter.
fn essence(words: &str) -> String {
    let telling =
        |line: &&str| ["error:", "fatal:", "detail:", "FATAL:", "PANIC:"].iter().any(|w| line.contains(w));
    let lines = || words.split(['\n', '\r']).map(str::trim).filter(|line| !line.is_empty());
    let told: Vec<_> = lines().filter(telling).collect();
    if told.is_empty() { lines().collect::<Vec<_>>().join("; ") } else { told.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[allow(clippy::print_stderr, reason = "a skipped test must say so")]
    async fn a_program_gets_no_capability_of_this_process() {
        use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
        let own = capabilities(None).unwrap();
        let given = CapabilitySet::NET_ADMIN;
        let raised = set_capabilities(None, CapabilitySets { inheritable: given, ..own })
            .and_then(|()| rustix::thread::configure_capability_in_ambient_set(given, true));
        if raised.is_err() {
            eprintln!("SKIPPED: this process has no capability to give");
            return;
        }
        let mut command = Command::new("grep");
        command.args(["CapAmb", "/proc/self/status"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let inherited = String::from_utf8(command.output().await.unwrap().stdout).unwrap();
        assert!(inherited.contains('1'), "a plain child has it: {inherited}");
        let tool = Tool { program: "grep".into(), command };
        let kept = tool.run(Duration::from_secs(10)).await.unwrap();
        assert_eq!(kept.trim(), "CapAmb:\t0000000000000000");
    }

    #[test]
    fn the_reason_is_told_without_progress_reports() {
        let words = "  100/200 kB (50%), 0/1 tablespace\r  200/200 kB\rpg_basebackup: error: could not write to file\n\
                     pg_basebackup: removing data directory \"x\"\n";
        assert_eq!(essence(words), "pg_basebackup: error: could not write to file");
        assert_eq!(essence("one\ntwo\n"), "one; two");
    }
}
