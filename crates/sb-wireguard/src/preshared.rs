//! The secret that two servers share beside their keys: made, handed over, put in force, proven and replaced, while packets
//! flow.
//!
//! Of a pair the server that is first by name is the **maker**. It alone decides; the other one, the **taker**, does what the
//! maker's newest [`Word`] says and answers with what it holds. A word is the maker's whole state, so that it can be lost,
//! repeated or late: it carries a revision that grows with every change, and older ones are not followed.
//!
//! ```text
//!            begin           the taker holds it            a handshake since
//!  rest ──────────► offer ───────────────────────► apply ───────────────────► rest, the new one kept
//!                     │ in force: the kept one        │ in force: the next one
//!                     └──────── abandoned ────────────┴── none in 180 s ─────► rest, the old one kept
//! ```
//!
//! Between two of its steps either end may crash, or hear nothing of the other for days. Two rules bring them together again
//! without a word, since a pair with two secrets may have no other way to talk:
//!
//! * *The taker always holds what the maker uses.* The maker goes over when the taker has said that it holds the next secret on
//!   its disk; the taker forgets the old one when the maker has said that it keeps the new one.
//! * *The taker gives way.* While it holds two and does not hear the maker, it tries the one and the other ([`Trial`]).
//!
//! An end that holds one secret uses that one, whatever packets come or do not: who only cuts or sends packets can hinder a
//! first secret from being taken, and can make nobody drop one that is. An end that has lost its secret shows in
//! the answers, which come by another way (through a third server, encrypted and between the two ends only); the maker then makes
//! a new one, and no old one is needed for that.

mod maker;
mod text;
mod trial;

pub use maker::{APPLY_MS_MAX, Facts, Turn};
pub use text::SharedTextError;
pub use trial::{Line, TRIAL_MS, Trial};

use sb_topology::ServerName;

use crate::{PresharedKey, PresharedMark};

/// What one end keeps of the secret of a pair. It has to be on disk before anything is done by it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shared {
    /// Grows with every change that the maker makes.
    pub revision: u64,
    /// What is shared; [`None`] while nothing is.
    pub kept: Option<PresharedKey>,
    /// What is to take its place.
    pub next: Option<Next>,
}

/// A secret on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    /// The secret.
    pub key: PresharedKey,
    /// How far it is.
    pub step: Step,
}

/// How far a secret is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Both are to hold it; the old one is in force.
    Offer,
    /// It is in force, and the old one is still held.
    Apply,
}

/// What a maker says: all that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Of its [`Shared`].
    pub revision: u64,
    /// What it keeps.
    pub kept: Option<PresharedMark>,
    /// What is to take its place, the secret itself with it.
    pub next: Option<Next>,
}

/// What a taker holds on its disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The newest word that it followed.
    pub revision: u64,
    /// What it keeps.
    pub kept: Option<PresharedMark>,
    /// What it holds beside that.
    pub next: Option<PresharedMark>,
}

/// Whether `own` makes the secrets that it shares with `other`.
#[must_use]
pub fn is_maker(own: &ServerName, other: &ServerName) -> bool {
    own < other
}

impl Shared {
    /// The secret for the interface.
    #[must_use]
    pub fn in_force(&self) -> Option<&PresharedKey> {
        match &self.next {
            Some(next) if next.step == Step::Apply => Some(&next.key),
            Some(_) | None => self.kept.as_ref(),
        }
    }

    /// Whether there is anything to remember.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        self.revision == 0 && self.kept.is_none() && self.next.is_none()
    }

    /// What a taker says.
    #[must_use]
    pub fn answer(&self) -> Answer {
        Answer { revision: self.revision, kept: self.kept_mark(), next: self.next_mark() }
    }

    /// What a taker holds once it has followed a word. One that was overtaken by another changes nothing.
    #[must_use]
    pub fn following(&self, word: &Word) -> Self {
        if word.revision < self.revision {
            return self.clone();
        }
        // What the maker keeps is proven. Of anything else the maker cannot know whether it is all that the two share.
        let settled = word.kept.is_some() && word.kept == self.next_mark();
        let kept = if settled { self.next.as_ref().map(|next| &next.key) } else { self.kept.as_ref() };
        Self { revision: word.revision, kept: kept.cloned(), next: word.next.clone() }
    }

    /// What is left when a person says that the other end has lost its secret.
    #[must_use]
    pub const fn forgotten(&self) -> Self {
        Self { revision: self.revision.saturating_add(1), kept: None, next: None }
    }

    fn kept_mark(&self) -> Option<PresharedMark> {
        self.kept.as_ref().map(PresharedKey::mark)
    }

    fn next_mark(&self) -> Option<PresharedMark> {
        self.next.as_ref().map(|next| next.key.mark())
    }
}
