//! What the stable codes of events, problems and findings mean: the answers of `sb-cli explain CODE`.

mod access;
mod documents;
mod journal;
mod preshared;
mod problems;
mod serving;

/// One stable dotted code, for a person who has just met it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// The code, such as `durability.fell_back`.
    pub code: &'static str,
    /// Where it is met.
    pub kind: CodeKind,
    /// What has happened.
    pub meaning: &'static str,
    /// What the product does about it by itself.
    pub by_itself: &'static str,
    /// What the operator should do.
    pub operator: &'static str,
}

/// Where a code is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeKind {
    /// In a server's journal: `sb-cli events`.
    Event,
    /// In the answer to a request that was not carried out.
    Problem,
    /// In the check of a configuration directory: `sb-cli config validate`.
    Finding,
}

impl CodeKind {
    /// In a few words for people.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            CodeKind::Event => "an event of a server's journal",
            CodeKind::Problem => "the reason why a request was not carried out",
            CodeKind::Finding => "a finding about a configuration directory",
        }
    }
}

/// Every code that the programs print, in no order.
pub fn codes() -> impl Iterator<Item = Code> {
    let of = |kind, rows: &'static [Row]| {
        rows.iter().map(move |&[code, meaning, by_itself, operator]| Code {
            code,
            kind,
            meaning,
            by_itself,
            operator,
        })
    };
    let findings = documents::FINDINGS.iter().map(|&[code, meaning, operator]| Code {
        code,
        kind: CodeKind::Finding,
        meaning,
        by_itself: documents::BY_ITSELF,
        operator,
    });
    of(CodeKind::Event, journal::EVENTS)
        .chain(of(CodeKind::Problem, problems::PROBLEMS))
        .chain(of(CodeKind::Problem, access::PROBLEMS))
        .chain(of(CodeKind::Event, preshared::EVENTS))
        .chain(of(CodeKind::Event, serving::EVENTS))
        .chain(of(CodeKind::Problem, preshared::PROBLEMS))
        .chain(findings)
}

/// What is known about `code`: one that is both an event's and a problem's comes twice.
pub fn explain_code(code: &str) -> impl Iterator<Item = Code> {
    codes().filter(move |known| known.code == code)
}

/// Code, meaning, what happens by itself, what the operator should do.
type Row = [&'static str; 4];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_is_dotted_explained_in_sentences_and_explained_once_a_kind() {
        let mut seen = BTreeSet::new();
        for code in codes() {
            assert!(code.code.contains('.'), "{code:?}");
            assert!(seen.insert((code.kind.word(), code.code)), "{} is explained twice", code.code);
            for text in [code.meaning, code.by_itself, code.operator] {
                assert!(text.ends_with('.') && text.len() > 10, "{}: {text:?}", code.code);
            }
        }
    }

    #[test]
    fn an_event_and_a_problem_of_one_code_are_both_told() {
        let kinds: Vec<_> = explain_code("store.rejected").map(|code| code.kind).collect();
        assert_eq!(kinds, [CodeKind::Event, CodeKind::Problem]);
        assert_eq!(explain_code("store.unheard_of").count(), 0);
    }
}
