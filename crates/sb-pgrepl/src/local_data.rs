use sb_pgtypes::{Lineage, Lsn, SystemIdentifier};

use crate::programs::data_major;
use crate::{ControlDataError, FileError, Instance, PositionError, Unfinished};

/// What the data directory of a stopped server holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalData {
    /// Nothing: there is no data directory.
    Absent,
    /// A clone or a rewind was cut short.
    Unfinished(Unfinished),
    /// A database cluster.
    Present {
        /// The cluster it belongs to.
        system_identifier: SystemIdentifier,
        /// The history of the timeline it is on.
        lineage: Lineage,
        /// The end of its last whole WAL record, when that could be found.
        end: Option<Lsn>,
        /// Whether `pg_rewind` can work on it: it has data checksums or `wal_log_hints`.
        rewindable: bool,
    },
}

/// Whose data a directory holds: what the control file alone can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataIdentity {
    /// Nothing: there is no data directory.
    Absent,
    /// A clone or a rewind was cut short.
    Unfinished(Unfinished),
    /// A database cluster.
    Present {
        /// The cluster it belongs to.
        system_identifier: SystemIdentifier,
    },
}

/// The data directory could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum LocalDataError {
    /// The note about unfinished work, or the directory, could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its control file could not be read.
    #[error(transparent)]
    ControlData(#[from] ControlDataError),
    /// Its lineage could not be read.
    #[error(transparent)]
    Position(#[from] PositionError),
}

impl Instance {
    /// Whose data the directory holds, in some milliseconds: it reads two small files and no WAL. Where its log ends is the
    /// business of [`Instance::local_data`], which reads everything since the last checkpoint.
    ///
    /// # Errors
    /// When it is there but cannot be read. [`LocalDataError::Position`] is none of them.
    pub async fn data_identity(&self) -> Result<DataIdentity, LocalDataError> {
        if let Some(what) = self.unfinished()? {
            return Ok(DataIdentity::Unfinished(what));
        }
        if data_major(self.data_dir()).is_none() {
            return Ok(DataIdentity::Absent);
        }
        let system_identifier = self.control_data().await?.system_identifier;
        Ok(DataIdentity::Present { system_identifier })
    }

    /// Looks at the data directory of a stopped server. It reads the log from the last checkpoint on, which takes seconds
    /// after a busy time: not for a server that is about to be started.
    ///
    /// # Errors
    /// When it is there but cannot be read.
    pub async fn local_data(&self) -> Result<LocalData, LocalDataError> {
        if let Some(what) = self.unfinished()? {
            return Ok(LocalData::Unfinished(what));
        }
        if data_major(self.data_dir()).is_none() {
            return Ok(LocalData::Absent);
        }
        let control = self.control_data().await?;
        let end = self.position_on_disk().await?;
        let lineage = match &end {
            Some(position) => position.lineage.clone(),
            None => self.lineage().await?,
        };
        Ok(LocalData::Present {
            system_identifier: control.system_identifier,
            lineage,
            end: end.map(|position| position.flushed),
            rewindable: control.checksums || control.wal_log_hints,
        })
    }
}
