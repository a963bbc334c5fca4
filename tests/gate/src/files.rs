//! Names and lengths of source files, and what every package has to have.

use std::path::Path;

use crate::Finding;
use crate::workspace::{Package, Workspace, WorkspaceError, read_text};

/// A source file longer than this has to be in [`LONG_FILES`] with its reason.
pub const SOURCE_LINES_MAX: usize = 500;

/// Files that are longer for a reason: path and reason.
pub const LONG_FILES: &[(&str, &str)] = &[];

/// Module names that say nothing about a role.
pub const FORBIDDEN_NAMES: &[&str] = &["utils", "util", "common", "shared", "core", "helpers", "manager"];

/// The directories that hold our Rust code.
const SOURCE_DIRECTORIES: &[&str] = &["crates", "bins", "tests"];

/// Files over [`SOURCE_LINES_MAX`] without a reason, reasons without a long file, and forbidden names.
///
/// # Errors
/// When a file or directory cannot be read.
pub fn check_sources(workspace: &Workspace) -> Result<Vec<Finding>, WorkspaceError> {
    let mut lengths = Vec::new();
    for directory in SOURCE_DIRECTORIES {
        for file in workspace.files(directory, "rs")? {
            lengths.push((workspace.relative(&file).into_owned(), read_text(&file)?.lines().count()));
        }
    }
    let mut findings = lengths_of(&lengths, LONG_FILES);
    findings.extend(lengths.iter().filter_map(|(path, _)| name_of(path)));
    Ok(findings)
}

/// Packages without the workspace's lints, libraries below `crates/` without an example, and `clippy.toml` files
/// that drop an entry of the root's.
///
/// # Errors
/// When a manifest or directory cannot be read.
pub fn check_packages(workspace: &Workspace) -> Result<Vec<Finding>, WorkspaceError> {
    let mut findings = Vec::new();
    for package in &workspace.packages {
        if !inherits_lints(&read_text(&package.manifest_path)?) {
            findings.push(Finding::new(
                &package.name,
                "does not take the workspace's lints",
                "Add `[lints]` with `workspace = true` to its Cargo.toml.",
            ));
        }
        findings.extend(missing_example(workspace, package)?);
        findings.extend(dropped_entries(workspace, package)?);
    }
    Ok(findings)
}

fn missing_example(workspace: &Workspace, package: &Package) -> Result<Option<Finding>, WorkspaceError> {
    let directory = workspace.relative(package.directory()).into_owned();
    if !directory.starts_with("crates/")
        || !workspace.files(&format!("{directory}/examples"), "rs")?.is_empty()
    {
        return Ok(None);
    }
    Ok(Some(Finding::new(
        &package.name,
        "is a library without an example",
        format!("Add {directory}/examples/NAME.rs that uses it without our binaries."),
    )))
}

/// Clippy reads the nearest `clippy.toml` only, so a crate's own has to repeat the root's entries.
fn dropped_entries(workspace: &Workspace, package: &Package) -> Result<Vec<Finding>, WorkspaceError> {
    let own = package.directory().join("clippy.toml");
    if !own.is_file() {
        return Ok(Vec::new());
    }
    let root = read_text(&workspace.root.join("clippy.toml"))?;
    let missing = not_repeated(&root, &read_text(&own)?);
    let findings = missing.into_iter().map(|entry| {
        Finding::new(
            workspace.relative(&own),
            format!("replaces the root's and lacks `{entry}`"),
            "Repeat every entry of the root's clippy.toml.",
        )
    });
    Ok(findings.collect())
}

fn not_repeated(root: &str, own: &str) -> Vec<String> {
    let entries = |text: &str| -> Vec<String> {
        text.lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(str::to_owned)
            .collect()
    };
    let own = entries(own);
    entries(root).into_iter().filter(|entry| !own.contains(entry)).collect()
}

