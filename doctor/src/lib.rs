//! `storage-port doctor`: the mistakes that are most often made with a storage port, looked for and told with how each
//! is mended.
//!
//! | module | what |
//! |---|---|
//! | [`plan`] | what is configured, as far as it can be compared with the machine |
//! | [`shell`] | facts: interfaces, disks, sockets, neighbours, name servers, the storage center |
//! | [`checks`] | one for each mistake: from plan and facts to findings (pure) |
//! | [`report`] | the findings, for people and for programs |
//!
//! Nothing is changed, on this machine and elsewhere. Every look has an end, they go side by side, and all is told
//! within ten seconds. What cannot be looked at is told as not checked, never as good. A cause is named once: who
//! cannot look a name up is not told as well that the storage center behind it is away.

pub mod checks;
pub mod plan;
pub mod report;
pub mod shell;

use std::time::Duration;

pub use plan::Plan;
pub use report::{Finding, Outcome, Report};
pub use shell::Facts;

/// What the doctor is told of the running daemon and the center by whoever can ask them.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The port's daemon.
    pub daemon: Daemon,
    /// Why the configuration would not do, if it would not.
    pub configuration: Option<String>,
    /// Why the storage center does not take the customer's secret.
    pub refused: Option<String>,
}

/// Whether the port's daemon runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Daemon {
    /// It does not.
    Absent,
    /// As this process.
    Runs(u32),
    /// It may not be asked, or gives no answer.
    #[default]
    Unknown,
}

/// Looks at everything. `now` reads the wall clock: the time since 1970.
pub async fn gather(plan: &Plan, now: fn() -> Duration) -> Facts {
    shell::gather(plan, now).await
}

/// What the facts come to. Pure.
pub fn judge(plan: &Plan, told: &Told, facts: &Facts) -> Report {
    Report::new(checks::all(plan, told, facts))
}
