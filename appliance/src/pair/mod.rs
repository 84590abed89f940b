//! This port as one of two that share their addresses (FO-1): whether it serves, in which generation, and what the judge
//! (`port-failover`) is told of it.
//!
//! The judge decides and the center's generation is the proof; this side only obeys, at once. Off duty nobody is answered
//! and nothing is uploaded. A port that hears of a newer generation than its own stops by itself and says so.
//!
//! | file | what |
//! |---|---|
//! | [`role`] | active or passive (pure, but for the channels it is followed by) |
//! | [`standing`] | the lines for the judge |

pub mod role;
pub mod standing;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;

use self::role::{Order, Role};
use self::standing::{Standing, digits, reached_at};
use crate::center::StorageCenter;
use crate::translator::Translator;
use crate::uploader::Uploader;
use control::Operations;

/// How often the judge is told what changes without anybody saying so.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A port of a pair. See the module.
pub struct Paired<C> {
    role: Arc<Role>,
    translator: Arc<Translator<C>>,
    uploader: Arc<Uploader<C>>,
    standing: watch::Sender<Standing>,
}

impl<C: StorageCenter> Paired<C> {
    /// Of these parts, all of which follow `role`. `nfs` is where clients are served.
    pub fn new(
        role: Arc<Role>,
        translator: Arc<Translator<C>>,
        uploader: Arc<Uploader<C>>,
        nfs: SocketAddr,
    ) -> Arc<Self> {
        let standing = watch::Sender::new(Standing {
            caught_up: true,
            owed: 0,
            probe_handle: String::new(),
            nfs: reached_at(nfs),
            serving: false,
            generation: 0,
            refused_by: None,
        });
        Arc::new(Self { role, translator, uploader, standing })
    }

    /// Lets the judge command this port and watch it.
    pub fn add_operations(self: &Arc<Self>, operations: &mut Operations) {
        let paired = Arc::clone(self);
        operations.add("pair", move |order| {
            let paired = Arc::clone(&paired);
            async move { paired.obey(serde_json::from_value(order).map_err(|error| error.to_string())?).await }
        });
        let paired = Arc::clone(self);
        operations.add_watch("watch", move || standing::lines(paired.standing.subscribe()));
    }

    async fn obey(&self, order: Order) -> Result<Value, String> {
        match order {
            Order::Active { generation } if self.role.serving() == Some(generation) => {}
            Order::Active { generation } => {
                self.role.check(generation).map_err(|error| error.to_string())?;
                self.uploader.note_staged();
                self.role.activate(generation).map_err(|error| error.to_string())?;
                self.uploader.wake();
                tracing::info!(generation, "active");
            }
            Order::Passive => {
                if self.role.deactivate() {
                    tracing::info!("passive");
                }
            }
        }
        self.look().await;
        Ok(self.role.answer())
    }

    /// Keeps the judge informed until the task is dropped.
    pub async fn inform(self: Arc<Self>) {
        let mut role = self.role.follow();
        loop {
            self.look().await;
            // Either is fine: what changes without a word is looked for at the next turn.
            let _ = tokio::time::timeout(LOOK_EVERY, role.changed()).await;
        }
    }

    async fn look(&self) {
        let is_known = !self.standing.borrow().probe_handle.is_empty();
        let probe = if is_known { None } else { self.translator.probe_handle().await };
        self.standing.send_if_modified(|standing| {
            let before = standing.clone();
            if let Some(handle) = &probe {
                standing.probe_handle = digits(handle);
            }
            standing.serving = self.role.serving().is_some();
            standing.generation = self.role.newest();
            standing.refused_by = self.role.refused_by();
            *standing != before
        });
    }
}
