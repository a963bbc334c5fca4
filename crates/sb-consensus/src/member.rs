use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use crate::limits::{ADDRESS_BYTES_MAX, MEMBERS_MAX, NAME_BYTES_MAX, REMOVED_IDS_MAX};

/// The incarnation of a member: random, made when its directory was made, never used again.
///
/// A server that lost its directory comes back under another id. Its old id may have promised a vote or acknowledged
/// an entry that the new one knows nothing of, so the new one must not answer for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MemberId(NonZeroU64);

impl MemberId {
    /// A new random id.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// An id from its number; `None` for 0.
    #[must_use]
    pub const fn new(id: u64) -> Option<Self> {
        match NonZeroU64::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a member id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a member id: 1 to 16 hexadecimal digits, not 0")]
pub struct MemberIdParseError {
    text: String,
}

impl std::str::FromStr for MemberId {
    type Err = MemberIdParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id = u64::from_str_radix(text, 16).ok().and_then(Self::new);
        id.ok_or_else(|| MemberIdParseError { text: text.chars().take(40).collect() })
    }
}

/// One member of the group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its incarnation.
    pub id: MemberId,
    /// Its name: one member a name, at any time.
    pub name: String,
    /// Where its peers reach it; opaque to this crate, read by the embedder's [`crate::Connector`].
    pub address: String,
}

impl Member {
    /// Checks the bounds of name and address.
    ///
    /// # Errors
    ///
    /// When one is empty or too long.
    pub fn validate(&self) -> Result<(), MemberError> {
        let fits = |text: &str, max: usize| (1..=max).contains(&text.len());
        if !fits(&self.name, NAME_BYTES_MAX) {
            return Err(MemberError::Name { bytes: self.name.len() });
        }
        if !fits(&self.address, ADDRESS_BYTES_MAX) {
            return Err(MemberError::Address { name: self.name.clone(), bytes: self.address.len() });
        }
        Ok(())
    }
}

/// A member that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// The name is empty or too long.
    #[error("a member's name has 1 to {NAME_BYTES_MAX} bytes, not {bytes}")]
    Name {
        /// Its length.
        bytes: usize,
    },
    /// The address is empty or too long.
    #[error("the address of `{name}` has 1 to {ADDRESS_BYTES_MAX} bytes, not {bytes}")]
    Address {
        /// Whose.
        name: String,
        /// Its length.
        bytes: usize,
    },
}

/// One step of membership. Steps are applied one at a time, so any two majorities of neighbouring memberships
/// intersect (Raft dissertation, section 4.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MembershipChange {
    /// A new member receives the log but has no vote.
    AddLearner(Member),
    /// A learner gets a vote.
    Promote(MemberId),
    /// A member leaves for good: its id never comes back.
    Remove(MemberId),
}

/// Why a change of membership is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeRejected {
    /// No such member.
    #[error("{0} is not a member")]
    Unknown(MemberId),
    /// It already is what the change would make it.
    #[error("{0} is a member already")]
    Already(MemberId),
    /// It was removed once; a removed id never comes back.
    #[error("{0} was removed; a server comes back under a new id")]
    Removed(MemberId),
    /// Another incarnation holds the name.
    #[error("the name `{name}` belongs to {holder}")]
    NameTaken {
        /// The name.
        name: String,
        /// The member that has it.
        holder: MemberId,
    },
    /// The group would be without a voter.
    #[error("{0} is the last voter")]
    LastVoter(MemberId),
    /// The group is full.
    #[error("a group has at most {MEMBERS_MAX} members")]
    Full,
    /// The member is malformed.
    #[error(transparent)]
    Member(#[from] MemberError),
}

/// Who belongs to the group, with addresses. Part of the replicated state.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Membership {
    voters: BTreeMap<MemberId, Member>,
    learners: BTreeMap<MemberId, Member>,
    removed: VecDeque<MemberId>,
}

impl Membership {
    /// A group of one voter.
    #[must_use]
    pub fn single(member: Member) -> Self {
        Self { voters: BTreeMap::from([(member.id, member)]), ..Self::default() }
    }

