use std::str::FromStr;

use zeroize::Zeroizing;

use super::{Next, Shared, Step};
use crate::{KeyError, PresharedKey};

/// What stands for no secret.
const NONE: &str = "-";

/// The text is not what one end keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SharedTextError {
    /// Not a revision, a secret, a step and a secret.
    #[error("not the state of a preshared key: a revision, a key, a step and a key")]
    Form,
    /// A secret that is none.
    #[error("not the state of a preshared key")]
    Key(#[source] KeyError),
}

const STEPS: [(&str, Step); 2] = [("offer", Step::Offer), ("apply", Step::Apply)];

impl Shared {
    /// For a file that only its owner reads: the revision, what is kept, how far the next secret is, and that; `-` for none.
    #[must_use]
    pub fn expose_text(&self) -> Zeroizing<String> {
        let key = |key: Option<&PresharedKey>| {
            key.map_or_else(|| Zeroizing::new(NONE.to_owned()), PresharedKey::expose_base64)
        };
        let (kept, next) = (key(self.kept.as_ref()), key(self.next.as_ref().map(|next| &next.key)));
        let step = STEPS.iter().find(|(_, step)| self.next.as_ref().is_some_and(|next| next.step == *step));
        let step = step.map_or(NONE, |(word, _)| word);
        Zeroizing::new(format!("{} {} {step} {}", self.revision, *kept, *next))
    }
}

impl FromStr for Shared {
    type Err = SharedTextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let words: Vec<_> = text.split_whitespace().collect();
        let [revision, kept, step, next] = words[..] else { return Err(SharedTextError::Form) };
        let key = |text| match text {
            NONE => Ok(None),
            text => PresharedKey::from_base64(text).map_err(SharedTextError::Key),
        };
        let known = STEPS.iter().find(|(word, _)| *word == step).map(|(_, step)| *step);
        if known.is_none() && step != NONE {
            return Err(SharedTextError::Form);
        }
        let next = match (key(next)?, known) {
            (Some(key), Some(step)) => Some(Next { key, step }),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(SharedTextError::Form),
        };
        let revision = revision.parse().map_err(|_| SharedTextError::Form)?;
        Ok(Self { revision, kept: key(kept)?, next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let key = || Some(PresharedKey::generate());
        let next = |step| Some(Next { key: PresharedKey::generate(), step });
        for shared in [
            Shared::default(),
            Shared { revision: 1, kept: None, next: next(Step::Offer) },
            Shared { revision: 2, kept: key(), next: next(Step::Apply) },
            Shared { revision: u64::MAX, kept: key(), next: None },
        ] {
            assert_eq!(shared.expose_text().parse(), Ok(shared));
        }
    }

    #[test]
    fn what_is_no_state_is_refused_without_being_shown() {
        for text in ["", "1 - -", "x - - -", "1 - offer -", "1 - - AAAA", "1 AAAA - -", "1 - swap -"] {
            let error = text.parse::<Shared>().unwrap_err();
            assert!(!error.to_string().contains("AAAA"), "{error}");
        }
    }
}
