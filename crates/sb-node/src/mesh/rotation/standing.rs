use sb_topology::ServerName;
use sb_wireguard::PublicKey;
use sb_wireguard::rotation::{Owner, Record, Step};

use crate::mesh::agreed::Agreed;

/// What an agent finds on its disk when it starts.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// The public half of the server's key file.
    pub(super) kept: PublicKey,
    /// Of the file beside it.
    pub(super) new: Option<PublicKey>,
    /// The state that was written last.
    pub(super) line: Option<Owner>,
}

/// What it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::mesh) struct Standing {
    /// The rotation to go on with.
    pub(in crate::mesh) line: Option<Owner>,
    /// Whether the file beside the key file may be needed; otherwise nobody has heard of its key, or has forgotten it.
    pub(super) new_is_needed: bool,
}

/// Works out where a rotation of `server`'s key stands. The table is in the module's documentation.
pub(super) fn understand(server: &ServerName, found: &Found, agreed: &Agreed) -> Standing {
    let record = agreed.rotation.as_ref().filter(|record| record.server == *server);
    let line = of_line(found).or_else(|| record.map(|record| of_record(found, record))).or_else(|| {
        let settled = agreed.keys.get(server).filter(|key| Some(**key) == found.new);
        settled.map(|new| at(Step::Finish, Owner::begin(server.clone(), found.kept, *new)))
    });
    let needed = |line: &Owner| found.new == Some(line.new) && line.new != found.kept;
    let new_is_needed = line.as_ref().is_some_and(needed);
    Standing { line, new_is_needed }
}

/// A line is followed when it is about the key in the key file.
fn of_line(found: &Found) -> Option<Owner> {
    let line = found.line.clone()?;
    if found.kept == line.new {
        // The new key's file is renamed in this step and in no other.
        return Some(at(Step::Finish, line));
    }
    if found.kept != line.old {
        return None;
    }
    if found.new == Some(line.new) {
        return Some(line);
    }
    // Without the new key there is only the way back.
    Some(at(Step::Withdraw, line))
}

/// The line is lost, or the store is one that has not heard of the rotation's end.
fn of_record(found: &Found, record: &Record) -> Owner {
    let owner = Owner::begin(record.server.clone(), record.old, record.new);
    if found.kept == record.new {
        at(Step::Finish, owner)
    } else if found.kept == record.old && found.new == Some(record.new) {
        owner
    } else {
        // The key file has been replaced by somebody: the record says nothing any more.
        at(Step::Withdraw, Owner { old: found.kept, ..owner })
    }
}

fn at(step: Step, owner: Owner) -> Owner {
    Owner { step, ..owner }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: PublicKey = PublicKey::from_bytes([1; 32]);
    const NEW: PublicKey = PublicKey::from_bytes([2; 32]);
    const OTHER: PublicKey = PublicKey::from_bytes([3; 32]);

    fn server() -> ServerName {
        "ravena-1".parse().unwrap()
    }

    fn on_record() -> Agreed {
        let rotation = Some(Record { server: server(), old: OLD, new: NEW });
        Agreed { rotation, ..Agreed::default() }
    }

    fn stands(kept: PublicKey, new: Option<PublicKey>, step: Option<Step>, agreed: &Agreed) -> Option<Step> {
        let line = step.map(|step| at(step, Owner::begin(server(), OLD, NEW)));
        understand(&server(), &Found { kept, new, line }, agreed).line.map(|line| line.step)
    }

    #[test]
    fn a_line_with_both_keys_is_followed() {
        for step in [Step::Announce, Step::Swap, Step::Finish, Step::TurnBack, Step::Withdraw] {
            assert_eq!(stands(OLD, Some(NEW), Some(step), &on_record()), Some(step));
            assert_eq!(stands(OLD, Some(NEW), Some(step), &Agreed::default()), Some(step));
        }
    }

    #[test]
    fn a_key_that_has_been_renamed_is_the_server_s() {
        let settled = Agreed { keys: [(server(), NEW)].into(), ..Agreed::default() };
        assert_eq!(stands(NEW, None, Some(Step::Finish), &settled), Some(Step::Finish));
        assert_eq!(stands(NEW, None, None, &settled), None);
        assert_eq!(stands(NEW, None, None, &on_record()), Some(Step::Finish), "an older store");
    }

    #[test]
    fn a_new_key_that_nobody_has_heard_of_is_not_needed() {
        let found = Found { kept: OLD, new: Some(NEW), line: None };
        let nobody = Standing { line: None, new_is_needed: false };
        assert_eq!(understand(&server(), &found, &Agreed::default()), nobody);
    }

    #[test]
    fn a_line_that_is_lost_is_made_again_from_what_is_agreed() {
        assert_eq!(stands(OLD, Some(NEW), None, &on_record()), Some(Step::Announce));
        assert_eq!(stands(OLD, None, None, &on_record()), Some(Step::Withdraw));
        let settled = Agreed { keys: [(server(), NEW)].into(), ..Agreed::default() };
        assert_eq!(stands(OLD, Some(NEW), None, &settled), Some(Step::Finish));
    }

    #[test]
    fn without_the_new_key_there_is_only_the_way_back() {
        for step in [Step::Announce, Step::Swap, Step::TurnBack, Step::Withdraw] {
            assert_eq!(stands(OLD, None, Some(step), &on_record()), Some(Step::Withdraw));
        }
    }

    #[test]
    fn a_line_about_another_key_is_none() {
        assert_eq!(stands(OTHER, None, Some(Step::Swap), &Agreed::default()), None);
        let found = Found { kept: OTHER, new: None, line: None };
        let standing = understand(&server(), &found, &on_record());
        let back = at(Step::Withdraw, Owner::begin(server(), OTHER, NEW));
        assert_eq!(standing.line, Some(back), "the record is taken away, and the key is told");
    }
}
