//! What the two ports say to each other while one mirrors the journal of the other. Pure: bytes in, messages out.
//!
//! A message is a frame: its length as a big-endian `u32`, its kind as one byte, its body. Numbers are big-endian.
//!
//! | kind | from | body |
//! |---|---|---|
//! | 1 HELLO | active | version `u8`, member `u8` (`a` or `b`), generation `u64`, the pair's name |
//! | 2 WELCOME | passive | – |
//! | 3 NEWER | passive | generation `u64`: the sender of HELLO has lost |
//! | 4 RECORDS | active | whole records of the journal, as they stand in it |
//! | 5 WHOLE | active | mark `u64`: nothing is missing, the old journal may go; said again, the mark is another one |
//! | 6 IS_WHOLE | passive | lsn `u64`: that is done, durably, up to this record |
//! | 7 DURABLE | passive | lsn `u64`: up to this record all is durable; the answer to RECORDS and PING |
//! | 8 PING | active | – |
//! | 9 LEDGER | active | number `u64`, the list of clients with locks |
//! | 10 LEDGER_DURABLE | passive | number `u64` |
//!
//! A kind that is not known is skipped, so that a later version may add some.

use std::io;

use protocol::pair::Member;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::journal::{Lsn, WRITE_BYTES_MAX};

/// The version of this protocol.
pub const VERSION: u8 = 1;
/// Longest frame: the longest record, or a batch of shorter ones, and some room.
const FRAME_BYTES_MAX: usize = WRITE_BYTES_MAX + (64 << 10);

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the table above says what each is")]
pub enum Message {
    Hello {
        version: u8,
        member: Member,
        generation: u64,
        pair: String,
    },
    Welcome,
    Newer {
        generation: u64,
    },
    Records(Vec<u8>),
    Whole {
        mark: u64,
    },
    IsWhole(Lsn),
    Durable(Lsn),
    Ping,
    Ledger {
        number: u64,
        bytes: Vec<u8>,
    },
    LedgerDurable {
        number: u64,
    },
    /// Of a later version.
    Unknown(u8),
}

impl Message {
    /// As a frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut frame = vec![0; 4];
        match self {
            Self::Hello { version, member, generation, pair } => {
                frame.extend([1, *version, letter(*member)]);
                frame.extend(generation.to_be_bytes());
                frame.extend(pair.as_bytes());
            }
            Self::Welcome => frame.push(2),
            Self::Newer { generation } => number(&mut frame, 3, *generation),
            Self::Records(bytes) => {
                frame.push(4);
                frame.extend(bytes);
            }
            Self::Whole { mark } => number(&mut frame, 5, *mark),
            Self::IsWhole(lsn) => number(&mut frame, 6, lsn.0),
            Self::Durable(lsn) => number(&mut frame, 7, lsn.0),
            Self::Ping => frame.push(8),
            Self::Ledger { number, bytes } => {
                frame.push(9);
                frame.extend(number.to_be_bytes());
                frame.extend(bytes);
            }
            Self::LedgerDurable { number: of } => number(&mut frame, 10, *of),
            Self::Unknown(kind) => frame.push(*kind),
        }
        let length = (frame.len() - 4) as u32;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        frame
    }

    /// Reads the kind and the body of a frame; `None` if they are not as the table says.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (&kind, body) = bytes.split_first()?;
        Some(match kind {
            1 => {
                let (&[version, member], rest) = body.split_first_chunk()?;
                let (generation, pair) = rest.split_first_chunk()?;
                let member = [Member::A, Member::B].into_iter().find(|known| letter(*known) == member)?;
                let pair = std::str::from_utf8(pair).ok()?.to_owned();
                Self::Hello { version, member, generation: u64::from_be_bytes(*generation), pair }
            }
            2 if body.is_empty() => Self::Welcome,
            3 => Self::Newer { generation: only(body)? },
            4 => Self::Records(body.to_vec()),
            5 => Self::Whole { mark: only(body)? },
            6 => Self::IsWhole(Lsn(only(body)?)),
            7 => Self::Durable(Lsn(only(body)?)),
            8 if body.is_empty() => Self::Ping,
            9 => {
                let (number, bytes) = body.split_first_chunk()?;
                Self::Ledger { number: u64::from_be_bytes(*number), bytes: bytes.to_vec() }
            }
            10 => Self::LedgerDurable { number: only(body)? },
            2 | 8 => return None,
            kind => Self::Unknown(kind),
        })
    }
}

const fn letter(member: Member) -> u8 {
    match member {
        Member::A => b'a',
        Member::B => b'b',
    }
}

fn number(frame: &mut Vec<u8>, kind: u8, number: u64) {
    frame.push(kind);
    frame.extend(number.to_be_bytes());
}

fn only(body: &[u8]) -> Option<u64> {
    body.try_into().ok().map(u64::from_be_bytes)
}

/// Sends a message.
///
/// # Errors
/// Of the connection.
pub async fn send(to: &mut (impl AsyncWrite + Unpin), message: &Message) -> io::Result<()> {
    to.write_all(&message.encode()).await?;
    to.flush().await
}

/// The next message. What it takes in memory is bounded.
///
/// # Errors
/// Of the connection, and `InvalidData` for what is no message.
pub async fn receive(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Message> {
    let length = from.read_u32().await? as usize;
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame that is too long"));
    }
    let mut frame = vec![0; length];
    from.read_exact(&mut frame).await?;
    Message::decode(&frame)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a frame that is no message"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message() -> impl Strategy<Value = Message> {
        let member = prop_oneof![Just(Member::A), Just(Member::B)];
        let bytes = || prop::collection::vec(any::<u8>(), 0..100);
        prop_oneof![
            (any::<u8>(), member, any::<u64>(), "[a-z0-9-]{1,57}").prop_map(
                |(version, member, generation, pair)| {
                    Message::Hello { version, member, generation, pair }
                }
            ),
            Just(Message::Welcome),
            any::<u64>().prop_map(|generation| Message::Newer { generation }),
            bytes().prop_map(Message::Records),
            any::<u64>().prop_map(|mark| Message::Whole { mark }),
            any::<u64>().prop_map(|lsn| Message::IsWhole(Lsn(lsn))),
            any::<u64>().prop_map(|lsn| Message::Durable(Lsn(lsn))),
            Just(Message::Ping),
            (any::<u64>(), bytes()).prop_map(|(number, bytes)| Message::Ledger { number, bytes }),
            any::<u64>().prop_map(|number| Message::LedgerDurable { number }),
            (11u8..).prop_map(Message::Unknown),
        ]
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    proptest! {
        #[test]
        fn messages_come_back_as_they_were_sent(messages in prop::collection::vec(message(), 0..5)) {
            let stream: Vec<u8> = messages.iter().flat_map(Message::encode).collect();
            let mut from = &stream[..];
            for message in messages {
                prop_assert_eq!(block_on(receive(&mut from)).unwrap(), message);
            }
            prop_assert_eq!(block_on(receive(&mut from)).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }

        #[test]
        fn any_bytes_are_a_message_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Some(message) = Message::decode(&bytes) && !matches!(message, Message::Unknown(_)) {
                prop_assert_eq!(&message.encode()[4..], &bytes[..]);
            }
            let _ = block_on(receive(&mut &bytes[..]));
        }
    }

    #[test]
    fn a_frame_is_bounded_before_it_is_taken() {
        let error = block_on(receive(&mut &[0xff; 8][..])).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_later_versions_message_is_skipped() {
        assert_eq!(Message::decode(&[200, 1, 2]), Some(Message::Unknown(200)));
    }
}
