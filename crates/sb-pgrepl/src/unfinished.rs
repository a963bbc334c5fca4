use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::files::{read_if_present, remove_durably, rename_durably, write_durably};
use crate::{FileError, Instance};

/// What a data directory was in the middle of when the last note about it was made.
///
/// The note is a file beside the data directory (`<data_dir>.unfinished`), not in it: `pg_rewind` removes from the
/// directory what the source does not have. While it stands, the directory is never started and its server can never be
/// a candidate; [`crate::Instance::clone_from`] is the way out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "operation")]
pub enum Unfinished {
    /// Another copy is being made beside it; the directory itself is as it was.
    Clone {
        /// The server that is copied.
        source: String,
        /// Where the former data directory is or is about to be moved, once the copy is whole.
        parked: Option<PathBuf>,
    },
    /// It is being rewritten in place: it is unusable until the end.
    Rewind {
        /// The server that it is made alike to.
        source: String,
    },
    /// There is a note that cannot be read, so the worst is assumed.
    Unreadable,
}

impl Instance {
    fn unfinished_path(&self) -> PathBuf {
        self.beside_data("unfinished")
    }

    /// The note, if there is one.
    pub(crate) fn unfinished(&self) -> Result<Option<Unfinished>, FileError> {
        let text = read_if_present(&self.unfinished_path())?;
        Ok(text.map(|text| serde_json::from_str(&text).unwrap_or(Unfinished::Unreadable)))
    }

    /// Makes the note durable, before the first change.
    pub(crate) fn note_unfinished(&self, what: &Unfinished) -> Result<(), FileError> {
        let text = serde_json::to_vec(what).expect("plain strings make JSON");
        write_durably(&self.unfinished_path(), &text, 0o600, None)
    }

    /// Takes the note away, after the last change is durable.
    pub(crate) fn clear_unfinished(&self) -> Result<(), FileError> {
        remove_durably(&self.unfinished_path())
    }

    /// Gives up a clone that was cut short, and has the former data directory back as it was. For the operator whose source
    /// is gone for good; of a rewind cut short nothing can be had back.
    ///
    /// # Errors
    /// When a file cannot be removed. Says `false` when the note is not of a clone: then nothing is changed.
    pub async fn discard_unfinished_clone(&self) -> Result<bool, FileError> {
        let Some(Unfinished::Clone { parked, .. }) = self.unfinished()? else { return Ok(false) };
        self.remove_attempts("cloning").await?;
        if let Some(parked) = parked.filter(|parked| parked.exists() && !self.data_dir().exists()) {
            rename_durably(&parked, self.data_dir())?;
        }
        self.clear_unfinished()?;
        Ok(true)
    }
}
