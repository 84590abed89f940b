//! All that the page shows, asked as an operator asks: by the operations of the control sockets, this port's own within
//! the process and its judge's through the socket.

use std::path::Path;
use std::time::Duration;

use control::Operations;
use control::message::Request;
use control::socket;
use failover::daemon::status::Status as JudgeStatus;
use page_server::page::event_log::{Entry, EventLog};
use page_server::page::health::Health;
use protocol::id::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;

use super::health;
use super::history::Sample;
use crate::inspection::{CacheReport, ClientsReport, JournalReport};
use crate::status::Status;

/// How long the judge may take: one that lives answers at once.
const JUDGE_TIME: Duration = Duration::from_secs(1);

/// The port at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// By the port's clock: nanoseconds since the epoch.
    pub at: i64,
    /// As `storage-port status --json`.
    pub status: Status,
    /// As `storage-port cache stat --json`.
    pub cache: CacheReport,
    /// As `storage-port journal --json`.
    pub journal: JournalReport,
    /// As `storage-port clients --json`.
    pub clients: ClientsReport,
    /// What the judge says.
    pub judge: Judge,
    /// What is to be made of all this.
    pub health: Health,
    /// The newest first.
    pub events: Vec<Entry>,
}

/// The judge of a port of a pair.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judge {
    /// Nobody said where it is to be asked.
    Unasked,
    /// It gave no answer, and why.
    Silent(String),
    /// As `port-failover status --json`.
    Says(Box<JudgeStatus>),
}

impl Judge {
    /// What it says, if it does.
    pub fn status(&self) -> Option<&JudgeStatus> {
        match self {
            Self::Says(status) => Some(status),
            Self::Unasked | Self::Silent(_) => None,
        }
    }
}

/// Asks all. `judge` is its state directory.
///
/// # Errors
/// The port itself gave no answer.
pub async fn gather(
    operations: &Operations,
    judge: Option<&Path>,
    events: &EventLog,
    now: Timestamp,
) -> Result<Figures, String> {
    let status: Status = own(operations, "status").await?;
    let cache = own(operations, "cache").await?;
    let journal = own(operations, "journal").await?;
    let clients = own(operations, "clients").await?;
    let judge = match judge {
        Some(state_dir) => of_judge(state_dir).await,
        None => Judge::Unasked,
    };
    let health = health::judge(&status, &cache, &journal, &judge);
    Ok(Figures { at: now.0, status, cache, journal, clients, judge, health, events: events.entries() })
}

/// What the chart is made of; asks nobody but this process.
///
/// # Errors
/// As [`gather`].
pub async fn sample(operations: &Operations) -> Result<Sample, String> {
    let status: Status = own(operations, "status").await?;
    let cache: CacheReport = own(operations, "cache").await?;
    let journal: JournalReport = own(operations, "journal").await?;
    let clients: ClientsReport = own(operations, "clients").await?;
    Ok(Sample {
        calls: clients.calls,
        hits: cache.hits,
        misses: cache.misses,
        received: status.wan.received_bytes,
        sent: status.wan.sent_bytes,
        owed: journal.owed_bytes,
    })
}

async fn own<T: DeserializeOwned>(operations: &Operations, operation: &str) -> Result<T, String> {
    read(operations.ask(operation, Value::Null).await?)
}

async fn of_judge(state_dir: &Path) -> Judge {
    let request = Request::new("status", Value::Null);
    let asked = timeout(JUDGE_TIME, socket::ask("port-failover", state_dir, &request)).await;
    let status = match asked {
        Ok(Ok(answer)) => read(answer),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("port-failover gives no answer: it hangs".to_owned()),
    };
    status.map_or_else(Judge::Silent, |status| Judge::Says(Box::new(status)))
}

fn read<T: DeserializeOwned>(answer: Value) -> Result<T, String> {
    serde_json::from_value(answer).map_err(|error| error.to_string())
}
