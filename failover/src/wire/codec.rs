//! The bytes under the tag.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::{Buf, BufMut, TryGetError};
use thiserror::Error;

use crate::machine::connections::CHANGES_PER_STATUS;
use crate::machine::event::{Generation, Member, Path};
use crate::machine::message::{Connection, Kind, Message, Role};

/// Longest datagram, its tag with it: within the smallest MTU met, so that none is cut.
pub const BYTES_MAX: usize = 1_400;
pub(super) const MAGIC: [u8; 4] = *b"SPFO";
/// The version that this code writes, and the only one it reads.
pub(super) const VERSION: u8 = 1;

const ECHO: u8 = 1;
const LAN: u8 = 2;
const WAN: u8 = 4;
const ELIGIBLE: u8 = 8;
const PROMISE: u8 = 16;

const OPENED_V4: u8 = 1;
const OPENED_V6: u8 = 2;
const CLOSED_V4: u8 = 3;
const CLOSED_V6: u8 = 4;
const V4_BYTES: usize = 2 * (4 + 2);
const V6_BYTES: usize = 2 * (16 + 2);

/// Around a message: which pair, which way, which key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Envelope {
    pub(super) pair: u64,
    pub(super) path: Path,
    pub(super) key: u8,
}

/// A right tag over bytes that are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Malformed {
    /// It ends too early.
    #[error("the datagram is too short")]
    Truncated,
    /// A value that has no meaning.
    #[error("the datagram has an unknown {0}")]
    Unknown(&'static str),
    /// A list that is too long, or not a multiple of its entries.
    #[error("the datagram has a list of a wrong length")]
    List,
}

impl From<TryGetError> for Malformed {
    fn from(_: TryGetError) -> Self {
        Self::Truncated
    }
}

/// The message has more changes of connections than fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("more than {CHANGES_PER_STATUS} changes of connections do not fit into a datagram")]
pub struct TooLong;

pub(super) fn encode(envelope: Envelope, message: &Message) -> Result<Vec<u8>, TooLong> {
    let (kind, promise) = match &message.kind {
        Kind::Query { promise } => (1, *promise),
        Kind::Status { .. } => (2, None),
        Kind::Prepare => (3, None),
        Kind::Ready => (4, None),
        Kind::Release => (5, None),
    };
    let flags = [
        (message.echo.is_some(), ECHO),
        (message.lan, LAN),
        (message.wan, WAN),
        (message.eligible, ELIGIBLE),
        (promise.is_some(), PROMISE),
    ];
    let echo = message.echo.unwrap_or_default();
    let promise = promise.map_or(0, |span| u32::try_from(span.as_micros()).unwrap_or(u32::MAX));

    let mut bytes = Vec::with_capacity(BYTES_MAX);
    bytes.put_slice(&MAGIC);
    bytes.put_slice(&[VERSION, message.speaks, kind]);
    bytes.put_u8(flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).sum());
    bytes.put_u64(envelope.pair);
    bytes.put_slice(&[
        member_code(message.sender),
        role_code(message.role),
        path_code(envelope.path),
        envelope.key,
    ]);
    bytes.put_u32(message.health);
    for number in [message.boot, message.sequence, echo.0, echo.1, message.generation.0] {
        bytes.put_u64(number);
    }
    bytes.put_u32(promise);
    if let Kind::Status { opened, closed } = &message.kind {
        if opened.len() + closed.len() > CHANGES_PER_STATUS {
            return Err(TooLong);
        }
        put_connections(&mut bytes, [OPENED_V4, OPENED_V6], opened);
        put_connections(&mut bytes, [CLOSED_V4, CLOSED_V6], closed);
    }
    Ok(bytes)
}

/// Reads what follows magic and version.
pub(super) fn decode(mut from: &[u8]) -> Result<(Envelope, Message), Malformed> {
    let speaks = from.try_get_u8()?;
    let kind = from.try_get_u8()?;
    let flags = from.try_get_u8()?;
    let pair = from.try_get_u64()?;
    let sender = member(from.try_get_u8()?)?;
    let role = role(from.try_get_u8()?)?;
    let path = path(from.try_get_u8()?)?;
    let key = from.try_get_u8()?;
    let health = from.try_get_u32()?;
    let boot = from.try_get_u64()?;
    let sequence = from.try_get_u64()?;
    let echo = (from.try_get_u64()?, from.try_get_u64()?);
    let generation = Generation(from.try_get_u64()?);
    let promise = Duration::from_micros(from.try_get_u32()?.into());
    let (opened, closed) = get_connections(from)?;
    let kind = match kind {
        1 => Kind::Query { promise: (flags & PROMISE != 0).then_some(promise) },
        2 => Kind::Status { opened, closed },
        3 => Kind::Prepare,
        4 => Kind::Ready,
        5 => Kind::Release,
        _ => return Err(Malformed::Unknown("kind")),
    };
    let message = Message {
        speaks,
        sender,
        boot,
        sequence,
        echo: (flags & ECHO != 0).then_some(echo),
        role,
        generation,
        health,
        lan: flags & LAN != 0,
        wan: flags & WAN != 0,
        eligible: flags & ELIGIBLE != 0,
        kind,
    };
    Ok((Envelope { pair, path, key }, message))
}

