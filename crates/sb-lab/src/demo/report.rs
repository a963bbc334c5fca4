//! The numbers of a demo, as they are written to a file.

use serde::Serialize;

use crate::options::Scenario;

/// The numbers. The fields are a contract with whoever reads the file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// What went wrong.
    pub scenario: &'static str,
    /// How many servers there were.
    pub servers: usize,
    /// Writes that were acknowledged to clients.
    pub acknowledged: usize,
    /// Of these, how many the survivor does not have.
    pub lost: usize,
    /// Longest silence between two acknowledgements across the fault, in seconds.
    pub write_gap_seconds: f64,
    /// From the return of what was lost until it was a standby again, in seconds. Where nothing has to return, from
    /// the fault until every server follows the primary.
    pub rejoin_seconds: f64,
    /// Who is primary at the end.
    pub new_primary: String,
    /// The number of its primaryship.
    pub term: u64,
}

impl Report {
    /// The numbers as a person reads them.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        vec![
            format!("scenario             {}", self.scenario),
            format!("primary              `{}` (term {})", self.new_primary, self.term),
            format!("without writes       {:.2} s", self.write_gap_seconds),
            format!("acknowledged writes  {}", self.acknowledged),
            format!("lost writes          {}", self.lost),
            format!("rejoined after       {:.2} s", self.rejoin_seconds),
        ]
    }
}

/// Three digits are what a round of 50 writes a second can tell.
pub(super) fn rounded_seconds(time: std::time::Duration) -> f64 {
    (time.as_secs_f64() * 1_000.0).round() / 1_000.0
}

/// The word of the report.
pub(super) fn word(scenario: Scenario) -> &'static str {
    scenario.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_has_exactly_the_agreed_fields() {
        let report = Report {
            scenario: "host-loss",
            servers: 6,
            acknowledged: 1_000,
            lost: 0,
            write_gap_seconds: rounded_seconds(std::time::Duration::from_micros(4_123_456)),
            rejoin_seconds: 2.5,
            new_primary: "ravena-2".into(),
            term: 2,
        };
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            r#"{"scenario":"host-loss","servers":6,"acknowledged":1000,"lost":0,"write_gap_seconds":4.123,"rejoin_seconds":2.5,"new_primary":"ravena-2","term":2}"#
        );
    }
}
