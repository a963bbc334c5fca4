//! What cargo and the file system say about this workspace.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

/// The workspace that this package was built in.
#[derive(Debug)]
pub struct Workspace {
    /// The directory of the root `Cargo.toml`.
    pub root: PathBuf,
    /// The members, in cargo's order.
    pub packages: Vec<Package>,
}

/// One member of the workspace, with the dependencies its manifest declares.
#[derive(Debug, Clone, Deserialize)]
pub struct Package {
    /// The package's name.
    pub name: String,
    /// Its `Cargo.toml`.
    pub manifest_path: PathBuf,
    /// Everything it depends on, ours and others'.
    pub dependencies: Vec<Dependency>,
}

/// One declared dependency.
#[derive(Debug, Clone, Deserialize)]
pub struct Dependency {
    /// The name of the package depended on, also when the manifest renames it.
    pub name: String,
    /// Where in the manifest it stands.
    #[serde(default, deserialize_with = "kind")]
    pub kind: DependencyKind,
    /// The directory it is taken from; present for our own packages only.
    pub path: Option<PathBuf>,
}

/// The manifest section a dependency stands in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DependencyKind {
    /// `[dependencies]`: part of what is shipped.
    #[default]
    Normal,
    /// `[dev-dependencies]`: tests, examples and benchmarks.
    Dev,
    /// `[build-dependencies]`: build scripts.
    Build,
}

/// Why the workspace could not be read.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// `cargo metadata` could not be started.
    #[error("could not run `cargo metadata`")]
    Start(#[source] io::Error),
    /// `cargo metadata` refused.
    #[error("`cargo metadata` failed: {0}")]
    Refused(String),
    /// Its answer has another form than expected.
    #[error("could not read the answer of `cargo metadata`")]
    Answer(#[source] serde_json::Error),
    /// A directory or file could not be read.
    #[error("could not read `{}`", path.display())]
    Read {
        /// The directory or file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

#[derive(Deserialize)]
struct Metadata {
    workspace_root: PathBuf,
    packages: Vec<Package>,
}

impl Workspace {
    /// Asks cargo about the workspace around this package. Neither the network nor the lock file is
    /// touched: only what the manifests declare is read.
    ///
    /// # Errors
    /// When cargo cannot be run, refuses, or answers in another form.
    pub fn read() -> Result<Self, WorkspaceError> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        let output = Command::new(cargo)
            .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .map_err(WorkspaceError::Start)?;
        if !output.status.success() {
            return Err(WorkspaceError::Refused(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        let metadata: Metadata = serde_json::from_slice(&output.stdout).map_err(WorkspaceError::Answer)?;
        Ok(Self { root: metadata.workspace_root, packages: metadata.packages })
    }

    /// A path below the root, as people write it: relative and with slashes.
    pub fn relative<'a>(&self, path: &'a Path) -> std::borrow::Cow<'a, str> {
        path.strip_prefix(&self.root).unwrap_or(path).to_string_lossy()
    }

    /// Every file below `directory` (relative to the root) whose name ends in `.extension`, sorted. Build
    /// output and hidden directories are left out; a directory that does not exist has no files.
    ///
    /// # Errors
    /// When a directory exists and cannot be read.
    pub fn files(&self, directory: &str, extension: &str) -> Result<Vec<PathBuf>, WorkspaceError> {
        let mut found = Vec::new();
        let mut pending = vec![self.root.join(directory)];
        while let Some(current) = pending.pop() {
            for path in entries(&current)? {
                if path.is_dir() && !is_skipped(&path) {
                    pending.push(path);
                } else if path.is_file() && path.extension().is_some_and(|e| e == extension) {
                    found.push(path);
                }
            }
        }
        found.sort();
        Ok(found)
    }
}

impl Package {
    /// The directory of the package's manifest.
    pub fn directory(&self) -> &Path {
        self.manifest_path.parent().expect("cargo gives the manifest's full path")
    }
}

/// Reads a text file.
///
/// # Errors
/// When the file cannot be read or is not UTF-8.
pub fn read_text(path: &Path) -> Result<String, WorkspaceError> {
    fs::read_to_string(path).map_err(|source| WorkspaceError::Read { path: path.to_owned(), source })
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, WorkspaceError> {
    let failed = |source| WorkspaceError::Read { path: directory.to_owned(), source };
    match fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| Ok(entry.map_err(failed)?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed(error)),
    }
}

fn is_skipped(directory: &Path) -> bool {
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    name == "target" || name.starts_with('.')
}

fn kind<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<DependencyKind, D::Error> {
    match Option::<String>::deserialize(deserializer)?.as_deref() {
        None | Some("normal") => Ok(DependencyKind::Normal),
        Some("dev") => Ok(DependencyKind::Dev),
        Some("build") => Ok(DependencyKind::Build),
        Some(other) => Err(serde::de::Error::unknown_variant(other, &["normal", "dev", "build"])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_a_dependency_is_read_from_cargos_own_words() {
        let read = |text: &str| serde_json::from_str::<Dependency>(text).map(|d| d.kind);

        assert_eq!(read(r#"{"name":"a","kind":null}"#).unwrap(), DependencyKind::Normal);
        assert_eq!(read(r#"{"name":"a","kind":"dev"}"#).unwrap(), DependencyKind::Dev);
        assert_eq!(read(r#"{"name":"a","kind":"build"}"#).unwrap(), DependencyKind::Build);
        assert!(read(r#"{"name":"a","kind":"other"}"#).is_err());
    }

    #[test]
    fn this_package_is_found_among_the_members() {
        let workspace = Workspace::read().unwrap();

        let gate = workspace.packages.iter().find(|p| p.name == "sb-gate").unwrap();
        assert_eq!(workspace.relative(gate.directory()), "tests/gate");
        assert!(workspace.files("tests/gate", "rs").unwrap().iter().any(|f| f.ends_with("src/workspace.rs")));
    }

    #[test]
    fn a_directory_that_does_not_exist_has_no_files() {
        let workspace = Workspace::read().unwrap();

        assert_eq!(workspace.files("no-such-directory", "rs").unwrap(), Vec::<PathBuf>::new());
    }
}
