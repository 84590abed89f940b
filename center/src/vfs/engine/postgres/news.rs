//! What other directory managers change, as the server tells it.

use std::future::poll_fn;
use std::time::Duration;

use protocol::id::CustomerId;
use tokio::time::sleep;
use tokio_postgres::AsyncMessage;

use super::Postgres;

/// Pause before the next try to reach the server.
const PAUSE: Duration = Duration::from_secs(1);

/// What is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// A customer's tree changed.
    Changed(CustomerId),
    /// Nothing was heard for a while: anything may have changed.
    Missed,
}

impl Postgres {
    /// Hands on what is heard, until dropped.
    pub async fn listen(&self, hear: impl Fn(News)) {
        loop {
            if let Err(error) = self.listen_once(&hear).await {
                tracing::debug!(%error, "the database server's news are not heard");
            }
            sleep(PAUSE).await;
        }
    }

    /// Until the connection ends.
    async fn listen_once(&self, hear: &impl Fn(News)) -> Result<(), tokio_postgres::Error> {
        let (client, mut connection) = self.connect().await?;
        let listening = client.batch_execute("LISTEN vfs_change");
        tokio::pin!(listening);
        let mut is_listening = false;
        loop {
            tokio::select! {
                begun = &mut listening, if !is_listening => {
                    begun?;
                    is_listening = true;
                    hear(News::Missed);
                }
                message = poll_fn(|context| connection.poll_message(context)) => match message {
                    // What cannot be read was not sent by a directory manager.
                    Some(Ok(AsyncMessage::Notification(told))) => {
                        told.payload().parse().ok().map(CustomerId).map(News::Changed).into_iter().for_each(hear);
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error),
                    None => return Ok(()),
                },
            }
        }
    }
}
