//! Every stable code that a program prints is explained, and every code explained is printed.

use std::collections::{BTreeMap, BTreeSet};

use crate::Finding;
use crate::workspace::{Workspace, WorkspaceError, read_text};

/// Where the explanations stand; what is written there is not printed as a code.
const EXPLANATIONS: &str = "crates/sb-api/src/code";

/// Where programs and libraries come from.
const SOURCE_DIRECTORIES: &[&str] = &["crates", "bins"];

/// Ends of words with dots that are names of files.
const FILE_ENDINGS: &[&str] = &[
    "auto",
    "conf",
    "controllers",
    "crt",
    "d",
    "events",
    "first",
    "history",
    "id",
    "json",
    "jsonl",
    "key",
    "kill",
    "lock",
    "log",
    "md",
    "new",
    "opts",
    "pem",
    "pid",
    "procs",
    "rs",
    "service",
    "signal",
    "slice",
    "sock",
    "sql",
    "started",
    "tmp",
    "toml",
    "wal",
];

/// Other words with dots that are no codes, and what they are.
pub const NOT_CODES: &[(&str, &str)] = &[("data.cloning", "a directory in a test")];

/// Codes without an explanation, and explanations of codes that nothing prints.
///
/// # Errors
/// When a file or directory cannot be read.
pub fn check(workspace: &Workspace) -> Result<Vec<Finding>, WorkspaceError> {
    let mut printed = BTreeMap::new();
    for directory in SOURCE_DIRECTORIES {
        for file in workspace.files(directory, "rs")? {
            let path = workspace.relative(&file).into_owned();
            if path.contains("/src/") && !path.starts_with(EXPLANATIONS) {
                for word in dotted_words(&read_text(&file)?) {
                    printed.entry(word).or_insert_with(|| path.clone());
                }
            }
        }
    }
    let explained: BTreeSet<_> = sb_api::codes().map(|code| code.code.to_owned()).collect();
    Ok(compare(&printed, &explained))
}

fn compare(printed: &BTreeMap<String, String>, explained: &BTreeSet<String>) -> Vec<Finding> {
    let is_code = |word: &str| {
        let ending = word.rsplit('.').next().unwrap_or_default();
        let other = FILE_ENDINGS.contains(&ending) || NOT_CODES.iter().any(|(known, _)| *known == word);
        !other
    };
    let missing = printed.iter().filter(|(word, _)| is_code(word) && !explained.contains(*word));
    let missing = missing.map(|(word, path)| {
        Finding::new(
            path,
            format!("prints the code `{word}`, which `sb-cli explain` does not know"),
            format!("Explain it in {EXPLANATIONS}, or say in tests/gate/src/codes.rs that it is no code."),
        )
    });
    let unused = explained.iter().filter(|code| !printed.contains_key(*code)).map(|code| {
        Finding::new(code, "is explained and nothing prints it", "Take it out, or mend its spelling.")
    });
    missing.chain(unused).collect()
}

/// The texts of a source file that have the form of a code, without those of its tests.
fn dotted_words(source: &str) -> BTreeSet<String> {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    // Comments may quote anything.
    let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default());
    let mut found = BTreeSet::new();
    for line in lines {
        found.extend(line.split('"').skip(1).step_by(2).filter(|text| is_dotted(text)).map(str::to_owned));
    }
    found
}

fn is_dotted(text: &str) -> bool {
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_lowercase())
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    text.contains('.') && text.split('.').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(source: &str) -> BTreeMap<String, String> {
        dotted_words(source).into_iter().map(|word| (word, "a.rs".to_owned())).collect()
    }

    #[test]
    fn a_code_that_nobody_has_explained_is_noticed() {
        let source = r#"Entry::new("disk.full", "the disk is full. See `a.b`"); read("phase.json");"#;

        let findings = compare(&of(source), &BTreeSet::new());

        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].message.contains("`disk.full`"));
    }

    #[test]
    fn an_explanation_that_nobody_needs_is_noticed() {
        let explained = BTreeSet::from(["disk.full".to_owned(), "disk.slow".to_owned()]);

        let findings = compare(&of(r#"Entry::new("disk.full")"#), &explained);

        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].place, "disk.slow");
    }

    #[test]
    fn what_stands_in_tests_and_comments_is_not_printed() {
        let source = "// \"com.ment\"\nlet a = \"real.code\"; // \"other.words\"\n#[cfg(test)]\nlet b = \"test.only\";";

        assert_eq!(of(source).into_keys().collect::<Vec<_>>(), ["real.code"]);
    }
}
