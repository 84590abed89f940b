//! What a connection may do before the others of its reactor have their turn.
//!
//! A reactor has one thread. A client that sends calls and takes replies as fast as they come would keep it for
//! itself; so a connection lets the others go first after some bytes or calls, and waits behind them.

/// Bytes received and sent in one turn: some hundred microseconds of copying.
pub(crate) const BYTES_MAX: usize = 1 << 20;
/// Calls answered in one turn.
const CALLS_MAX: usize = 64;

/// One turn.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    bytes: usize,
    calls: usize,
}

impl Turn {
    /// Bytes were moved.
    pub fn add_bytes(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// A call was answered or begun.
    pub fn add_call(&mut self) {
        self.calls += 1;
    }

    /// Whether it is the others' turn.
    pub const fn is_over(&self) -> bool {
        self.bytes >= BYTES_MAX || self.calls >= CALLS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_ends_at_its_last_byte_or_call() {
        let mut turn = Turn::default();
        turn.add_bytes(BYTES_MAX - 1);
        (1..CALLS_MAX).for_each(|_| turn.add_call());
        assert!(!turn.is_over());
        turn.add_bytes(1);
        assert!(turn.is_over());
        let mut turn = Turn::default();
        (0..CALLS_MAX).for_each(|_| turn.add_call());
        assert!(turn.is_over());
    }
}