fn lengths_of(lengths: &[(String, usize)], reasoned: &[(&str, &str)]) -> Vec<Finding> {
    let has_reason = |path: &str| reasoned.iter().any(|(listed, _)| *listed == path);
    let too_long = lengths.iter().filter(|(path, lines)| *lines > SOURCE_LINES_MAX && !has_reason(path)).map(
        |(path, lines)| {
            Finding::new(
                path,
                format!("has {lines} lines; {SOURCE_LINES_MAX} are allowed"),
                "Split it along its types, or add it to `LONG_FILES` in tests/gate/src/files.rs with the reason.",
            )
        },
    );
    let needless = reasoned
        .iter()
        .filter(|(listed, _)| {
            !lengths.iter().any(|(path, lines)| path == listed && *lines > SOURCE_LINES_MAX)
        })
        .map(|(listed, _)| {
            Finding::new(*listed, "is excused for its length and is not long", "Remove it from `LONG_FILES`.")
        });
    too_long.chain(needless).collect()
}

/// A finding when the file, or a directory that is a module, has a forbidden name.
fn name_of(path: &str) -> Option<Finding> {
    let stems = Path::new(path).with_extension("");
    let forbidden =
        stems.iter().find(|part| FORBIDDEN_NAMES.iter().any(|name| part.to_str() == Some(*name)))?;
    Some(Finding::new(
        path,
        format!("is named `{}`, which says nothing about its role", forbidden.to_string_lossy()),
        "Name it after what it holds, in the field's own terms.",
    ))
}

fn inherits_lints(manifest: &str) -> bool {
    let mut section = "";
    manifest.lines().map(str::trim).any(|line| {
        if line.starts_with('[') {
            section = line;
        }
        section == "[lints]"
            && line.split_once('=').is_some_and(|(k, v)| k.trim() == "workspace" && v.trim() == "true")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(files: &[(&str, usize)]) -> Vec<(String, usize)> {
        files.iter().map(|(path, lines)| ((*path).to_owned(), *lines)).collect()
    }

    #[test]
    fn a_file_one_line_too_long_is_noticed() {
        let files = lengths(&[("a.rs", SOURCE_LINES_MAX), ("b.rs", SOURCE_LINES_MAX + 1)]);

        let findings = lengths_of(&files, &[]);

        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].place, "b.rs");
    }

    #[test]
    fn a_reason_excuses_a_long_file_and_only_a_long_file() {
        let files = lengths(&[("table.rs", SOURCE_LINES_MAX + 1), ("short.rs", 10)]);

        assert_eq!(lengths_of(&files, &[("table.rs", "one table")]), []);
        assert_eq!(lengths_of(&files, &[("table.rs", "one table"), ("short.rs", "was long")]).len(), 1);
    }

    #[test]
    fn forbidden_names_are_noticed_as_file_and_as_directory() {
        assert!(name_of("crates/sb-x/src/utils.rs").is_some());
        assert!(name_of("crates/sb-x/src/helpers/socket.rs").is_some());
        assert!(name_of("crates/sb-x/src/common/mod.rs").is_some());
        assert!(name_of("crates/sb-x/src/lease.rs").is_none());
    }

    #[test]
    fn an_entry_that_a_crates_own_clippy_toml_drops_is_noticed() {
        let root = "# why\ntoo-many-lines-threshold = 70\nallow-unwrap-in-tests = true\n";

        assert_eq!(
            not_repeated(root, "too-many-lines-threshold = 70\nallow-unwrap-in-tests = true\nx = 1\n"),
            [""; 0]
        );
        assert_eq!(
            not_repeated(root, "too-many-lines-threshold = 90\nallow-unwrap-in-tests = true\n"),
            ["too-many-lines-threshold = 70"]
        );
    }

    #[test]
    fn lints_count_only_in_their_own_section() {
        assert!(inherits_lints("[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n"));
        assert!(!inherits_lints("[package]\nlicense.workspace = true\n\n[dependencies]\nworkspace = true\n"));
        assert!(!inherits_lints("[lints]\nworkspace = false\n"));
        assert!(!inherits_lints("# [lints]\n# workspace = true\n"));
    }
}
