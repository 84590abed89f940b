//! The judge's loop: one thread, before all others, that waits for whatever comes first. A shell.

use std::io;
use std::sync::atomic::Ordering;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::clients::IsActive;
use super::judge::Judge;
use super::kernel::Kernel;
use super::mailbox::Inbox;
use super::paths::PeerSocket;
use crate::health::sample::Nic;
use crate::machine::event::Path;
use crate::net::clock::{self, Alarm};
use crate::net::link::Links;

/// Most datagrams of one way that are taken before the others have their turn.
const DATAGRAMS_AT_ONCE: usize = 64;
const PATHS: [Path; 2] = [Path::Heartbeat, Path::Lan];

/// What the loop waits for, beside what its judge has in hands.
pub(super) struct Senses {
    pub(super) inbox: Inbox,
    pub(super) links: Links,
    pub(super) nics: [(Nic, String); 3],
    pub(super) alarm: Alarm,
    /// Told to who lists the clients.
    pub(super) is_active: IsActive,
}

/// Judges until it is told to stop and has done so; then gives the hands back.
///
/// # Errors
/// The kernel gives no descriptors or no news any more. The leases end by themselves.
pub(super) fn run(mut judge: Judge<Kernel>, mut senses: Senses) -> io::Result<Kernel> {
    look_at_links(&mut judge, &mut senses);
    loop {
        judge.look(clock::now());
        senses.is_active.store(judge.is_active(), Ordering::Relaxed);
        if judge.is_stopped() {
            return Ok(judge.into_hands());
        }
        senses.alarm.set(judge.next())?;
        let [has_mail, has_link_news] = wait(&judge, &senses)?;
        take_datagrams(&mut judge);
        if has_mail {
            for news in senses.inbox.take() {
                judge.news(news, clock::now());
            }
        }
        if has_link_news && senses.links.changed()? {
            look_at_links(&mut judge, &mut senses);
        }
        if judge.hands().hears_reference() {
            judge.reference_heard(clock::now());
        }
    }
}

/// Until something is there; whether that is mail, or news of links. Of the rest it costs little to look.
fn wait(judge: &Judge<Kernel>, senses: &Senses) -> io::Result<[bool; 2]> {
    let hands = judge.hands_now();
    let mut polled =
        vec![PollFd::new(&senses.inbox, PollFlags::IN), PollFd::new(&senses.links, PollFlags::IN)];
    polled.push(PollFd::new(&senses.alarm, PollFlags::IN));
    polled.extend(PATHS.map(|path| PollFd::new(hands.socket(path), PollFlags::IN)));
    polled.extend(hands.ears().map(|ear| PollFd::from_borrowed_fd(ear, PollFlags::IN)));
    match poll(&mut polled, None) {
        Ok(_) | Err(Errno::INTR) => Ok([0, 1].map(|place| !polled[place].revents().is_empty())),
        Err(error) => Err(error.into()),
    }
}

fn take_datagrams(judge: &mut Judge<Kernel>) {
    let mut room = PeerSocket::room();
    for path in PATHS {
        for _ in 0..DATAGRAMS_AT_ONCE {
            let hands = judge.hands();
            let Some(datagram) = hands.socket(path).receive(&mut room) else { break };
            if let Some(message) = hands.unseal(path, datagram) {
                judge.received(path, message, clock::now());
            }
        }
    }
}

fn look_at_links(judge: &mut Judge<Kernel>, senses: &mut Senses) {
    for (nic, name) in &senses.nics {
        // An interface that is gone has no carrier.
        let has_carrier = senses.links.state(name).is_ok_and(|state| state.carrier);
        judge.carrier(*nic, has_carrier, clock::now());
    }
}
