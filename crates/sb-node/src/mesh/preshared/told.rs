use std::time::Duration;

use sb_api::{MeshPreshared, PresharedAnswer, PresharedOffer, PresharedStep, PresharedWord, SecretText};
use sb_topology::ServerName;
use sb_wireguard::preshared::{Answer, Next, Shared, Step, Word};
use sb_wireguard::{KeyError, PresharedKey, PresharedMark};

use super::line::Stand;

/// Where a pair stands, without its secrets.
pub(super) fn told(peer: &ServerName, shared: &Shared, waits: Option<String>) -> MeshPreshared {
    let Answer { revision, kept, .. } = shared.answer();
    MeshPreshared {
        peer: peer.to_string(),
        revision,
        key: kept.map(|mark| mark.to_string()),
        age_seconds: None,
        step: shared.next.as_ref().map(|next| step_of(next.step)),
        waits,
    }
}

impl Stand {
    /// As it is told, `now` by the wall clock since the Unix epoch.
    pub(crate) fn told_at(&self, now: Duration) -> MeshPreshared {
        let age_seconds = self.since.map(|since| now.saturating_sub(since).as_secs());
        MeshPreshared { age_seconds, ..self.told.clone() }
    }
}

/// A word as it is sent: the only place where a secret leaves this server.
pub(super) fn from_word(word: &Word) -> PresharedWord {
    let offer = |next: &Next| PresharedOffer {
        key: SecretText::new(next.key.expose_base64()),
        step: step_of(next.step),
    };
    PresharedWord {
        revision: word.revision,
        kept: word.kept.map(|mark| mark.to_string()),
        next: word.next.as_ref().map(offer),
    }
}

/// A word as it came.
///
/// # Errors
/// When a key in it is none.
pub(crate) fn to_word(word: &PresharedWord) -> Result<Word, KeyError> {
    let next = |offer: &PresharedOffer| -> Result<Next, KeyError> {
        let key = PresharedKey::from_base64(offer.key.expose())?.ok_or(KeyError::Base64)?;
        let step = match offer.step {
            PresharedStep::Offer => Step::Offer,
            PresharedStep::Apply => Step::Apply,
        };
        Ok(Next { key, step })
    };
    Ok(Word {
        revision: word.revision,
        kept: mark_of(word.kept.as_deref())?,
        next: word.next.as_ref().map(next).transpose()?,
    })
}

/// An answer as it is sent.
pub(crate) fn to_answer(answer: &Answer) -> PresharedAnswer {
    let mark = |mark: Option<PresharedMark>| mark.map(|mark| mark.to_string());
    PresharedAnswer { revision: answer.revision, kept: mark(answer.kept), next: mark(answer.next) }
}

/// An answer as it came.
pub(super) fn from_answer(answer: &PresharedAnswer) -> Result<Answer, KeyError> {
    let mark = |mark: &Option<String>| mark_of(mark.as_deref());
    Ok(Answer { revision: answer.revision, kept: mark(&answer.kept)?, next: mark(&answer.next)? })
}

fn mark_of(text: Option<&str>) -> Result<Option<PresharedMark>, KeyError> {
    text.map(str::parse).transpose()
}

const fn step_of(step: Step) -> PresharedStep {
    match step {
        Step::Offer => PresharedStep::Offer,
        Step::Apply => PresharedStep::Apply,
    }
}
