//! What must outlast a restart of the server: its own state number, and which clients hold locks.
//!
//! The locks themselves are not kept: each client knows its own and takes them again, once it is told that the server
//! has started anew. A record is bytes in, values out; where it is kept is the daemon's matter ([`Ledger`]).

use std::io;
use std::net::{IpAddr, Ipv6Addr};

use crate::xdr::{Decoder, Encoder, XdrError, XdrResult};

/// Longest name of a client (`SM_MAXSTRLEN`).
pub const NAME_BYTES_MAX: usize = 1024;
const MAGIC: [u8; 8] = *b"SPLOCKS\x01";
const CHECKSUM_BYTES: usize = 32;

/// A client of the lock manager. The address comes first: what a client calls itself may be "localhost".
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Client {
    /// Where its calls come from.
    pub address: IpAddr,
    /// What it calls itself.
    pub name: Box<[u8]>,
}

/// A client that must be told of a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Who.
    pub client: Client,
    /// The address by which it knows this server.
    pub local: IpAddr,
}

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// State number of this server: odd while it is up, another one after each start. 0 before the first.
    pub state: u32,
    /// Clients that hold locks.
    pub clients: Vec<Remembered>,
}

/// Keeps one [`Record`] through crashes.
pub trait Ledger: std::fmt::Debug + Send + Sync + 'static {
    /// What was stored last; the default if nothing was ever stored.
    ///
    /// # Errors
    /// Of the disk: the server must not start, clients would lose their locks unheard. `InvalidData` if what is there is
    /// no record, and never will be.
    fn load(&self) -> io::Result<Record>;

    /// Stores a record in place of the last, whole or not at all; durable when it returns. Never called twice at once.
    ///
    /// # Errors
    /// Of the disk; the last record is still there then.
    fn store(&self, record: &Record) -> io::Result<()>;
}

impl Record {
    /// The state number of the next start.
    pub const fn next_state(&self) -> u32 {
        // Some clients keep it in a signed number.
        ((self.state | 1).wrapping_add(2) & (u32::MAX >> 1)) | 1
    }

    /// As bytes for a disk, with a checksum at the end.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.array(&MAGIC);
        out.u32(self.state);
        out.u32(self.clients.len() as u32);
        for Remembered { client, local } in &self.clients {
            encode_address(&mut out, client.address);
            out.opaque(&client.name);
            encode_address(&mut out, *local);
        }
        let mut bytes = out.into_bytes();
        let checksum = blake3::hash(&bytes);
        bytes.extend_from_slice(checksum.as_bytes());
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote; `None` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (body, checksum) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM_BYTES)?)?;
        if blake3::hash(body).as_bytes() != checksum {
            return None;
        }
        decode(&mut Decoder::new(body)).ok()
    }
}

fn decode(from: &mut Decoder<'_>) -> XdrResult<Record> {
    if from.array()? != MAGIC {
        return Err(XdrError::BadValue);
    }
    let (state, count) = (from.u32()?, from.u32()?);
    let clients = (0..count).map(|_| {
        let (address, name) = (decode_address(from)?, from.opaque(NAME_BYTES_MAX)?.into());
        Ok(Remembered { client: Client { address, name }, local: decode_address(from)? })
    });
    let clients = clients.collect::<XdrResult<_>>()?;
    from.end()?;
    Ok(Record { state, clients })
}

/// Addresses are 16 bytes: those of IPv4 in their IPv6 form.
fn encode_address(out: &mut Encoder, address: IpAddr) {
    let address = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    out.array(&address.octets());
}

fn decode_address(from: &mut Decoder<'_>) -> XdrResult<IpAddr> {
    Ok(IpAddr::V6(Ipv6Addr::from(from.array::<16>()?)).to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let client = |address: IpAddr, name: &[u8]| Client { address, name: name.into() };
        Record {
            state: 7,
            clients: vec![
                Remembered { client: client([192, 0, 2, 1].into(), b"web1"), local: [192, 0, 2, 9].into() },
                Remembered {
                    client: client("2001:db8::1".parse().unwrap(), b"\xff"),
                    local: "2001:db8::9".parse().unwrap(),
                },
            ],
        }
    }

    #[test]
    fn a_record_comes_back_as_it_was_written() {
        for record in [record(), Record::default()] {
            assert_eq!(Record::from_bytes(&record.to_bytes()), Some(record));
        }
    }

    #[test]
    fn a_record_with_any_byte_changed_or_missing_is_none() {
        let bytes = record().to_bytes();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x20;
            assert_eq!(Record::from_bytes(&changed), None, "byte {at}");
            assert_eq!(Record::from_bytes(&bytes[..at]), None, "cut at {at}");
        }
    }

    #[test]
    fn each_start_has_another_odd_state_number() {
        for (state, next) in [(0, 3), (1, 3), (3, 5), (4, 7), (0x7fff_ffff, 1), (u32::MAX, 1)] {
            assert_eq!(Record { state, clients: Vec::new() }.next_state(), next);
        }
    }
}
