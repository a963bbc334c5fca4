//! The form of the decisions in `docs/adr/`, that ARCHITECTURE.md speaks of every crate, that links lead somewhere,
//! and that tests which a document names exist.

use crate::Finding;
use crate::workspace::{Workspace, WorkspaceError, read_text};

/// The headings that every decision has, in this order.
pub const ADR_SECTIONS: [&str; 4] =
    ["Context", "Decision", "What was refused", "How we would notice that we were wrong"];

/// Decisions whose name or sections have another form.
///
/// # Errors
/// When `docs/adr` cannot be read.
pub fn check_decisions(workspace: &Workspace) -> Result<Vec<Finding>, WorkspaceError> {
    let mut findings = Vec::new();
    for file in workspace.files("docs/adr", "md")? {
        let path = workspace.relative(&file).into_owned();
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        if !is_dated_title(&name) {
            findings.push(Finding::new(
                &path,
                "is not named YYYY-MM-DD-title.md",
                "Use the day of the decision and a title in lower case with dashes.",
            ));
        }
        if sections(&read_text(&file)?) != ADR_SECTIONS {
            findings.push(Finding::new(
                &path,
                "does not have the sections of a decision",
                format!("Its `##` headings have to be: {}.", ADR_SECTIONS.join(", ")),
            ));
        }
    }
    Ok(findings)
}

/// Packages that ARCHITECTURE.md has no paragraph for.
///
/// # Errors
/// When ARCHITECTURE.md cannot be read.
pub fn check_architecture(workspace: &Workspace) -> Result<Vec<Finding>, WorkspaceError> {
    let text = read_text(&workspace.root.join("ARCHITECTURE.md"))?;
    let missing = workspace.packages.iter().filter(|package| !has_paragraph(&text, &package.name));
    Ok(missing
        .map(|package| {
            Finding::new(
                &package.name,
                "has no paragraph in ARCHITECTURE.md",
                format!("Add one that begins with **`{}`**.", package.name),
            )
        })
        .collect())
}

/// The document whose table maps failures of the field to tests.
const TESTING: &str = "docs/internals/testing.md";

/// Tests named in the fourth column of the table of failures that no source file defines.
///
/// # Errors
/// When a file cannot be read.
pub fn check_named_tests(workspace: &Workspace) -> Result<Vec<Finding>, WorkspaceError> {
    let mut sources = String::new();
    for directory in ["crates", "bins", "tests"] {
        for file in workspace.files(directory, "rs")? {
            sources.push_str(&read_text(&file)?);
        }
    }
    let document = read_text(&workspace.root.join(TESTING))?;
    let named = document.lines().filter_map(|line| line.split('|').nth(4));
    let tests = named.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let defined = |test: &str| {
        sources.contains(&format!("fn {test}(")) || sources.contains(&format!("name: \"{test}\""))
    };
    let missing = tests.filter(|test| !defined(test)).map(|test| {
        let message = format!("names the test `{test}`, which is not there");
        Finding::new(TESTING, message, "Name the test that covers it, or say that the row is open.")
    });
    Ok(missing.collect())
}

/// Links between files of this repository that lead to nothing.
///
/// # Errors
/// When a document cannot be read.
pub fn check_links(workspace: &Workspace) -> Result<Vec<Finding>, WorkspaceError> {
    let mut findings = Vec::new();
    for file in workspace.files("", "md")? {
        let directory = file.parent().unwrap_or(&workspace.root);
        let text = read_text(&file)?;
        findings.extend(links(&text).filter(|link| !directory.join(link).exists()).map(|link| {
            Finding::new(
                workspace.relative(&file),
                format!("links to `{link}`, which is not there"),
                "Mend the link.",
            )
        }));
    }
    Ok(findings)
}

/// Targets of `[text](target)` that are paths, without their anchors.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    let paths = targets.filter(|target| !target.contains("://") && !target.starts_with('#'));
    paths.map(|path| path.split_once('#').map_or(path, |(path, _)| path))
}

fn has_paragraph(text: &str, package: &str) -> bool {
    let opening = format!("**`{package}`**");
    text.lines().any(|line| line.strip_prefix("* ").unwrap_or(line).starts_with(&opening))
}

fn is_dated_title(name: &str) -> bool {
    let Some((date, title)) = name.split_at_checked("YYYY-MM-DD".len()) else {
        return false;
    };
    let digits_and_dashes = date.bytes().enumerate().all(|(at, byte)| match at {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    let month = date.get(5..7).and_then(|month| month.parse::<u8>().ok());
    let day = date.get(8..10).and_then(|day| day.parse::<u8>().ok());
    digits_and_dashes
        && month.is_some_and(|month| (1..=12).contains(&month))
        && day.is_some_and(|day| (1..=31).contains(&day))
        && title.len() > 1
        && title.starts_with('-')
        && title.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn sections(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("## ")).map(str::trim).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_is_named_by_its_day_and_title() {
        assert!(is_dated_title("2026-11-23-anatomy"));
        assert!(!is_dated_title("anatomy"));
        assert!(!is_dated_title("2026-13-23-anatomy"));
        assert!(!is_dated_title("2026-11-23"));
        assert!(!is_dated_title("2026-11-23-Anatomy Of"));
        assert!(!is_dated_title("0001-anatomy-of-a-server"));
    }

    #[test]
    fn a_missing_or_renamed_section_is_noticed() {
        let whole = "# T\n\n## Context\n\n## Decision\n\n### Detail\n\n## What was refused\n\n\
                     ## How we would notice that we were wrong\n";

        assert_eq!(sections(whole), ADR_SECTIONS);
        assert_ne!(sections(&whole.replace("What was refused", "Alternatives")), ADR_SECTIONS);
        assert_ne!(sections("# T\n\n## Context\n\n## Decision\n"), ADR_SECTIONS);
    }

    #[test]
    fn links_to_files_are_told_from_addresses_and_anchors() {
        let text = "[a](docs/a.md), [b](https://example.org/b), [c](#here) and [d](../d.md#part).";

        assert_eq!(links(text).collect::<Vec<_>>(), ["docs/a.md", "../d.md"]);
    }

    #[test]
    fn a_crate_counts_as_described_where_a_paragraph_opens_with_its_name() {
        assert!(has_paragraph("**`sb-node`** is the runtime.", "sb-node"));
        assert!(has_paragraph("* **`sb-node`** is the runtime.", "sb-node"));
        assert!(!has_paragraph("Only `sb-node` knows all of them.", "sb-node"));
        assert!(!has_paragraph("**`sb-node-extra`** is another.", "sb-node"));
    }
}