/// One field for each family that occurs. Both addresses of a connection are of one family.
fn put_connections(bytes: &mut Vec<u8>, types: [u8; 2], connections: &[Connection]) {
    let (v4, v6): (Vec<_>, Vec<_>) =
        connections.iter().partition(|(client, floating)| client.is_ipv4() && floating.is_ipv4());
    for (field, connections, size) in [(types[0], v4, V4_BYTES), (types[1], v6, V6_BYTES)] {
        if connections.is_empty() {
            continue;
        }
        bytes.put_u8(field);
        bytes.put_u16((connections.len() * size) as u16);
        for address in connections.iter().flat_map(|(client, floating)| [client, floating]) {
            match address.ip() {
                IpAddr::V4(ip) if size == V4_BYTES => bytes.put_slice(&ip.octets()),
                IpAddr::V4(ip) => bytes.put_slice(&ip.to_ipv6_mapped().octets()),
                IpAddr::V6(ip) => bytes.put_slice(&ip.octets()),
            }
            bytes.put_u16(address.port());
        }
    }
}

/// Opened and closed, of all fields; fields of other types are skipped.
fn get_connections(mut from: &[u8]) -> Result<(Vec<Connection>, Vec<Connection>), Malformed> {
    let (mut opened, mut closed) = (Vec::new(), Vec::new());
    while from.has_remaining() {
        let field = from.try_get_u8()?;
        let length = usize::from(from.try_get_u16()?);
        let (value, rest) = from.split_at_checked(length).ok_or(Malformed::Truncated)?;
        from = rest;
        let (list, size) = match field {
            OPENED_V4 => (&mut opened, V4_BYTES),
            OPENED_V6 => (&mut opened, V6_BYTES),
            CLOSED_V4 => (&mut closed, V4_BYTES),
            CLOSED_V6 => (&mut closed, V6_BYTES),
            _ => continue,
        };
        if length % size != 0 {
            return Err(Malformed::List);
        }
        for entry in value.chunks_exact(size) {
            let (client, floating) = entry.split_at(size / 2);
            list.push((address(client)?, address(floating)?));
        }
    }
    if opened.len() + closed.len() > CHANGES_PER_STATUS {
        return Err(Malformed::List);
    }
    Ok((opened, closed))
}

fn address(mut bytes: &[u8]) -> Result<SocketAddr, Malformed> {
    let ip: IpAddr = match bytes.len() {
        6 => bytes.try_get_u32()?.to_be_bytes().into(),
        _ => bytes.try_get_u128()?.to_be_bytes().into(),
    };
    Ok(SocketAddr::new(ip, bytes.try_get_u16()?))
}

const fn member_code(member: Member) -> u8 {
    match member {
        Member::A => 1,
        Member::B => 2,
    }
}

fn member(code: u8) -> Result<Member, Malformed> {
    [Member::A, Member::B]
        .into_iter()
        .find(|member| member_code(*member) == code)
        .ok_or(Malformed::Unknown("member"))
}

const fn path_code(path: Path) -> u8 {
    match path {
        Path::Heartbeat => 1,
        Path::Lan => 2,
    }
}

fn path(code: u8) -> Result<Path, Malformed> {
    [Path::Heartbeat, Path::Lan]
        .into_iter()
        .find(|path| path_code(*path) == code)
        .ok_or(Malformed::Unknown("path"))
}

const fn role_code(role: Role) -> u8 {
    match role {
        Role::Starting => 1,
        Role::Passive => 2,
        Role::Acquiring => 3,
        Role::Active => 4,
        Role::Releasing => 5,
    }
}

fn role(code: u8) -> Result<Role, Malformed> {
    let roles = [Role::Starting, Role::Passive, Role::Acquiring, Role::Active, Role::Releasing];
    roles.into_iter().find(|role| role_code(*role) == code).ok_or(Malformed::Unknown("role"))
}
