//! Calls to clients' lock managers: that a lock they wait for is theirs (GRANTED), and answers to those that speak in
//! messages (TEST_RES and its kin).

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Instant;

use futures::future::{BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::sleep_until;

use super::manager::{CALLS_PER_ADDRESS, CallsOut, Grant, Outcome};
use super::procedures::procedure;
use super::service::Locks;
use super::wire::{self, Lock, Status, TestArgs};
use super::{PROGRAM, VERSION};
use crate::outbound::{self, CallError, Peer, Procedure};
use crate::xdr::{Decoder, Encoder};

/// Calls out at once. A client that does not answer takes a place for some seconds.
const CALLS_MAX: usize = 64;
/// Answers in messages out at once, and those that may wait, in all and for one address. More are dropped, and their
/// clients ask again. Whoever asks for many keeps no other client from its locks.
const MESSAGES_OUT_MAX: usize = 16;
const MESSAGES_MAX: usize = 256;
const MESSAGES_PER_ADDRESS: usize = 32;

/// An answer to be sent as a call.
#[derive(Debug)]
pub(super) struct Message {
    pub address: IpAddr,
    pub local: IpAddr,
    pub procedure: u32,
    pub args: Vec<u8>,
}

/// Answers that wait to be sent.
#[derive(Debug, Default)]
pub(super) struct Outbox(VecDeque<Message>);

impl Outbox {
    pub fn push(&mut self, message: Message) {
        let of_address = self.0.iter().filter(|other| other.address == message.address).count();
        if self.0.len() < MESSAGES_MAX && of_address < MESSAGES_PER_ADDRESS {
            self.0.push_back(message);
        }
    }

    /// The first to an address to which not too many are out.
    fn pop(&mut self, out: &CallsOut) -> Option<Message> {
        let is_free =
            |message: &Message| out.get(&message.address).is_none_or(|&out| out < CALLS_PER_ADDRESS);
        let first = self.0.iter().position(is_free)?;
        self.0.remove(first)
    }
}

impl Locks {
    /// Makes the calls that are due, for ever.
    pub(super) async fn call_clients(&self) {
        let mut calls: FuturesUnordered<BoxFuture<'_, IpAddr>> = FuturesUnordered::new();
        let mut messages: FuturesUnordered<BoxFuture<'_, IpAddr>> = FuturesUnordered::new();
        let (mut called, mut messaged) = (CallsOut::new(), CallsOut::new());
        loop {
            while messages.len() < MESSAGES_OUT_MAX
                && let Some(message) = self.outbox().pop(&messaged)
            {
                *messaged.entry(message.address).or_default() += 1;
                messages.push(self.send(message).boxed());
            }
            let room = CALLS_MAX - calls.len();
            for grant in self.manager().due(room, &called, Instant::now()) {
                *called.entry(grant.address).or_default() += 1;
                calls.push(self.grant(grant).boxed());
            }
            let due = self.manager().next_due(&called).filter(|_| calls.len() < CALLS_MAX);
            let alarm = async {
                match due {
                    Some(due) => sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(address) = calls.next() => ended(&mut called, address),
                Some(address) = messages.next() => ended(&mut messaged, address),
                () = self.wanted().notified() => {}
                () = alarm => {}
            }
        }
    }

    async fn grant(&self, grant: Grant) -> IpAddr {
        let (offset, len) = grant.piece.range.on_wire();
        let lock = Lock {
            name: &grant.name,
            file: grant.file.as_bytes(),
            oh: &grant.oh,
            svid: grant.svid,
            offset,
            len,
        };
        let cookie = grant.id.to_be_bytes();
        let mut args = Encoder::new();
        TestArgs { cookie: &cookie, kind: grant.piece.kind, lock }.encode(&mut args);
        let number = if grant.by_message { procedure::GRANTED_MSG } else { procedure::GRANTED };
        let outcome = match self.call(grant.address, grant.local, number, &args.into_bytes()).await {
            // The answer comes as a call, GRANTED_RES.
            Ok(_) if grant.by_message => Outcome::Unknown,
            Ok(results) => {
                outcome(wire::decode_result(&mut Decoder::new(&results)).ok().map(|(_, status)| status))
            }
            Err(error) => {
                tracing::debug!(client = %grant.address, %error, "not told of its lock");
                if error.is_unsent() { Outcome::NotSent } else { Outcome::Unknown }
            }
        };
        self.change(|manager, now| manager.answered(grant.id, outcome, now));
        grant.address
    }

    async fn send(&self, Message { address, local, procedure, args }: Message) -> IpAddr {
        if let Err(error) = self.call(address, local, procedure, &args).await {
            tracing::debug!(client = %address, %error, "a message was not delivered");
        }
        address
    }

    async fn call(
        &self,
        address: IpAddr,
        local: IpAddr,
        procedure: u32,
        args: &[u8],
    ) -> Result<Vec<u8>, CallError> {
        let peer = Peer { address, local, rpcbind_port: self.rpcbind_port() };
        let procedure = Procedure { program: PROGRAM, version: VERSION, procedure };
        outbound::call(&peer, self.next_xid(), procedure, args).await
    }
}

fn ended(out: &mut CallsOut, address: IpAddr) {
    if let Some(count) = out.get_mut(&address) {
        *count -= 1;
        if *count == 0 {
            out.remove(&address);
        }
    }
}

/// What a client's answer to GRANTED means.
pub(super) fn outcome(status: Option<Status>) -> Outcome {
    match status {
        Some(Status::Granted) => Outcome::Accepted,
        // It has just started anew itself, or says nothing that can be read.
        Some(Status::DeniedGracePeriod) | None => Outcome::Unknown,
        Some(_) => Outcome::Refused,
    }
}
