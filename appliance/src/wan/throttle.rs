//! The limits on real transfers.

use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use client::Source;
use futures::{StreamExt, TryStreamExt, stream};

use super::pace::Pace;
use super::schedule::{Limits, Schedule};

/// Largest piece that is sent at once. At the lowest limit, shared by all uploads, each of them is silent for two seconds
/// between pieces.
const PIECE_BYTES: usize = 32 << 10;

/// Has transfers wait. Which limits hold is looked up for each piece, so they change with the time of day.
#[derive(Debug)]
pub struct Throttle {
    schedule: Schedule,
    minute: fn() -> u16,
    upload: Mutex<Pace>,
    fetch: Mutex<Pace>,
}

impl Throttle {
    /// By this schedule; `minute` tells which minute of the day it is.
    pub fn new(schedule: Schedule, minute: fn() -> u16) -> Self {
        Self { schedule, minute, upload: Mutex::default(), fetch: Mutex::default() }
    }

    /// What is in force now.
    pub fn limits(&self) -> Limits {
        match self.schedule.is_unlimited() {
            true => Limits::default(),
            false => self.schedule.at((self.minute)()),
        }
    }

    /// Waits until so many bytes may be fetched.
    pub async fn fetch(&self, bytes: u64) {
        wait(&self.fetch, self.limits().fetch, bytes).await;
    }

    /// The same bytes, each piece when it may be sent.
    pub fn paced(self: &Arc<Self>, source: Source) -> Source {
        if self.schedule.is_unlimited() {
            return source;
        }
        let throttle = Arc::clone(self);
        Source::new(move || {
            let throttle = Arc::clone(&throttle);
            let pieces = source.open().map_ok(|bytes| stream::iter(pieces(bytes).map(Ok))).try_flatten();
            pieces.then(move |piece| {
                let throttle = Arc::clone(&throttle);
                async move {
                    if let Ok(piece) = &piece {
                        wait(&throttle.upload, throttle.limits().upload, piece.len() as u64).await;
                    }
                    piece
                }
            })
        })
    }
}

async fn wait(pace: &Mutex<Pace>, limit: Option<NonZeroU64>, bytes: u64) {
    let Some(rate) = limit else { return };
    let turn = {
        // No code panics while it holds it.
        let mut pace = pace.lock().unwrap_or_else(PoisonError::into_inner);
        pace.turn(bytes, rate, Instant::now())
    };
    tokio::time::sleep(turn).await;
}

fn pieces(bytes: Bytes) -> impl Iterator<Item = Bytes> {
    (0..bytes.len()).step_by(PIECE_BYTES).map(move |at| bytes.slice(at..bytes.len().min(at + PIECE_BYTES)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// What comes out is what went in, and takes its time.
    #[tokio::test(start_paused = true)]
    async fn a_paced_source_has_the_same_bytes() {
        let limits = Limits { upload: NonZeroU64::new(100_000), fetch: NonZeroU64::new(1_000) };
        let throttle = Arc::new(Throttle::new(Schedule { always: limits, hours: Vec::new() }, || 0));
        let bytes: Bytes = (0..300_000_u32).map(|byte| byte as u8).collect();
        let source = throttle.paced(Source::bytes(bytes.clone()));
        let sent: Vec<Bytes> = source.open().try_collect().await.unwrap();
        assert!(sent.len() > 8 && sent.concat() == bytes);
        let unlimited = Arc::new(Throttle::new(Schedule::default(), || 0));
        let sent: Vec<Bytes> = unlimited.paced(source).open().try_collect().await.unwrap();
        assert!(sent.concat() == bytes, "again from the start");
        let begun = tokio::time::Instant::now();
        throttle.fetch(5_000).await;
        throttle.fetch(1).await;
        assert!(begun.elapsed() >= Duration::from_secs(4), "{:?}", begun.elapsed());
    }
}
