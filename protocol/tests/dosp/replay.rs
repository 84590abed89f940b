//! MC-10: what the replay window takes.

use std::collections::HashSet;

use proptest::prelude::*;

use protocol::dosp::ClusterKey;
use protocol::dosp::datagram::{self, Dropped, Header, Kind};
use protocol::dosp::replay::{CLOCK_TOLERANCE_MS, ReplayWindow, SENDERS_MAX, Stale, WINDOW};

const NOW: u64 = 1_800_000_000_000;

fn header(sender: u32, boot: u64, sequence: u64, sent_ms: u64) -> Header {
    Header { kind: Kind::Announce, code: 6, sender, boot, sequence, sent_ms }
}

fn take(window: &mut ReplayWindow, boot: u64, sequence: u64) -> Result<(), Stale> {
    window.take(&header(1, boot, sequence, NOW), NOW)
}

/// MC-10: a recorded datagram is taken once, and a forged one never reaches the window.
#[test]
fn a_replayed_or_forged_datagram_is_dropped() {
    let key = ClusterKey::new([7; 32]).datagram_key("main");
    let mut window = ReplayWindow::new();
    let sent = datagram::encode(&key, &header(1, 5, 9, NOW), b"body").unwrap();
    let (taken, _) = datagram::decode(&key, &sent).unwrap();
    assert_eq!(window.take(&taken, NOW), Ok(()));
    assert_eq!(window.take(&taken, NOW + 5), Err(Stale::Repeated));
    let mut forged = sent;
    forged[20] = 10;
    assert_eq!(datagram::decode(&key, &forged), Err(Dropped::Forged));
}

/// MC-10: the network may change the order.
#[test]
fn reordered_datagrams_are_each_taken_once() {
    let mut window = ReplayWindow::new();
    for sequence in [100, 90, 105, 1, 104] {
        assert_eq!(take(&mut window, 5, sequence), Ok(()), "{sequence}");
    }
    for sequence in [1, 90, 100, 104, 105] {
        assert_eq!(take(&mut window, 5, sequence), Err(Stale::Repeated), "{sequence}");
    }
    assert_eq!(take(&mut window, 5, 103), Ok(()));
}

/// MC-10: the window has 1,024 numbers.
#[test]
fn what_is_behind_the_window_is_late() {
    let mut window = ReplayWindow::new();
    assert_eq!(take(&mut window, 5, 2 * WINDOW), Ok(()));
    assert_eq!(take(&mut window, 5, WINDOW + 1), Ok(()));
    assert_eq!(take(&mut window, 5, WINDOW), Err(Stale::Late));
    assert_eq!(take(&mut window, 5, u64::MAX), Ok(()));
    assert_eq!(take(&mut window, 5, u64::MAX), Err(Stale::Repeated));
    assert_eq!(take(&mut window, 5, u64::MAX - WINDOW + 1), Ok(()));
    assert_eq!(take(&mut window, 5, u64::MAX - WINDOW), Err(Stale::Late));
}

/// MC-10: nothing of before a sender's restart is taken after it.
#[test]
fn a_newer_boot_takes_the_place_of_an_older_one() {
    let mut window = ReplayWindow::new();
    assert_eq!(take(&mut window, 5, 1_000), Ok(()));
    assert_eq!(take(&mut window, 6, 1), Ok(()));
    assert_eq!(take(&mut window, 5, 1_001), Err(Stale::Boot));
    assert_eq!(take(&mut window, 6, 1), Err(Stale::Repeated));
    assert_eq!(take(&mut window, 6, 2), Ok(()));
}

/// MC-10: 30 s to either side.
#[test]
fn a_datagram_of_another_time_is_not_taken() {
    let tolerance = CLOCK_TOLERANCE_MS;
    for (sent, outcome) in [
        (NOW - tolerance, Ok(())),
        (NOW - tolerance - 1, Err(Stale::Clock)),
        (NOW + tolerance, Ok(())),
        (NOW + tolerance + 1, Err(Stale::Clock)),
        (0, Err(Stale::Clock)),
        (u64::MAX, Err(Stale::Clock)),
    ] {
        assert_eq!(ReplayWindow::new().take(&header(1, 5, 1, sent), NOW), outcome, "{sent}");
    }
}

/// MC-10: a sender whose clock was set back between two starts is heard again once nothing of before could be taken.
#[test]
fn a_sender_that_was_silent_may_begin_with_an_older_boot() {
    let mut window = ReplayWindow::new();
    let before = header(1, 5, 9, NOW);
    assert_eq!(window.take(&before, NOW), Ok(()));
    let edge = NOW + CLOCK_TOLERANCE_MS;
    assert_eq!(window.take(&header(1, 4, 1, edge), edge), Err(Stale::Boot));
    assert_eq!(window.take(&header(1, 4, 1, edge + 1), edge + 1), Ok(()));
    assert_eq!(window.take(&before, edge + 1), Err(Stale::Clock));
}

/// MC-10: memory has a bound; one that is full takes no new sender until an old one is certainly over.
#[test]
fn senders_are_bounded_and_forgotten_only_when_their_time_is_over() {
    let mut window = ReplayWindow::new();
    for sender in 0..SENDERS_MAX as u32 {
        assert_eq!(window.take(&header(sender, 5, 1, NOW), NOW), Ok(()));
    }
    let later = NOW + CLOCK_TOLERANCE_MS;
    assert_eq!(window.take(&header(u32::MAX, 5, 1, later), later), Err(Stale::Senders));
    assert_eq!(window.take(&header(0, 5, 1, NOW), later), Err(Stale::Repeated));
    assert_eq!(window.take(&header(0, 5, 2, later), later), Ok(()), "a known sender is still heard");
    assert_eq!(window.take(&header(u32::MAX, 5, 1, later + 1), later + 1), Ok(()));
}

proptest! {
    /// MC-10: against a model that remembers everything: never twice; what is new and not too late, always.
    #[test]
    fn each_number_is_taken_once_and_none_within_the_window_is_lost(
        steps in proptest::collection::vec((0..3u64, 0..3_000u64), 1..300),
    ) {
        let (mut window, mut taken) = (ReplayWindow::new(), HashSet::new());
        let (mut boot, mut highest) = (0, 0);
        for (of, sequence) in steps {
            let expected = if of < boot {
                Err(Stale::Boot)
            } else if of == boot && !taken.is_empty() && highest >= sequence + WINDOW {
                Err(Stale::Late)
            } else if taken.contains(&(of, sequence)) {
                Err(Stale::Repeated)
            } else {
                Ok(())
            };
            prop_assert_eq!(take(&mut window, of, sequence), expected);
            if expected.is_ok() {
                highest = if of > boot || taken.is_empty() { sequence } else { highest.max(sequence) };
                boot = of;
                taken.insert((of, sequence));
            }
        }
    }
}
