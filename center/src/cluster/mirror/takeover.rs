//! Making this center the one that changes the directory, by command (VFS-21).

use std::time::Duration;

use protocol::dosp::operations::{HandOver, HandOverIn, HandOverOut};
use tokio::time::timeout;

use super::Desk;
use crate::cluster::link::AskError;

/// Longest time for the writer to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest time to take its last changes.
const TAKE_PATIENCE: Duration = Duration::from_secs(30);

impl Desk {
    /// The writer hands over, if it is reached, and nothing is lost. If not, `force` takes what there is. What a person
    /// is told.
    ///
    /// # Errors
    /// The same, if this center does not write now.
    pub async fn take_over(&self, force: bool) -> Result<String, String> {
        let mirror = self.mirror();
        let center = mirror.names().center.clone();
        if mirror.is_writer() {
            return Err(format!("{center:?} changes the directory already"));
        }
        let writer = self.writer_address().await;
        let asked = match writer {
            Some(writer) => {
                let to = HandOverIn { to: center.clone() };
                Some(self.shared.view.links().ask::<HandOver>(writer, &to, PATIENCE).await)
            }
            None => None,
        };
        match asked {
            Some(Ok(HandOverOut { generation })) => self.await_handover(generation.number).await,
            // It is there, and knows why not; force is for one who is not.
            Some(Err(AskError::Said(failure))) => Err(failure.to_string()),
            Some(Err(AskError::Broken(_))) | None if force => self.take_by_force().await,
            Some(Err(AskError::Broken(error))) => Err(unreached(&error.to_string())),
            None => Err(unreached("it is not heard of")),
        }
    }

    async fn await_handover(&self, number: u64) -> Result<String, String> {
        let mut known = self.mirror().known();
        let comes = known.wait_for(|position| position.generation.number >= number);
        match timeout(TAKE_PATIENCE, comes).await {
            Ok(Ok(_)) => Ok(format!("{:?} changes the directory now; nothing was lost", self.mirror().names().center)),
            _ => Err(
                "the writer handed over, but its last changes have not come: this storage center writes when they have"
                    .to_owned(),
            ),
        }
    }

    async fn take_by_force(&self) -> Result<String, String> {
        let center = &self.mirror().names().center;
        if let Some(witness) = self.shared.witness {
            // Only the witness keeps the last writer from going on.
            let taken = self.claim(witness).await.map_err(|reason| {
                format!(
                    "{reason}; to take over all the same, take mirror.witness out of all configurations first"
                )
            });
            return taken.map(|()| format!("{center:?} changes the directory now"));
        }
        match self.mirror().take_over(None).await {
            Ok(generation) => {
                tracing::warn!(generation = generation.number, "the directory was taken over by force");
                Ok(format!(
                    "{center:?} changes the directory now; what the last writer did alone is not in it, and will be kept \
                     beside its database when it comes back"
                ))
            }
            Err(error) => Err(error.to_string()),
        }
    }

    async fn writer_address(&self) -> Option<std::net::SocketAddr> {
        self.ask_others().await;
        let writer = self.mirror().position().generation.writer;
        self.heard().into_iter().find(|heard| heard.state.center == writer).map(|heard| heard.address)
    }
}

fn unreached(why: &str) -> String {
    format!(
        "the storage center that changes the directory is not reached ({why}); if it is down, --force takes over without it"
    )
}
