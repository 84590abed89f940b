//! Datagrams between two judges (FO-4): a [`Message`] as bytes, under the pair's key.
//!
//! ```text
//!  0 magic "SPFO"     4 version u8      5 speaks u8     6 kind u8      7 flags u8
//!  8 pair u64        16 sender u8      17 role u8      18 path u8     19 key u8
//! 20 health u32      24 boot u64       32 sequence u64
//! 40 echo boot u64   48 echo sequence u64              56 generation u64
//! 64 promise µs u32  68 fields: (type u8, length u16, value)*        .. tag 16
//! ```
//!
//! Big endian. Flags: 1 echo, 2 LAN, 4 WAN, 8 eligible, 16 promise; others are left alone. A field of an unknown type
//! is skipped, so a later version adds fields and both versions understand each other; `version` is the lowest whose
//! reader understands the rest, `speaks` the highest that the sender knows. Fields 1 to 4: connections opened over IPv4
//! (12 bytes each) and IPv6 (36), closed over IPv4 and IPv6; client's address and port, then the floating one's.
//!
//! The tag is the first half of HMAC-SHA-256 over all before it, so it covers who sends and on which way. Its key is
//! HMAC-SHA-256 of `port-failover datagram 1 ` and the pair's name under the pair's key; `pair` and `key` are the first
//! nine bytes of the same of `port-failover name 1 `. It says that one of the pair made the datagram, some time:
//! whether it is news is for the machine to say.
//!
//! [`Message`]: crate::machine::message::Message

mod codec;
mod seal;

pub use self::codec::{BYTES_MAX, Malformed, TooLong};
pub use self::seal::{Dropped, KEY_BYTES_MIN, KeyTooShort, Seal};
