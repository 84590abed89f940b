//! All that the page shows, asked as an operator asks: by the questions of the control socket.

use page_server::page::event_log::{Entry, EventLog};
use page_server::page::health::Health;
use protocol::id::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::health;
use crate::cluster::mirror::status::MirrorStatus;
use crate::cluster::status::ClusterStatus;
use crate::control::{Answering, Question};

/// The center at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// By the process's clock: nanoseconds since the epoch.
    pub at: i64,
    /// As `storage-center status --json`.
    pub status: ClusterStatus,
    /// As `storage-center mirror status --json`, where this process keeps a mirrored directory.
    pub mirror: Option<MirrorStatus>,
    /// What is to be made of all this.
    pub health: Health,
    /// The newest first.
    pub events: Vec<Entry>,
}

/// Asks all.
///
/// # Errors
/// The process itself gave no answer.
pub async fn gather(answering: &Answering, events: &EventLog, now: Timestamp) -> Result<Figures, String> {
    let status: ClusterStatus = ask(answering, Question::Status).await?;
    let mirror: Option<MirrorStatus> = ask(answering, Question::Mirror).await.ok();
    let health = health::judge(&status, mirror.as_ref());
    Ok(Figures { at: now.0, status, mirror, health, events: events.entries() })
}

async fn ask<T: DeserializeOwned>(answering: &Answering, question: Question) -> Result<T, String> {
    let answer = answering(question).await;
    if !answer.is_good {
        return Err(answer.text);
    }
    serde_json::from_str(&answer.text).map_err(|error| error.to_string())
}
