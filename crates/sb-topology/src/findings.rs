//! Problems while they are being collected.

use crate::{Problem, Severity};

/// Longest value that a message repeats, in characters.
const SHOWN_CHARACTERS_MAX: usize = 60;

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: &'static str,
    pub(crate) pointer: String,
    pub(crate) line: usize,
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Placed<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

/// What has been found so far.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    problems: Vec<Problem>,
}

impl Findings {
    pub(crate) fn error(
        &mut self,
        place: &Place,
        code: &'static str,
        message: impl Into<String>,
    ) -> Words<'_> {
        self.report(Severity::Error, place, code, message.into())
    }

    pub(crate) fn warning(
        &mut self,
        place: &Place,
        code: &'static str,
        message: impl Into<String>,
    ) -> Words<'_> {
        self.report(Severity::Warning, place, code, message.into())
    }

    pub(crate) fn report(
        &mut self,
        severity: Severity,
        place: &Place,
        code: &'static str,
        message: String,
    ) -> Words<'_> {
        let Place { file, pointer, line } = place.clone();
        self.problems.push(Problem {
            severity,
            file,
            pointer,
            line,
            code,
            message,
            detail: None,
            hint: None,
        });
        Words(self.problems.last_mut().expect("one was pushed"))
    }

    pub(crate) fn has_error(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }

    pub(crate) fn has_error_in(&self, files: &[&str]) -> bool {
        self.problems
            .iter()
            .any(|problem| problem.severity == Severity::Error && files.contains(&problem.file))
    }

    /// Whether something was found about the value of `key` in the object at `place`.
    pub(crate) fn concern(&self, place: &Place, key: &str) -> bool {
        let pointer = format!("{}/{key}", place.pointer);
        self.problems.iter().any(|problem| problem.file == place.file && problem.pointer == pointer)
    }

    /// The problems in order of file, line and place.
    pub(crate) fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort_by(|a, b| {
            (a.file, a.line, &a.pointer, a.severity).cmp(&(b.file, b.line, &b.pointer, b.severity))
        });
        self.problems
    }
}

/// Adds to a problem that was just reported.
pub(crate) struct Words<'f>(&'f mut Problem);

impl Words<'_> {
    pub(crate) fn detail(self, text: impl Into<String>) -> Self {
        self.0.detail = Some(text.into());
        self
    }

    pub(crate) fn hint(self, text: impl Into<String>) -> Self {
        self.0.hint = Some(text.into());
        self
    }
}

/// An error's text as a sentence.
pub(crate) fn sentence(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

/// A value of a document for a message: in backticks, harmless to a terminal, cut when it is long.
pub(crate) fn shown(text: &str) -> String {
    format!("`{}`", harmless(text, SHOWN_CHARACTERS_MAX))
}

/// A text of a document with its control characters escaped, cut when it is long.
pub(crate) fn harmless(text: &str, characters_max: usize) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().collect() } else { vec![c] };
    let mut cut: String = text.chars().take(characters_max).flat_map(escaped).collect();
    if text.chars().nth(characters_max).is_some() {
        cut.push('…');
    }
    cut
}
