//! What the doctor found, for people and for programs.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How one thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// Nobody looked; the text says why.
    NotChecked,
    /// It works, and may not for long, or not for all.
    Warning,
    /// It does not work.
    Fault,
}

/// One line of the doctor's.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Finding {
    /// Which check: `nic`, `clock`, `center`, `certificate`, `pair-key`, `disk`, `port`, `mtu`, `dns`, `address`, and
    /// `configuration`.
    pub check: String,
    /// How it is.
    pub outcome: Outcome,
    /// What was found.
    pub text: String,
    /// What to do; of warnings and faults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn ok(check: &str, text: impl Into<String>) -> Self {
        Self { check: check.to_owned(), outcome: Outcome::Ok, text: text.into(), mend: None }
    }

    /// Why nobody looked.
    pub fn not_checked(check: &str, why: impl Into<String>) -> Self {
        Self { outcome: Outcome::NotChecked, ..Self::ok(check, why) }
    }

    /// It may not work for long.
    pub fn warning(check: &str, text: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { outcome: Outcome::Warning, mend: Some(mend.into()), ..Self::ok(check, text) }
    }

    /// It does not work.
    pub fn fault(check: &str, text: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { outcome: Outcome::Fault, mend: Some(mend.into()), ..Self::ok(check, text) }
    }
}

/// All findings, at least one of each check.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Report {
    /// Of the program.
    pub version: String,
    /// The worst there is, of warnings and faults; what was not checked is neither.
    pub outcome: Outcome,
    /// In order of the checks.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Of these findings.
    pub fn new(findings: Vec<Finding>) -> Self {
        let wrong =
            findings.iter().map(|finding| finding.outcome).filter(|outcome| *outcome >= Outcome::Warning);
        let outcome = wrong.max().unwrap_or(Outcome::Ok);
        Self { version: env!("CARGO_PKG_VERSION").to_owned(), outcome, findings }
    }

    /// Exit status of a command that tells it: 0 well, 1 a fault, 3 a warning.
    pub fn exit_status(&self) -> u8 {
        match self.outcome {
            Outcome::Ok | Outcome::NotChecked => 0,
            Outcome::Warning => 3,
            Outcome::Fault => 1,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            let Finding { check, outcome, text, mend } = finding;
            let word = match outcome {
                Outcome::Ok => "ok",
                Outcome::NotChecked => "not checked",
                Outcome::Warning => "WARNING",
                Outcome::Fault => "FAULT",
            };
            writeln!(f, "{word:<12} {check}: {}", one_line(text))?;
            if let Some(mend) = mend {
                writeln!(f, "{:<12} → {}", "", one_line(mend))?;
            }
        }
        let count = |wanted| self.findings.iter().filter(|finding| finding.outcome == wanted).count();
        match (count(Outcome::Fault), count(Outcome::Warning), count(Outcome::NotChecked)) {
            (0, 0, 0) => write!(f, "All is well."),
            (0, 0, unseen) => write!(f, "Nothing is wrong as far as it was looked at; {unseen} not checked."),
            (faults, warnings, _) => write!(f, "Faults: {faults}, warnings: {warnings}."),
        }
    }
}

/// What others have written may steer a terminal: it stands escaped.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_finding_is_the_exit_status() {
        let ok = Finding::ok("dns", "fine");
        let unseen = Finding::not_checked("mtu", "no center");
        let warning = Finding::warning("clock", "late", "set it");
        let fault = Finding::fault("disk", "full", "empty it");
        let status = |findings: &[&Finding]| {
            Report::new(findings.iter().map(|finding| (*finding).clone()).collect()).exit_status()
        };
        assert_eq!(status(&[]), 0);
        assert_eq!(status(&[&ok, &unseen]), 0);
        assert_eq!(status(&[&warning, &unseen]), 3);
        assert_eq!(status(&[&fault, &warning, &ok]), 1);
    }

    #[test]
    fn a_report_is_read_back_and_what_others_wrote_steers_no_terminal() {
        let report = Report::new(vec![Finding::fault("port", "taken by `a\x1b[2J`", "end it")]);
        let json = serde_json::to_string(&report).unwrap();
        assert!(json.contains("\"outcome\":\"fault\""), "{json}");
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
        assert_eq!(
            report.to_string(),
            "FAULT        port: taken by `a\\u{1b}[2J`\n             → end it\nFaults: 1, warnings: 0."
        );
    }
}
