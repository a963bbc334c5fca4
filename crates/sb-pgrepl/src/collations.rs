//! Whether this server's libraries sort text as those did with which the data was written.
//!
//! An index on text made under one version of glibc or ICU is out of order under another: rows are not found, and unique
//! ones are doubled. What [`Instance::init_db`] makes sorts by code points and does not depend on any library; a database
//! that was adopted, or made by hand, may.

use std::time::Duration;

use serde::Deserialize;

use crate::{Instance, SqlError};

/// A database whose text this server would sort otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DifferingCollation {
    /// Its name.
    pub database: String,
    /// The version of the library that it was written with.
    pub written: String,
    /// The version of the library here.
    pub here: String,
}

const DIFFERING_SQL: &str = r"
    SELECT coalesce(json_agg(json_build_object('database', datname, 'written', datcollversion, 'here', here)
                    ORDER BY datname), '[]')::text
    FROM pg_database, pg_database_collation_actual_version(oid) AS here WHERE datcollversion <> here";

impl Instance {
    /// The databases whose version of the default collation is another one here than where they were written: on a standby
    /// this compares its own libraries with the primary's.
    ///
    /// # Errors
    /// When PostgreSQL does not answer in time.
    pub async fn differing_collations(&self, within: Duration) -> Result<Vec<DifferingCollation>, SqlError> {
        self.session(within).await?.json("compare the versions of collations", DIFFERING_SQL).await
    }
}
