//! What an operator is shown of the mirrored directory.

use std::fmt;
use std::sync::PoisonError;
use std::time::Instant;

use metrics::{Kind, Page};
use serde::{Deserialize, Serialize};

use super::Desk;
use super::role::Role;
use crate::vfs::StoreError;
use crate::vfs::mirror::Alone;

/// `storage-center mirror status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MirrorStatus {
    /// This center.
    pub center: String,
    /// `writer`; `follower`; `waiting` for a writer that may not write now.
    pub role: String,
    /// The last generation this center knows.
    pub generation: u64,
    /// The center that writes in it; empty if none is known.
    pub writer: String,
    /// A follower reaches it; a writer is it.
    pub writer_reached: bool,
    /// Number of the last change that is here.
    pub position: u64,
    /// Number of the writer's last change, as it said last.
    pub writer_position: u64,
    /// Whether the witness answered last; `null` before it was asked, which a follower does only while nobody writes.
    pub witness_reached: Option<bool>,
    /// The writer answers changes that no other center has.
    pub alone: bool,
    /// Changes kept for followers.
    pub log_entries: u64,
    /// Bytes of them.
    pub log_bytes: u64,
    /// Those that have asked since the start.
    pub followers: Vec<FollowerStatus>,
}

/// One of [`MirrorStatus::followers`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowerStatus {
    /// Its center.
    pub center: String,
    /// Number of the last change on its disk.
    pub position: u64,
    /// Changes it does not have.
    pub owed: u64,
    /// Milliseconds since it asked.
    pub silent_ms: u64,
}

impl Desk {
    /// As it is now.
    pub async fn status(&self) -> Result<MirrorStatus, StoreError> {
        let mirror = self.mirror();
        let (position, log) = (mirror.position(), mirror.log_size().await?);
        let role = self.shared.role.borrow().clone();
        let heard = self.heard();
        let writer = heard.iter().find(|heard| heard.state.center == position.generation.writer);
        let (now, number) = (Instant::now(), position.number);
        let (alone, may_write, followers) = mirror.with_debts(|debts| {
            let follower = |(center, follower): (&str, &crate::vfs::mirror::Follower)| FollowerStatus {
                center: center.to_owned(),
                position: follower.has,
                owed: number.saturating_sub(follower.has),
                silent_ms: now
                    .saturating_duration_since(follower.heard)
                    .as_millis()
                    .try_into()
                    .unwrap_or(u64::MAX),
            };
            (debts.alone() == Alone::Yes, debts.may_write(now), debts.followers().map(follower).collect())
        });
        let is_writer = mirror.is_writer();
        Ok(MirrorStatus {
            center: mirror.names().center.clone(),
            role: match role {
                Role::Writes if may_write => "writer",
                Role::Writes | Role::Waits => "waiting",
                Role::Follows(_) => "follower",
            }
            .to_owned(),
            generation: position.generation.number,
            writer_reached: is_writer || writer.is_some(),
            writer_position: match writer {
                Some(writer) if !is_writer => writer.state.position.max(number),
                _ => number,
            },
            writer: position.generation.writer,
            position: number,
            witness_reached: *self.shared.witness_answers.lock().unwrap_or_else(PoisonError::into_inner),
            alone,
            log_entries: log.entries,
            log_bytes: log.bytes,
            followers,
        })
    }
}

impl Desk {
    /// The same for a page of metrics.
    pub fn figures(&self, page: Page) -> Page {
        let (position, writes) = (self.mirror().position(), *self.shared.role.borrow() == Role::Writes);
        let (alone, has) = self.mirror().with_debts(|debts| {
            let has = debts.followers().map(|(_, follower)| follower.has).max().unwrap_or(0);
            (debts.alone() == Alone::Yes, has)
        });
        let owed = if writes { position.number.saturating_sub(has) } else { 0 };
        page.value(Kind::Gauge, "mirror_writes", "Whether this process changes the directory.", writes)
            .value(
                Kind::Gauge,
                "mirror_generation",
                "How often a storage center began to change the directory.",
                position.generation.number,
            )
            .value(Kind::Gauge, "mirror_position", "Number of the last change that is here.", position.number)
            .value(Kind::Gauge, "mirror_owed", "Changes that no other storage center has.", owed)
            .value(Kind::Gauge, "mirror_alone", "Whether such changes are answered.", alone)
    }
}

impl fmt::Display for MirrorStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { center, role, generation, writer, position, .. } = self;
        writeln!(f, "{center}: {role}, generation {generation} of {writer}, at change {position}")?;
        if !self.writer_reached {
            writeln!(f, "the writer is not reached")?;
        } else if self.writer_position > *position {
            writeln!(f, "{} changes behind the writer", self.writer_position - position)?;
        }
        if self.witness_reached == Some(false) {
            writeln!(f, "the witness does not answer")?;
        }
        if self.alone {
            writeln!(f, "alone: changes are answered that no other storage center has")?;
        }
        for FollowerStatus { center, owed, silent_ms, .. } in &self.followers {
            writeln!(f, "{center}: {owed} changes owed, asked {silent_ms} ms ago")?;
        }
        write!(f, "{} changes kept, {} bytes", self.log_entries, self.log_bytes)
    }
}
