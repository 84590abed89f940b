//! Group commit: one thread syncs the log, as often as anybody waits, for all who wait.

use std::fs::File;
use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use tokio::sync::watch;

use super::{JournalError, Lsn, locked};

/// How far the log is durable.
#[derive(Clone, Debug)]
struct Durable {
    lsn: Lsn,
    /// Which log: one that was replaced says nothing about the next.
    log: u64,
    /// After a failed sync the kernel may have dropped the very pages it could not write and call the next sync a
    /// success. So nothing is believed any more until a restart has read the log back.
    failed: Option<Arc<str>>,
}

#[derive(Debug, Default)]
struct Wanted {
    lsn: Lsn,
    stop: bool,
}

#[derive(Debug)]
struct Shared {
    wanted: Mutex<Wanted>,
    bell: Condvar,
    durable: watch::Sender<Durable>,
}

/// Knows what is durable and makes more so. Ends its thread when dropped.
#[derive(Debug)]
pub struct Syncer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    /// Starts the thread. `point` tells the last record and the file whose sync makes it durable.
    pub fn start(durable: Lsn, point: impl Fn() -> (Lsn, Arc<File>) + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            wanted: Mutex::default(),
            bell: Condvar::new(),
            durable: watch::Sender::new(Durable { lsn: durable, log: 0, failed: None }),
        });
        let thread = std::thread::Builder::new().name("journal-sync".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.run(&point)
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Asks for a sync up to `lsn` without waiting.
    pub fn want(&self, lsn: Lsn) {
        let mut wanted = locked(&self.shared.wanted);
        if wanted.lsn < lsn {
            wanted.lsn = lsn;
            self.shared.bell.notify_one();
        }
    }

    /// Waits until `lsn` is durable.
    pub async fn wait(&self, lsn: Lsn) -> Result<(), JournalError> {
        let mut durable = self.shared.durable.subscribe();
        if durable.borrow().lsn < lsn {
            self.want(lsn);
        }
        let reached = durable.wait_for(|durable| durable.lsn >= lsn || durable.failed.is_some()).await;
        match reached.ok().and_then(|durable| durable.failed.clone()) {
            Some(reason) => Err(JournalError::Failed(reason)),
            None => Ok(()),
        }
    }

    /// The log is another one from now on, durable up to `lsn`. Called under its lock; nobody may be waiting for the one
    /// before.
    pub fn begin_anew(&self, lsn: Lsn) {
        locked(&self.shared.wanted).lsn = lsn;
        self.shared.durable.send_modify(|durable| {
            durable.lsn = lsn;
            durable.log += 1;
        });
    }

    /// The last record that is durable.
    #[cfg(test)]
    pub fn durable(&self) -> Lsn {
        self.shared.durable.borrow().lsn
    }

    /// Whether a sync failed.
    pub fn check(&self) -> Result<(), JournalError> {
        match &self.shared.durable.borrow().failed {
            Some(reason) => Err(JournalError::Failed(Arc::clone(reason))),
            None => Ok(()),
        }
    }

    /// Waits until a sync has failed: with what.
    pub async fn failed(&self) -> JournalError {
        let mut durable = self.shared.durable.subscribe();
        let failed = durable.wait_for(|durable| durable.failed.is_some()).await;
        match failed.ok().and_then(|durable| durable.failed.clone()) {
            Some(reason) => JournalError::Failed(reason),
            // Its sender is ours.
            None => std::future::pending().await,
        }
    }

    /// A sync elsewhere failed.
    pub fn fail(&self, error: &io::Error) -> JournalError {
        self.shared.fail(error)
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        locked(&self.shared.wanted).stop = true;
        self.shared.bell.notify_one();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl Shared {
    fn run(&self, point: &impl Fn() -> (Lsn, Arc<File>)) {
        while self.wait_for_wish() {
            // Everything appended by now comes along: that is the group.
            let log = self.durable.borrow().log;
            let (lsn, file) = point();
            match file.sync_data() {
                Ok(()) => self.durable.send_modify(|durable| {
                    if durable.log == log {
                        durable.lsn = durable.lsn.max(lsn);
                    }
                }),
                Err(error) => {
                    self.fail(&error);
                    return;
                }
            }
        }
    }

    /// False when it is time to stop.
    fn wait_for_wish(&self) -> bool {
        // Looked up each time: a log that begins anew is durable up to less than the one before.
        let idle = |wanted: &mut Wanted| !wanted.stop && wanted.lsn <= self.durable.borrow().lsn;
        let wanted = self.bell.wait_while(locked(&self.wanted), idle);
        !wanted.unwrap_or_else(std::sync::PoisonError::into_inner).stop
    }

    fn fail(&self, error: &io::Error) -> JournalError {
        let reason: Arc<str> = error.to_string().into();
        self.durable.send_modify(|durable| durable.failed = Some(Arc::clone(&reason)));
        JournalError::Failed(reason)
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use super::*;

    /// PORT-12: a disk that failed to sync once is not believed again, whatever its next sync says.
    #[tokio::test]
    async fn after_a_failed_sync_nothing_is_acknowledged() {
        let good = tempfile::tempfile().unwrap();
        // A pipe cannot be synced.
        let bad = File::from(OwnedFd::from(std::io::pipe().unwrap().1));
        let files = [good.try_clone().unwrap(), bad, good].map(Arc::new);
        let turn = Mutex::new(0);
        let syncer = Syncer::start(Lsn(0), move || {
            let mut turn = locked(&turn);
            *turn += 1;
            (Lsn(10 * *turn), Arc::clone(&files[*turn as usize - 1]))
        })
        .unwrap();
        syncer.wait(Lsn(5)).await.unwrap();
        syncer.wait(Lsn(10)).await.unwrap();
        syncer.check().unwrap();
        for lsn in [11, 12, 5] {
            assert!(matches!(syncer.wait(Lsn(lsn)).await, Err(JournalError::Failed(_))));
        }
        assert!(matches!(syncer.check(), Err(JournalError::Failed(_))));
    }

    /// FO-2: a log that takes the place of a longer one is synced from its first record on.
    #[tokio::test]
    async fn a_shorter_log_is_synced_as_the_one_before() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let synced = Arc::new(Mutex::new(Lsn(900)));
        let last = Arc::clone(&synced);
        let syncer = Syncer::start(Lsn(0), move || (*locked(&last), Arc::clone(&file))).unwrap();
        syncer.wait(Lsn(900)).await.unwrap();
        // The thread waits for a wish beyond 900.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        *locked(&synced) = Lsn(3);
        syncer.begin_anew(Lsn(0));
        let patience = std::time::Duration::from_secs(5);
        tokio::time::timeout(patience, syncer.wait(Lsn(3))).await.expect("synced").unwrap();
    }

    /// PORT-12: a hundred COMMITs that wait together cost one sync or two, not a hundred.
    #[tokio::test]
    async fn many_commits_share_a_sync() {
        let (file, syncs) = (Arc::new(tempfile::tempfile().unwrap()), Arc::new(Mutex::new(0)));
        let counted = Arc::clone(&syncs);
        let point = move || {
            *locked(&counted) += 1;
            (Lsn(100), Arc::clone(&file))
        };
        let syncer = Syncer::start(Lsn(0), point).unwrap();
        for waited in futures::future::join_all((1..=100).map(|lsn| syncer.wait(Lsn(lsn)))).await {
            waited.unwrap();
        }
        assert!((1..=2).contains(&*locked(&syncs)));
    }
}
