//! A client that keeps one connection, as a mount does, with the rules of Linux's (net/sunrpc/xprtsock.c): one that
//! breaks is made anew at once; if the new one is refused, or breaks before anything came over it, after 3 s, doubled
//! each time; a call is sent again, to the letter, over the new connection; a silent connection is waited for, and TCP
//! itself sends again.

use std::io::ErrorKind;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nfs3_types::nfs3::{GETATTR3args, GETATTR3res, NFS_PROGRAM, Nfs3Result, READ3args, READ3res, nfsstat3};
use nfs3_types::xdr_codec::{Pack, Unpack};

use super::Subject;
use super::gap::Gap;
use super::report::Seen;
use crate::poll;
use crate::rpc::{Connection, Credential};

/// From an answer to the next call.
const PAUSE: Duration = Duration::from_millis(4);
/// XS_TCP_INIT_REEST_TO: before a connection is made anew after one that was of no use.
const BACK_OFF_MIN: Duration = Duration::from_secs(3);
/// XS_TCP_MAX_REEST_TO.
const BACK_OFF_MAX: Duration = Duration::from_secs(300);
/// NFS_JUKEBOX_RETRY_TIME: before a call is made again that was told to come later.
const LATER: Duration = Duration::from_secs(5);
/// Longer than any phase: TCP alone decides.
const FOR_EVER: Duration = Duration::from_secs(3_600);
/// Bytes of a READ.
const READ_BYTES: u32 = 4 << 10;

/// What is known since the last mark.
pub struct Steady {
    gap: Gap,
    seen: Seen,
}

impl Steady {
    /// Begins with nothing seen.
    pub fn new() -> Self {
        Self { gap: Gap::new(Instant::now()), seen: Seen::default() }
    }

    /// What was seen since the last mark.
    pub fn mark(&mut self) -> Seen {
        let mut seen = std::mem::take(&mut self.seen);
        (seen.outage, seen.is_out) = self.gap.mark(Instant::now());
        seen
    }
}

impl Default for Steady {
    fn default() -> Self {
        Self::new()
    }
}

/// Asks until the process ends: attributes and bytes by turns.
pub fn run(subject: &Subject, steady: &Arc<Mutex<Steady>>) {
    let mut transport = Transport {
        subject,
        steady,
        connection: None,
        back_off: Duration::ZERO,
        began: Instant::now(),
        xid: rand::random_range(1..u32::MAX / 2),
    };
    for number in 0_u64.. {
        let file = subject.file.clone();
        let end = if number % 2 == 0 {
            let args = GETATTR3args { object: file };
            match transport.call::<GETATTR3res>(NFS_PROGRAM::NFSPROC3_GETATTR, &args) {
                Nfs3Result::Ok(_) => Ok(()),
                Nfs3Result::Err((status, _)) => Err(status),
            }
        } else {
            let blocks = subject.bytes.len() as u64 / u64::from(READ_BYTES);
            let offset = number % blocks * u64::from(READ_BYTES);
            let args = READ3args { file, offset, count: READ_BYTES };
            match transport.call::<READ3res<'static>>(NFS_PROGRAM::NFSPROC3_READ, &args) {
                Nfs3Result::Ok(read) => {
                    let expected = &subject.bytes[offset as usize..][..READ_BYTES as usize];
                    if *read.data != *expected {
                        let text = format!("READ at {offset} gave other bytes");
                        steady.lock().unwrap().seen.errors.add(text);
                    }
                    Ok(())
                }
                Nfs3Result::Err((status, _)) => Err(status),
            }
        };
        match end {
            Ok(()) => {
                let mut steady = steady.lock().unwrap();
                steady.seen.answered += 1;
                steady.gap.answered(Instant::now());
            }
            Err(nfsstat3::NFS3ERR_JUKEBOX) => {
                steady.lock().unwrap().seen.later += 1;
                poll::pause(LATER);
            }
            Err(status) => steady.lock().unwrap().seen.errors.add(format!("{status:?}")),
        }
        poll::pause(PAUSE);
    }
}

struct Transport<'a> {
    subject: &'a Subject,
    steady: &'a Mutex<Steady>,
    connection: Option<Connection>,
    /// Before the next connection, counted from the beginning of the last.
    back_off: Duration,
    began: Instant,
    xid: u32,
}

impl Transport<'_> {
    fn call<R: Unpack>(&mut self, procedure: NFS_PROGRAM, args: &impl Pack) -> R {
        self.xid = self.xid.wrapping_add(1);
        loop {
            let xid = self.xid;
            match self.connected().call(xid, procedure, args) {
                Ok(reply) => {
                    self.back_off = Duration::ZERO;
                    return reply;
                }
                Err(_) => {
                    self.connection = None;
                    self.steady.lock().unwrap().seen.broken += 1;
                }
            }
        }
    }

    fn connected(&mut self) -> &mut Connection {
        while self.connection.is_none() {
            poll::pause(self.back_off.saturating_sub(self.began.elapsed()));
            self.back_off = (self.back_off * 2).clamp(BACK_OFF_MIN, BACK_OFF_MAX);
            self.began = Instant::now();
            match Connection::open(self.subject.server, &Credential::root(), FOR_EVER) {
                Ok(connection) => self.connection = Some(connection),
                Err(error) => {
                    let seen = &mut self.steady.lock().unwrap().seen;
                    match error.kind() {
                        ErrorKind::ConnectionRefused => seen.refused += 1,
                        _ => seen.broken += 1,
                    }
                }
            }
        }
        self.connection.as_mut().expect("was made")
    }
}
