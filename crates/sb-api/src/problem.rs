use serde::{Deserialize, Serialize};

/// Media type of a [`Problem`] (RFC 9457, section 3).
pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";

/// Why a request was not carried out: a problem document (RFC 9457) with a stable code, a hint and the gates that
/// were looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `urn:show-build:problem:CODE`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The fact in one sentence, without a full stop, objects in backticks.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// Numbers, positions, the rule applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Stable dotted code, such as `failover.may_lose_commits`.
    pub code: String,
    /// What to do, with commands that can be pasted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The safety gates that were looked at, passed or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<Gate>,
}

/// An answer that may be a problem. Boxed because a problem is much larger than most answers.
pub type Refused<T> = Result<T, Box<Problem>>;

/// One condition of an action: what was seen against what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// Stable word, such as `lag`.
    pub name: String,
    /// What was seen, with unit; "unknown" when nothing was.
    pub observed: String,
    /// What is allowed, with unit.
    pub limit: String,
    /// Whether it is passed.
    pub ok: bool,
}

impl Problem {
    /// A problem with `status`, a stable dotted `code` and the fact in one sentence.
    #[must_use]
    pub fn new(status: u16, code: &str, title: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:show-build:problem:{code}"),
            title: title.into(),
            status,
            detail: None,
            code: code.into(),
            hint: None,
            gates: Vec::new(),
        }
    }

    /// 409: a safety gate or the present state forbids it; nothing was changed.
    #[must_use]
    pub fn refused(code: &str, title: impl Into<String>) -> Self {
        Self::new(409, code, title)
    }

    /// 404: there is no such server, operation or subject.
    #[must_use]
    pub fn not_found(code: &str, title: impl Into<String>) -> Self {
        Self::new(404, code, title)
    }

    /// 503: this agent cannot answer now, for example without the store's majority; asking again may help.
    #[must_use]
    pub fn unavailable(code: &str, title: impl Into<String>) -> Self {
        Self::new(503, code, title)
    }

    /// Adds numbers, positions, the rule applied.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the gates that were looked at.
    #[must_use]
    pub fn gates(mut self, gates: Vec<Gate>) -> Self {
        self.gates = gates;
        self
    }
}

impl Gate {
    /// A gate that is passed.
    #[must_use]
    pub fn passed(name: &str, observed: impl Into<String>, limit: impl Into<String>) -> Self {
        Self { name: name.into(), observed: observed.into(), limit: limit.into(), ok: true }
    }

    /// A gate that is not passed.
    #[must_use]
    pub fn failed(name: &str, observed: impl Into<String>, limit: impl Into<String>) -> Self {
        Self { name: name.into(), observed: observed.into(), limit: limit.into(), ok: false }
    }
}
