use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest major version supported.
pub const MAJOR_MIN: u16 = 15;
/// The newest major version accepted.
pub const MAJOR_MAX: u16 = 18;

/// What must be in the directory.
const REQUIRED: [&str; 6] =
    ["postgres", "initdb", "pg_basebackup", "pg_controldata", "pg_rewind", "pg_waldump"];

/// Places looked at, besides `PATH`: directories whose entries hold a `bin` each.
const LAYOUTS: [&str; 2] = ["/usr/lib/postgresql", "/usr/local/pgsql"];

/// PostgreSQL's server programs: one directory, one major version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    bin: PathBuf,
    major: u16,
}

/// There are no usable PostgreSQL programs.
#[derive(Debug, thiserror::Error)]
pub enum ProgramsError {
    /// None anywhere.
    #[error("could not find PostgreSQL's server programs")]
    NotFound {
        /// Where was looked.
        looked_in: Vec<PathBuf>,
    },
    /// Only unsupported versions.
    #[error("PostgreSQL {major} in `{}` is not supported", bin.display())]
    Unsupported {
        /// Where it is.
        bin: PathBuf,
        /// Its major version.
        major: u16,
    },
    /// Supported ones, but not the version that the data directory needs.
    #[error("there is no PostgreSQL {wanted}, which made the data directory")]
    NoSuchMajor {
        /// The version of the data directory.
        wanted: u16,
        /// Versions that are there.
        found: Vec<u16>,
    },
    /// A directory has `postgres` but lacks other programs.
    #[error("`{}` lacks `{program}`", bin.display())]
    Incomplete {
        /// The directory.
        bin: PathBuf,
        /// The first program that is missing.
        program: &'static str,
    },
}

impl ProgramsError {
    /// Numbers and places, for the line after the message.
    #[must_use]
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::NotFound { looked_in } => {
                let places: Vec<_> = looked_in.iter().map(|p| p.display().to_string()).collect();
                Some(format!("Looked in {}.", places.join(", ")))
            }
            Self::Unsupported { .. } => Some(format!("Supported are {MAJOR_MIN} to {MAJOR_MAX}.")),
            Self::NoSuchMajor { found, .. } => Some(format!("Installed: {found:?}.")),
            Self::Incomplete { .. } => None,
        }
    }

    /// What to do.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NoSuchMajor { wanted, .. } => format!("Install it: apt-get install postgresql-{wanted}"),
            Self::NotFound { .. } | Self::Unsupported { .. } | Self::Incomplete { .. } => {
                "Install the server package: apt-get install postgresql-15".to_owned()
            }
        }
    }
}

impl Programs {
    /// The newest supported ones: in `hint` (a `bin` directory) when given, else in Debian's and the source
    /// distribution's layout and on `PATH`. Asks each `postgres` for its version, some milliseconds each.
    ///
    /// # Errors
    /// When there are none, or only unsupported or incomplete ones.
    pub fn find(hint: Option<&Path>) -> Result<Self, ProgramsError> {
        let all = supported(hint)?;
        let newest = all.into_iter().max_by_key(|p| p.major);
        newest.ok_or_else(|| ProgramsError::NotFound { looked_in: places(hint) })
    }

    /// Those of the major version that made `data_dir` (its `PG_VERSION`), or the newest when it is not there yet.
    ///
    /// # Errors
    /// As [`Programs::find`], and when that version is not installed.
    pub fn find_for_data(hint: Option<&Path>, data_dir: &Path) -> Result<Self, ProgramsError> {
        let Some(wanted) = data_major(data_dir) else { return Self::find(hint) };
        let all = supported(hint)?;
        let found = all.iter().map(|p| p.major).collect();
        all.into_iter().find(|p| p.major == wanted).ok_or(ProgramsError::NoSuchMajor { wanted, found })
    }

    /// The directory.
    #[must_use]
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// The major version.
    #[must_use]
    pub const fn major(&self) -> u16 {
        self.major
    }

    pub(crate) fn path(&self, program: &str) -> PathBuf {
        self.bin.join(program)
    }
}

/// The major version in `PG_VERSION`, if there is one.
pub(crate) fn data_major(data_dir: &Path) -> Option<u16> {
    std::fs::read_to_string(data_dir.join("PG_VERSION")).ok()?.trim().parse().ok()
}

