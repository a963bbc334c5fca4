use std::fmt;

use sb_api::{Problem, Refused};
use sb_client::state::Scope;
use sb_topology::ServerName;

/// Who makes a request, as the listener found out, and what that allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Whose journal entry it is: `root`, the name of a token, or a server.
    pub name: String,
    /// What is allowed.
    pub access: Access,
}

/// What a caller may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Calls of people and scripts, as far as the scope goes.
    Person(Scope),
    /// Peer calls, as this server; nothing else.
    Peer(ServerName),
    /// Nothing but health checks: the system says who it is, and that is nobody who may come in.
    Nothing,
}

impl Caller {
    /// A person or script.
    #[must_use]
    pub fn person(name: impl Into<String>, scope: Scope) -> Self {
        Self { name: name.into(), access: Access::Person(scope) }
    }

    /// A server of the cluster.
    #[must_use]
    pub fn peer(server: ServerName) -> Self {
        Self { name: server.to_string(), access: Access::Peer(server) }
    }

    /// A user of the system who may not use the Unix socket.
    #[must_use]
    pub fn stranger(uid: u32) -> Self {
        Self { name: format!("user {uid}"), access: Access::Nothing }
    }

    /// Checks that the caller may do what needs `scope`.
    ///
    /// # Errors
    /// 403 when not.
    pub fn require(&self, scope: Scope) -> Refused<()> {
        match &self.access {
            Access::Person(has) if *has >= scope => Ok(()),
            Access::Person(has) => Err(Box::new(
                Problem::new(403, "access.scope", format!("`{}` may not do this", self.name))
                    .detail(format!("It needs the scope `{}`; the token has `{}`.", word(scope), word(*has)))
                    .hint("Use a token with that scope, or sb-cli as root on a server."),
            )),
            Access::Peer(_) => Err(Box::new(Problem::new(
                403,
                "access.peer",
                format!("`{}` is a server: it may make peer calls only", self.name),
            ))),
            Access::Nothing => Err(Box::new(
                Problem::new(403, "access.user", format!("`{}` may not use this socket", self.name))
                    .hint("Only root and the agent's own user may: sudo sb-cli ..."),
            )),
        }
    }

    /// The server that calls.
    ///
    /// # Errors
    /// 403 when it is not a server.
    pub fn require_peer(&self) -> Refused<&ServerName> {
        match &self.access {
            Access::Peer(server) => Ok(server),
            Access::Person(_) | Access::Nothing => Err(Box::new(Problem::new(
                403,
                "access.not_a_peer",
                format!("`{}` is no server of this cluster", self.name),
            ))),
        }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

const fn word(scope: Scope) -> &'static str {
    match scope {
        Scope::Read => "read",
        Scope::Operate => "operate",
        Scope::Admin => "admin",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(refused: Refused<()>) -> Option<String> {
        refused.err().map(|problem| problem.code)
    }

    #[test]
    fn a_scope_includes_the_lesser_ones_only() {
        let script = Caller::person("script", Scope::Operate);
        assert_eq!(code(script.require(Scope::Read)), None);
        assert_eq!(code(script.require(Scope::Operate)), None);
        assert_eq!(code(script.require(Scope::Admin)).as_deref(), Some("access.scope"));
    }

    #[test]
    fn another_user_of_the_system_may_do_nothing() {
        let stranger = Caller::stranger(1000);
        assert_eq!(code(stranger.require(Scope::Read)).as_deref(), Some("access.user"));
        assert_eq!(code(stranger.require_peer().map(|_| ())).as_deref(), Some("access.not_a_peer"));
    }

    #[test]
    fn a_server_and_a_person_do_not_stand_in_for_each_other() {
        let server = Caller::peer("ravena-1".parse().unwrap());
        assert_eq!(server.require_peer().map(ServerName::as_str), Ok("ravena-1"));
        assert_eq!(code(server.require(Scope::Read)).as_deref(), Some("access.peer"));
        let root = Caller::person("root", Scope::Admin);
        assert_eq!(code(root.require_peer().map(|_| ())).as_deref(), Some("access.not_a_peer"));
    }
}
