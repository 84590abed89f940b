//! Which datagrams are new (MC-10): a recorded one is never taken twice, nor an old one at any time.
//!
//! Only for datagrams whose tag is right: nobody outside the cluster can fill or shift a window.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use thiserror::Error;

use super::datagram::Header;

/// How far the sender's clock may be from ours, in milliseconds.
pub const CLOCK_TOLERANCE_MS: u64 = 30_000;
/// Sequence numbers of one sender that are told apart: what is further behind the highest one is not taken.
pub const WINDOW: u64 = 1_024;
/// Senders remembered: some 200 KB. A cluster has some dozens.
pub const SENDERS_MAX: usize = 1_024;

const WORDS: usize = (WINDOW / u64::BITS as u64) as usize;

/// Why a datagram is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Stale {
    /// It was sent at another time, or one of the two clocks is wrong.
    #[error("its time is more than {} s from this machine's", CLOCK_TOLERANCE_MS / 1_000)]
    Clock,
    /// Its sender has started anew since.
    #[error("its sender has started anew since")]
    Boot,
    /// It was taken already.
    #[error("it came before")]
    Repeated,
    /// It is too far behind others of its sender to say.
    #[error("it is too late")]
    Late,
    /// More senders than can be remembered.
    #[error("more senders than can be remembered")]
    Senders,
}

/// What was taken from each sender.
#[derive(Clone, Debug, Default)]
pub struct ReplayWindow {
    senders: HashMap<u32, Sender>,
}

#[derive(Clone, Debug)]
struct Sender {
    boot: u64,
    /// Highest sequence number taken.
    highest: u64,
    /// A bit for each of the last [`WINDOW`] numbers up to the highest, by its remainder: whether it was taken.
    taken: [u64; WORDS],
    /// Latest time of a datagram taken.
    latest_ms: u64,
}

impl ReplayWindow {
    /// Has taken nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a datagram, once. `now_ms` in milliseconds since the epoch.
    ///
    /// # Errors
    /// It is not new: drop it.
    pub fn take(&mut self, header: &Header, now_ms: u64) -> Result<(), Stale> {
        if header.sent_ms.abs_diff(now_ms) > CLOCK_TOLERANCE_MS {
            return Err(Stale::Clock);
        }
        if self.senders.len() >= SENDERS_MAX && !self.senders.contains_key(&header.sender) {
            self.senders.retain(|_, sender| !sender.is_over(now_ms));
            if self.senders.len() >= SENDERS_MAX {
                return Err(Stale::Senders);
            }
        }
        match self.senders.entry(header.sender) {
            Entry::Vacant(place) => {
                place.insert(Sender::first(header));
                Ok(())
            }
            Entry::Occupied(mut place) => {
                let sender = place.get_mut();
                // A sender that was silent for long may have had its clock set back: nothing of before is taken in any
                // case, by its time.
                if header.boot > sender.boot || sender.is_over(now_ms) {
                    *sender = Sender::first(header);
                    return Ok(());
                }
                if header.boot < sender.boot {
                    return Err(Stale::Boot);
                }
                sender.take(header)
            }
        }
    }
}

impl Sender {
    fn first(header: &Header) -> Self {
        let mut sender = Self {
            boot: header.boot,
            highest: header.sequence,
            taken: [0; WORDS],
            latest_ms: header.sent_ms,
        };
        sender.mark(header.sequence);
        sender
    }

    /// Whether all that was taken of it is refused by its time alone, so that it can be forgotten.
    fn is_over(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.latest_ms) > CLOCK_TOLERANCE_MS
    }

    fn take(&mut self, header: &Header) -> Result<(), Stale> {
        let sequence = header.sequence;
        if sequence > self.highest {
            let passed = (sequence - self.highest).min(WINDOW);
            (0..passed).for_each(|back| self.clear(sequence - back));
            self.highest = sequence;
        } else if self.highest - sequence >= WINDOW {
            return Err(Stale::Late);
        } else if self.is_marked(sequence) {
            return Err(Stale::Repeated);
        }
        self.mark(sequence);
        self.latest_ms = self.latest_ms.max(header.sent_ms);
        Ok(())
    }

    fn place(sequence: u64) -> (usize, u64) {
        let bit = sequence % WINDOW;
        ((bit / 64) as usize, 1 << (bit % 64))
    }

    fn mark(&mut self, sequence: u64) {
        let (word, bit) = Self::place(sequence);
        self.taken[word] |= bit;
    }

    fn clear(&mut self, sequence: u64) {
        let (word, bit) = Self::place(sequence);
        self.taken[word] &= !bit;
    }

    fn is_marked(&self, sequence: u64) -> bool {
        let (word, bit) = Self::place(sequence);
        self.taken[word] & bit != 0
    }
}