fn supported(hint: Option<&Path>) -> Result<Vec<Programs>, ProgramsError> {
    let mut good = Vec::new();
    let mut first_problem = None;
    for bin in places(hint) {
        match look(&bin) {
            Ok(Some(programs)) => good.push(programs),
            Ok(None) => {}
            Err(problem) => first_problem = first_problem.or(Some(problem)),
        }
    }
    match first_problem {
        Some(problem) if good.is_empty() => Err(problem),
        _ if good.is_empty() => Err(ProgramsError::NotFound { looked_in: places(hint) }),
        _ => Ok(good),
    }
}

fn places(hint: Option<&Path>) -> Vec<PathBuf> {
    if let Some(hint) = hint {
        return vec![hint.to_owned()];
    }
    let mut places = Vec::new();
    for layout in LAYOUTS {
        places.push(Path::new(layout).join("bin"));
        let versions = std::fs::read_dir(layout).into_iter().flatten().flatten();
        places.extend(versions.map(|version| version.path().join("bin")));
    }
    places.extend(
        std::env::var_os("PATH").iter().flat_map(|path| std::env::split_paths(path).collect::<Vec<_>>()),
    );
    places
}

/// The programs in `bin`; [`None`] when there is no `postgres` at all.
fn look(bin: &Path) -> Result<Option<Programs>, ProgramsError> {
    let Some(major) = version_of(&bin.join("postgres")) else { return Ok(None) };
    if !(MAJOR_MIN..=MAJOR_MAX).contains(&major) {
        return Err(ProgramsError::Unsupported { bin: bin.to_owned(), major });
    }
    if let Some(program) = REQUIRED.into_iter().find(|p| !bin.join(p).is_file()) {
        return Err(ProgramsError::Incomplete { bin: bin.to_owned(), program });
    }
    Ok(Some(Programs { bin: bin.to_owned(), major }))
}

fn version_of(postgres: &Path) -> Option<u16> {
    let output = Command::new(postgres).arg("--version").env_clear().output().ok()?;
    parse_version(&String::from_utf8_lossy(&output.stdout))
}

/// `postgres (PostgreSQL) 15.18 (Debian ...)`, also `16beta1`.
fn parse_version(text: &str) -> Option<u16> {
    let version = text.split_once("(PostgreSQL) ")?.1;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn fake(version: &str, programs: &[&str]) -> tempfile::TempDir {
        let bin = tempfile::tempdir().unwrap();
        for program in programs {
            let path = bin.path().join(program);
            std::fs::write(&path, format!("#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        bin
    }

    #[test]
    fn the_version_is_read_from_every_known_form() {
        for (text, major) in [
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Some(15)),
            ("postgres (PostgreSQL) 18beta1\n", Some(18)),
            ("postgres (PostgreSQL) 9.6.24\n", Some(9)),
            ("mysqld  Ver 8\n", None),
        ] {
            assert_eq!(parse_version(text), major, "{text}");
        }
    }

    #[test]
    fn a_version_too_old_is_named_with_its_place() {
        let bin = fake("14.9", &REQUIRED);
        let error = Programs::find(Some(bin.path())).unwrap_err();
        assert!(matches!(error, ProgramsError::Unsupported { major: 14, .. }), "{error:?}");
        assert_eq!(error.detail().as_deref(), Some("Supported are 15 to 18."));
    }

    #[test]
    fn a_missing_program_is_named() {
        let bin = fake("15.1", &["postgres", "initdb"]);
        let error = Programs::find(Some(bin.path())).unwrap_err();
        assert!(matches!(error, ProgramsError::Incomplete { program: "pg_basebackup", .. }), "{error:?}");
    }

    #[test]
    fn an_empty_place_is_reported_as_not_found() {
        let empty = tempfile::tempdir().unwrap();
        let error = Programs::find(Some(empty.path())).unwrap_err();
        assert!(error.detail().unwrap().contains(&empty.path().display().to_string()));
    }

    #[test]
    fn the_version_of_the_data_directory_decides() {
        let bin = fake("16.2", &REQUIRED);
        let data = tempfile::tempdir().unwrap();
        std::fs::write(data.path().join("PG_VERSION"), "15\n").unwrap();
        let error = Programs::find_for_data(Some(bin.path()), data.path()).unwrap_err();
        assert!(matches!(error, ProgramsError::NoSuchMajor { wanted: 15, .. }), "{error:?}");
    }
}
