//! Locks from one time of duty to the next: each begins like a start of the server, with what the ledger says.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::Settings;
use super::service::Locks;
use crate::duty::Duty;

/// The ledger could not be read; then again after this.
const PAUSE: Duration = Duration::from_secs(1);

/// The locks of the present time of duty; none between two.
pub(crate) type Present = watch::Receiver<Option<Arc<Locks>>>;

/// Keeps the locks of every time of duty, for ever. `present` has those of a server that is always on duty.
pub(crate) async fn keep(settings: &Settings, duty: &Duty, present: &watch::Sender<Option<Arc<Locks>>>) {
    loop {
        let mut term = duty.begun().await;
        tokio::select! {
            () = run(settings, present) => {}
            () = term.over() => {}
        }
        present.send_replace(None);
    }
}

async fn run(settings: &Settings, present: &watch::Sender<Option<Arc<Locks>>>) {
    let known = present.borrow().clone();
    let locks = match known {
        Some(locks) => locks,
        None => opened(settings).await,
    };
    present.send_replace(Some(Arc::clone(&locks)));
    locks.run().await;
    // All that happens without a call has ended, which calls do not notice.
    std::future::pending::<()>().await;
}

async fn opened(settings: &Settings) -> Arc<Locks> {
    loop {
        let settings = settings.clone();
        match tokio::task::spawn_blocking(move || Locks::open(&settings)).await {
            Ok(Ok(locks)) => return Arc::new(locks),
            Ok(Err(error)) => tracing::error!("no locks: the list of clients with locks: {error}"),
            Err(error) => tracing::error!("no locks: {error}"),
        }
        sleep(PAUSE).await;
    }
}
