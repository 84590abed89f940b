//! Calls whose client was told to ask again later (NFS3ERR_JUKEBOX). It does so under a new transaction id, and means the
//! same call: the first one may have been carried out behind this server, where only its answer was lost, and must not
//! be so a second time. So the call that comes again goes on under the first one's key.
//!
//! What is remembered is gone with the process; whoever was told to ask again by another one is a new caller here.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;

use crate::filesystem::RequestKey;

/// Calls that are remembered at most; beyond that the oldest are forgotten.
const CALLS_MAX: NonZeroUsize = NonZeroUsize::new(16_384).expect("not zero");
/// For how long: as long as a file system remembers its answers.
const KEPT: Duration = Duration::from_secs(600);

/// See the module.
#[derive(Debug)]
pub(crate) struct Postponed(Mutex<Calls>);

#[derive(Debug)]
struct Calls {
    /// By what they ask for: the key of each, and since when its client may ask again.
    waiting: LruCache<RequestKey, (RequestKey, Instant)>,
    /// Of those that came again, for they may be repeated as well: by their own key the one under which they go on.
    again: LruCache<RequestKey, (RequestKey, Instant)>,
}

impl Default for Postponed {
    fn default() -> Self {
        Self(Mutex::new(Calls { waiting: LruCache::new(CALLS_MAX), again: LruCache::new(CALLS_MAX) }))
    }
}

impl Postponed {
    /// The key under which a call is carried out whose own one is `key`; `asked` names what it asks for, whatever its
    /// transaction id.
    pub fn key(&self, key: RequestKey, asked: impl FnOnce() -> RequestKey, now: Instant) -> RequestKey {
        let mut calls = self.calls();
        let is_kept = |since: Instant| now.saturating_duration_since(since) < KEPT;
        if let Some((first, since)) = calls.again.get(&key)
            && is_kept(*since)
        {
            return *first;
        }
        if calls.waiting.is_empty() {
            return key;
        }
        match calls.waiting.pop(&asked()) {
            Some((first, since)) if is_kept(since) => {
                calls.again.put(key, (first, now));
                first
            }
            _ => key,
        }
    }

    /// Its client was told to ask again later.
    pub fn postpone(&self, carried_out: RequestKey, asked: RequestKey, now: Instant) {
        self.calls().waiting.put(asked, (carried_out, now));
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn key(number: u8) -> RequestKey {
        RequestKey([number; 16])
    }

    #[test]
    fn a_call_that_comes_again_goes_on_under_its_first_key() {
        let (postponed, now) = (Postponed::default(), Instant::now());
        let asked = key(100);
        let ask = |own| postponed.key(key(own), || asked, now);
        assert_eq!(ask(1), key(1));
        postponed.postpone(key(1), asked, now);
        assert_eq!(postponed.key(key(9), || key(101), now), key(9), "another call");
        assert_eq!(ask(2), key(1));
        assert_eq!(ask(2), key(1), "repeated");
        postponed.postpone(key(1), asked, now);
        assert_eq!(ask(3), key(1), "postponed again");
        assert_eq!(ask(4), key(4), "it was answered: the next one is another call, whatever it asks for");
        assert_eq!(ask(3), key(1));
    }

    #[test]
    fn it_is_forgotten_in_time_and_in_number() {
        let (postponed, now) = (Postponed::default(), Instant::now());
        postponed.postpone(key(1), key(100), now);
        assert_eq!(postponed.key(key(2), || key(100), now + KEPT), key(2));
        let numbered = |number: usize| {
            let mut bytes = [7; 16];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            RequestKey(bytes)
        };
        for number in 0..=CALLS_MAX.get() {
            postponed.postpone(key(1), numbered(number), now);
        }
        assert_eq!(postponed.key(key(3), || numbered(0), now), key(3));
        assert_eq!(postponed.key(key(3), || numbered(1), now), key(1));
    }
}
