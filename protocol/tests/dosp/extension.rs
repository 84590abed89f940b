//! DOSP-9: a new operation is an In/Out pair and a code, a function that asks, and a handler. Nothing in the library
//! knows of this one.

use std::collections::HashMap;

use protocol::dosp::operations::{Null, NullOut, Verify, VerifyIn};
use protocol::dosp::{
    Failure, Malformed, Message, Operation, Reader, Status, VERSION, decode_reply, decode_request,
    encode_reply, encode_request,
};

/// Adds two numbers.
struct Add;

#[derive(Debug, PartialEq)]
struct AddIn {
    left: u32,
    right: u32,
}

#[derive(Debug, PartialEq)]
struct AddOut {
    sum: u64,
}

impl Operation for Add {
    const CODE: u16 = 0x4000;
    const NAME: &'static str = "add";
    type In = AddIn;
    type Out = AddOut;
}

impl Message for AddIn {
    fn encode(&self, to: &mut Vec<u8>) {
        self.left.encode(to);
        self.right.encode(to);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { left: from.get()?, right: from.get()? })
    }
}

impl Message for AddOut {
    fn encode(&self, to: &mut Vec<u8>) {
        self.sum.encode(to);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { sum: from.get()? })
    }
}

/// A daemon: a handler for each code, from an In's bytes to a whole reply.
type Handler = Box<dyn Fn(u64, &[u8]) -> Vec<u8>>;

#[derive(Default)]
struct Daemon {
    handlers: HashMap<u16, Handler>,
}

impl Daemon {
    fn serves<O: Operation>(mut self, work: impl Fn(O::In) -> Result<O::Out, Failure> + 'static) -> Self {
        let handler = move |id, input: &[u8]| {
            let malformed = |error: Malformed| Failure::new(Status::Malformed, error.to_string());
            encode_reply(id, &O::In::from_bytes(input).map_err(malformed).and_then(&work))
        };
        self.handlers.insert(O::CODE, Box::new(handler));
        self
    }

    fn answer(&self, request: &[u8]) -> Vec<u8> {
        let head = decode_request(request).unwrap();
        match self.handlers.get(&head.code) {
            Some(handler) => handler(head.id, head.rest),
            None => encode_reply::<()>(head.id, &Err(Failure::new(Status::Unsupported, "unknown operation"))),
        }
    }
}

/// The client's side of every operation.
fn ask<O: Operation>(daemon: &Daemon, input: &O::In) -> Result<O::Out, Failure> {
    let (id, outcome) = decode_reply(&daemon.answer(&encode_request::<O>(7, input))).unwrap();
    assert_eq!(id, 7);
    outcome
}

fn daemon() -> Daemon {
    Daemon::default()
        .serves::<Null>(|()| Ok(NullOut { version: VERSION, node: 3, roles: Default::default() }))
}

/// DOSP-9.
#[test]
fn a_new_operation_is_a_pair_of_structures_and_a_code() {
    let newer = daemon()
        .serves::<Add>(|AddIn { left, right }| Ok(AddOut { sum: u64::from(left) + u64::from(right) }));
    assert_eq!(ask::<Add>(&newer, &AddIn { left: u32::MAX, right: 1 }), Ok(AddOut { sum: 1 << 32 }));
    assert_eq!(ask::<Null>(&newer, &()).unwrap().node, 3);
}

/// DOSP-9: who does not know an operation says so, and goes on.
#[test]
fn an_unknown_operation_is_unsupported_and_the_next_one_is_answered() {
    let older = daemon();
    let refused = ask::<Add>(&older, &AddIn { left: 1, right: 2 });
    assert_eq!(refused.map_err(|failure| failure.status), Err(Status::Unsupported));
    assert_eq!(ask::<Null>(&older, &()).unwrap().version, VERSION);
}

/// DOSP-9: a wrong In is told, and does not end the conversation.
#[test]
fn a_wrong_in_is_malformed_and_the_next_request_is_answered() {
    let daemon = daemon().serves::<Add>(|_| Ok(AddOut { sum: 0 }));
    let mut request = encode_request::<Add>(9, &AddIn { left: 1, right: 2 });
    request.pop();
    let (id, outcome) = decode_reply::<AddOut>(&daemon.answer(&request)).unwrap();
    assert_eq!((id, outcome.unwrap_err().status), (9, Status::Malformed));
    assert!(ask::<Null>(&daemon, &()).is_ok());
}

/// DOSP-9: a later version appends a field; an older one takes what it knows.
#[test]
fn a_longer_in_of_a_later_version_is_understood() {
    let request =
        encode_request::<Verify>(1, &VerifyIn { fingerprint: protocol::digest::Fingerprint([9; 16]) });
    let longer = [&request[..], b"a later field"].concat();
    let head = decode_request(&longer).unwrap();
    assert_eq!(head.input::<Verify>().unwrap().fingerprint.0, [9; 16]);
}