    /// The next change on the way to `member` being in the group; [`None`] when it is. An earlier life of the same name
    /// leaves first.
    pub(crate) fn next_to_add(&self, member: &Member) -> Option<MembershipChange> {
        match self.by_name(&member.name) {
            _ if self.get(member.id).is_some() => None,
            Some(earlier) => Some(MembershipChange::Remove(earlier.id)),
            None => Some(MembershipChange::AddLearner(member.clone())),
        }
    }

    /// The change that gives `id` a vote; [`None`] when it has one.
    pub(crate) fn next_to_promote(&self, id: MemberId) -> Option<MembershipChange> {
        (!self.is_voter(id)).then_some(MembershipChange::Promote(id))
    }

    /// The change after which `id` has left; [`None`] when it is not in the group.
    pub(crate) fn next_to_remove(&self, id: MemberId) -> Option<MembershipChange> {
        self.get(id).map(|_| MembershipChange::Remove(id))
    }

    /// Members whose votes and acknowledgements count, by id.
    pub fn voters(&self) -> impl ExactSizeIterator<Item = &Member> {
        self.voters.values()
    }

    /// Members that receive the log without a vote, by id.
    pub fn learners(&self) -> impl ExactSizeIterator<Item = &Member> {
        self.learners.values()
    }

    /// All members, voters first.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.voters.values().chain(self.learners.values())
    }

    /// The member with this id.
    #[must_use]
    pub fn get(&self, id: MemberId) -> Option<&Member> {
        self.voters.get(&id).or_else(|| self.learners.get(&id))
    }

    /// The member with this name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Member> {
        self.members().find(|member| member.name == name)
    }

    /// Whether this member has a vote.
    #[must_use]
    pub fn is_voter(&self, id: MemberId) -> bool {
        self.voters.contains_key(&id)
    }

    /// Whether this member receives the log without a vote.
    #[must_use]
    pub fn is_learner(&self, id: MemberId) -> bool {
        self.learners.contains_key(&id)
    }

    /// Whether this id was a member and left.
    #[must_use]
    pub fn was_removed(&self, id: MemberId) -> bool {
        self.removed.contains(&id)
    }

    /// Whether there is nobody: the state of a server that no leader has reached yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.voters.is_empty() && self.learners.is_empty()
    }

    /// Whether [`apply`](Self::apply) would carry the change out.
    ///
    /// # Errors
    ///
    /// The reason why not.
    pub fn check(&self, change: &MembershipChange) -> Result<(), ChangeRejected> {
        match change {
            MembershipChange::AddLearner(member) => self.check_add(member),
            MembershipChange::Promote(id) if self.is_voter(*id) => Err(ChangeRejected::Already(*id)),
            MembershipChange::Promote(id) => self.check_known(*id),
            MembershipChange::Remove(id) if self.is_voter(*id) && self.voters.len() == 1 => {
                Err(ChangeRejected::LastVoter(*id))
            }
            MembershipChange::Remove(id) => self.check_known(*id),
        }
    }

    /// Carries one change out. Every member decides alike, since the rules look at the replicated state only.
    ///
    /// # Errors
    ///
    /// The reason why nothing was changed.
    pub fn apply(&mut self, change: &MembershipChange) -> Result<(), ChangeRejected> {
        self.check(change)?;
        match change {
            MembershipChange::AddLearner(member) => {
                self.learners.insert(member.id, member.clone());
            }
            MembershipChange::Promote(id) => {
                if let Some(member) = self.learners.remove(id) {
                    self.voters.insert(*id, member);
                }
            }
            MembershipChange::Remove(id) => self.forget(*id),
        }
        Ok(())
    }

    fn forget(&mut self, id: MemberId) {
        self.voters.remove(&id);
        self.learners.remove(&id);
        self.removed.push_back(id);
        if self.removed.len() > REMOVED_IDS_MAX {
            self.removed.pop_front();
        }
    }

    /// The group in which `sole` is alone, and everybody who was in this one has left.
    pub(crate) fn succeeded_by(&self, sole: Member) -> Self {
        let before: Vec<_> = self.members().map(|member| member.id).collect();
        let mut group = self.clone();
        for id in before {
            group.forget(id);
        }
        group.voters.insert(sole.id, sole);
        group
    }

    /// Notes where a member is now; nothing happens when it is unknown or the address malformed.
    pub(crate) fn set_address(&mut self, id: MemberId, address: &str) {
        let member = self.voters.get_mut(&id).or_else(|| self.learners.get_mut(&id));
        if let Some(member) = member
            && (1..=ADDRESS_BYTES_MAX).contains(&address.len())
        {
            address.clone_into(&mut member.address);
        }
    }

    /// Whether every bound and every rule holds; for a membership that came from outside.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let mut names: Vec<&str> = self.members().map(|member| member.name.as_str()).collect();
        names.sort_unstable();
        let unique = names.windows(2).all(|pair| pair[0] != pair[1]);
        let keyed =
            self.voters.iter().chain(&self.learners).all(|(id, m)| *id == m.id && m.validate().is_ok());
        let disjoint = self.voters.keys().all(|id| !self.learners.contains_key(id));
        let bounded = names.len() <= MEMBERS_MAX && self.removed.len() <= REMOVED_IDS_MAX;
        unique && keyed && disjoint && bounded && !self.voters.is_empty()
    }

    fn check_known(&self, id: MemberId) -> Result<(), ChangeRejected> {
        if self.get(id).is_some() {
            Ok(())
        } else if self.was_removed(id) {
            Err(ChangeRejected::Removed(id))
        } else {
            Err(ChangeRejected::Unknown(id))
        }
    }

    fn check_add(&self, member: &Member) -> Result<(), ChangeRejected> {
        member.validate()?;
        if self.was_removed(member.id) {
            return Err(ChangeRejected::Removed(member.id));
        }
        if self.get(member.id).is_some() {
            return Err(ChangeRejected::Already(member.id));
        }
        if let Some(holder) = self.by_name(&member.name) {
            return Err(ChangeRejected::NameTaken { name: member.name.clone(), holder: holder.id });
        }
        if self.voters.len() + self.learners.len() >= MEMBERS_MAX {
            return Err(ChangeRejected::Full);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64, name: &str) -> Member {
        Member { id: MemberId::new(id).unwrap(), name: name.into(), address: format!("{name}:1") }
    }

    fn id(id: u64) -> MemberId {
        MemberId::new(id).unwrap()
    }

    #[test]
    fn a_name_belongs_to_one_member_at_a_time() {
        let mut group = Membership::single(member(1, "a"));
        let second = MembershipChange::AddLearner(member(2, "a"));
        let taken = ChangeRejected::NameTaken { name: "a".into(), holder: id(1) };
        assert_eq!(group.apply(&second), Err(taken));
    }

    #[test]
    fn a_removed_id_never_comes_back() {
        let mut group = Membership::single(member(1, "a"));
        group.apply(&MembershipChange::AddLearner(member(2, "b"))).unwrap();
        group.apply(&MembershipChange::Remove(id(2))).unwrap();
        let again = MembershipChange::AddLearner(member(2, "b"));
        assert_eq!(group.apply(&again), Err(ChangeRejected::Removed(id(2))));
        assert_eq!(group.apply(&MembershipChange::Promote(id(2))), Err(ChangeRejected::Removed(id(2))));
        group.apply(&MembershipChange::AddLearner(member(3, "b"))).unwrap();
        assert!(group.is_learner(id(3)) && group.is_sound());
    }

    #[test]
    fn the_last_voter_cannot_be_removed() {
        let mut group = Membership::single(member(1, "a"));
        group.apply(&MembershipChange::AddLearner(member(2, "b"))).unwrap();
        assert_eq!(group.apply(&MembershipChange::Remove(id(1))), Err(ChangeRejected::LastVoter(id(1))));
        group.apply(&MembershipChange::Promote(id(2))).unwrap();
        group.apply(&MembershipChange::Remove(id(1))).unwrap();
        assert_eq!(group.voters().map(|m| m.id).collect::<Vec<_>>(), [id(2)]);
    }

    #[test]
    fn an_id_is_read_back_from_its_text() {
        let some = id(0xab);
        assert_eq!(some.to_string().parse(), Ok(some));
        assert!("0".parse::<MemberId>().is_err() && "x".parse::<MemberId>().is_err());
    }
}
