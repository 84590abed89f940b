//! Tells the clients that had locks that this server has started anew (SM_NOTIFY): they take their locks again then.

use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt};
use tokio::time::sleep;

use super::ledger::Remembered;
use super::{PROGRAM, VERSION, procedure};
use crate::outbound::{self, CallError, Peer, Procedure};
use crate::xdr::Encoder;

/// Clients told at once.
const CALLS_MAX: usize = 32;
/// Who was not reached is tried again after this, then after twice as long, and so on up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Then it is given up: a client that long gone will find out by itself, or has restarted and has no locks.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// What clients are told.
#[derive(Debug)]
pub(crate) struct News {
    /// The new state number.
    pub state: u32,
    /// The name of this server, beside its addresses.
    pub host_name: Option<String>,
    /// Port of the clients' rpcbind.
    pub rpcbind_port: u16,
}

/// Tells all of `clients`; returns when that is done or given up.
pub(crate) async fn tell(news: &News, clients: Vec<Remembered>) {
    let begun = Instant::now();
    let (mut untold, mut pause) = (clients, PAUSE);
    loop {
        let told = stream::iter(untold).map(|client| async move {
            let failed = tell_one(news, &client).await.err()?;
            tracing::debug!(client = %client.client.address, error = %failed, "not told of the restart");
            Some(client)
        });
        untold = told.buffer_unordered(CALLS_MAX).filter_map(std::future::ready).collect().await;
        if untold.is_empty() {
            return;
        }
        if begun.elapsed() >= PATIENCE {
            let addresses: Vec<_> = untold.iter().map(|client| client.client.address).collect();
            tracing::warn!(?addresses, "clients that had locks cannot be told of the restart: given up");
            return;
        }
        sleep(pause).await;
        pause = (2 * pause).min(PAUSE_MAX);
    }
}

/// A client knows this server by the name under which it mounted: mostly the address it used, else the host's name.
async fn tell_one(news: &News, Remembered { client, local }: &Remembered) -> Result<(), CallError> {
    let peer = Peer { address: client.address, local: *local, rpcbind_port: news.rpcbind_port };
    let notify = Procedure { program: PROGRAM, version: VERSION, procedure: procedure::NOTIFY };
    for name in [Some(local.to_string()), news.host_name.clone()].into_iter().flatten() {
        let mut args = Encoder::new();
        args.opaque(name.as_bytes());
        args.u32(news.state);
        outbound::call(&peer, news.state, notify, &args.into_bytes()).await?;
    }
    Ok(())
}
