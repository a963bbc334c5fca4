//! What a person is told when there is no way to an agent through ssh.

use std::path::PathBuf;
use std::process::ExitStatus;

use crate::exit::Exit;
use crate::failure::Failure;

/// Lines of ssh's own that are shown, the last ones.
const SAID_LINES_MAX: usize = 20;

/// An agent's socket on a host that ssh knows the way to.
pub struct Remote {
    /// As ssh takes it: `[USER@]HOST`, or a name of its configuration.
    pub host: String,
    /// Where the socket is over there.
    pub socket: PathBuf,
}

/// What the user who logged in sees of the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// There is no socket.
    Absent,
    /// There is one, and this user may not write to it.
    Forbidden,
    /// There is one that this user may use.
    Usable,
    /// That user has no shell to ask.
    Unknown,
}

impl Sight {
    /// Reads the answer to [`Remote::question`].
    pub fn read(answer: &str) -> Self {
        let says = |word| answer.lines().any(|line| line.trim() == word);
        match (says("sb:asked"), says("sb:socket"), says("sb:writable")) {
            (false, _, _) => Self::Unknown,
            (true, false, _) => Self::Absent,
            (true, true, false) => Self::Forbidden,
            (true, true, true) => Self::Usable,
        }
    }
}

impl Remote {
    /// Host and socket in one.
    pub fn name(&self) -> String {
        format!("{}:{}", self.host, self.socket.display())
    }

    /// What to ask a shell, any shell, about the socket.
    pub fn question(&self) -> String {
        let path = self.socket.display().to_string().replace('\'', r"'\''");
        format!("test -S '{path}' && echo sb:socket; test -w '{path}' && echo sb:writable; echo sb:asked")
    }

    /// ssh ended instead of listening.
    pub fn login_failed(&self, status: ExitStatus, said: &str) -> Failure {
        let message = format!("ssh could not reach `{}`", self.host);
        explained(Failure::new(Exit::Unreachable, message), status, said).hint(self.way_in(said))
    }

    /// ssh neither listened nor ended.
    pub fn login_took_too_long(&self, seconds: u64) -> Failure {
        let message = format!("ssh did not reach `{}` within {seconds} s", self.host);
        Failure::new(Exit::Unreachable, message).hint(format!("Try: ssh {} true", self.host))
    }

    /// ssh ended while it was needed.
    pub fn lost(&self, status: ExitStatus, said: &str) -> Failure {
        let message = format!("the connection to `{}` was lost", self.host);
        explained(Failure::new(Exit::Unreachable, message), status, said)
            .hint(format!("Whether it took effect: sb-cli --ssh {} ops", self.host))
    }

    /// The login was good, and nobody can be reached behind the socket.
    pub fn socket_failed(&self, sight: Sight) -> Failure {
        let (host, socket) = (&self.host, self.socket.display());
        let failure = |message| Failure::new(Exit::Unreachable, message);
        let status = format!("Whether it runs: ssh {host} systemctl status sb-agent");
        let another = "Any other server's agent can answer as well: sb-cli --ssh HOST status";
        match sight {
            Sight::Absent => failure(format!("there is no socket `{socket}` on `{host}`")).hint(format!(
                "The agent does not run there, or its socket is elsewhere (--socket PATH).\n{status}\n{another}"
            )),
            Sight::Forbidden => {
                failure(format!("the user who logged in to `{host}` may not use the socket `{socket}`"))
                    .hint("Only root and the agent's own user may: sb-cli --ssh root@HOST ...")
            }
            Sight::Usable => {
                failure(format!("nobody answers at `{}`", self.name())).hint(format!(
                    "{status}\nWhere it runs, sshd may refuse: AllowStreamLocalForwarding yes in its sshd_config.\n\
                     {another}"
                ))
            }
            Sight::Unknown => failure(format!("cannot use the socket `{socket}` on `{host}`")).hint(format!(
                "Only root and the agent's own user may: sb-cli --ssh root@HOST ...\n{status}"
            )),
        }
    }

    /// ssh's own words are the only thing that tells these apart; its status is 255 for all.
    fn way_in(&self, said: &str) -> String {
        let host = &self.host;
        let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
        if says(&["Host key verification failed"]) {
            format!(
                "Compare it with the server's own: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub\n\
                 A key that this machine has not seen before is taken in by: ssh {host} true"
            )
        } else if says(&["Permission denied", "Too many authentication failures"]) {
            format!("It needs a key or password that this server takes for this user. Try: ssh {host} true")
        } else if says(&[
            "Connection refused",
            "timed out",
            "No route to host",
            "Network is unreachable",
            "Could not resolve hostname",
        ]) {
            "Any other server's agent can answer as well: sb-cli --ssh HOST status".to_owned()
        } else {
            format!("Try: ssh {host} true")
        }
    }
}

fn explained(failure: Failure, status: ExitStatus, said: &str) -> Failure {
    if said.is_empty() {
        return failure.detail(format!("It ended with {status}."));
    }
    let lines: Vec<&str> = said.lines().collect();
    failure.detail(lines[lines.len().saturating_sub(SAID_LINES_MAX)..].join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(socket: &str) -> Remote {
        Remote { host: "root@burlington-1".into(), socket: socket.into() }
    }

    #[test]
    fn a_login_without_a_shell_tells_nothing_of_the_socket() {
        assert_eq!(Sight::read("This account is currently not available.\n"), Sight::Unknown);
        assert_eq!(Sight::read(""), Sight::Unknown);
    }

    #[test]
    fn what_a_shell_answers_is_told_apart() {
        assert_eq!(Sight::read("sb:asked\n"), Sight::Absent);
        assert_eq!(Sight::read("Welcome!\r\nsb:socket\r\nsb:asked\r\n"), Sight::Forbidden);
        assert_eq!(Sight::read("sb:socket\nsb:writable\nsb:asked\n"), Sight::Usable);
    }

    #[test]
    fn a_path_cannot_end_its_quotes() {
        assert!(remote("/a'; reboot; '").question().starts_with(r"test -S '/a'\''; reboot; '\''' &&"));
    }

    #[test]
    fn a_long_report_is_shown_by_its_end() {
        use std::os::unix::process::ExitStatusExt as _;
        let said: String = (1..=30).map(|nth| format!("line {nth}\n")).collect();
        let failure = remote("/a").login_failed(ExitStatus::from_raw(255 << 8), said.trim());
        assert!(failure.details[0].starts_with("line 11\n"), "{failure:?}");
        assert!(failure.details[0].ends_with("\nline 30"), "{failure:?}");
    }
}
