//! Asks the other centers how they are.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderName, StatusCode};
use thiserror::Error;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Center, Traffic};
use crate::outbound::{GetError, Getter, Host, WebUrl};

/// How often, and how long each step of it may take: a center that is gone is sent nothing after some seconds.
const EVERY: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(2);

/// In which `/health` tells how busy a center is, in percent of what it takes.
pub const LOAD: HeaderName = HeaderName::from_static("x-load");

/// Why a center is sent nothing.
#[derive(Debug, Error)]
enum Away {
    #[error("no connection: {0}")]
    Connect(#[from] io::Error),
    #[error(transparent)]
    Get(#[from] GetError),
    #[error("its health is {0}")]
    Unwell(StatusCode),
    #[error("no answer within {PATIENCE:?}")]
    Late,
}

/// Asks each of the others, again and again until `stop`.
pub fn watch(traffic: &Traffic, getter: &Getter, tasks: &TaskTracker, stop: &CancellationToken) {
    for (number, center) in traffic.table.centers().iter().enumerate() {
        if number != traffic.table.here() {
            let watched = watch_one(traffic.clone(), getter.clone(), number, center.clone());
            tasks.spawn(stop.clone().run_until_cancelled_owned(watched));
        }
    }
}

async fn watch_one(traffic: Traffic, getter: Getter, number: usize, center: Center) {
    let url = center.health_url();
    let mut turns = interval(EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        let mut looking = Box::pin(look_up(&url));
        let found = match timeout(PATIENCE, &mut looking).await {
            Ok(found) => found,
            Err(_) => {
                note(&traffic, number, &center, Err(Away::Late));
                // A look-up that hangs cannot be ended, so no other is begun beside it.
                let _ = looking.await;
                continue;
            }
        };
        let asked = timeout(PATIENCE, ask(&getter, found, &url)).await;
        note(&traffic, number, &center, asked.unwrap_or(Err(Away::Late)));
    }
}

async fn look_up(url: &WebUrl) -> io::Result<Vec<SocketAddr>> {
    match &url.host {
        Host::Address(address) => Ok(vec![SocketAddr::new(*address, url.port)]),
        Host::Name(name) => Ok(lookup_host((name.as_str(), url.port)).await?.collect()),
    }
}

/// How busy the center says it is.
async fn ask(getter: &Getter, found: io::Result<Vec<SocketAddr>>, url: &WebUrl) -> Result<u32, Away> {
    let stream = TcpStream::connect(found?.as_slice()).await?;
    let answer = getter.get(stream, url).await?;
    if answer.status != StatusCode::OK {
        return Err(Away::Unwell(answer.status));
    }
    let load = answer.headers.get(LOAD).and_then(|load| load.to_str().ok());
    Ok(load.and_then(|load| load.parse().ok()).unwrap_or(0))
}

/// Keeps what was heard, and says once what has changed.
fn note(traffic: &Traffic, number: usize, center: &Center, heard: Result<u32, Away>) {
    let before = traffic.loads.note(number, heard.as_ref().ok().copied());
    match (before, heard) {
        (Some(_), Err(reason)) => {
            tracing::warn!(center = center.name, %reason, "a storage center is sent no requests until it is well");
        }
        (None, Ok(_)) => tracing::info!(center = center.name, "a storage center is well"),
        (Some(_), Ok(_)) | (None, Err(_)) => {}
    }
}
