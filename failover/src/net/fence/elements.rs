//! Elements of nftables' sets, added and deleted by one transaction (linux/netfilter/nf_tables.h, nfnetlink.h).

use std::io;
use std::time::Duration;

use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, NLA_F_NESTED, NLM_F_ACK, NLM_F_CREATE, NetlinkDeserializable,
    NetlinkHeader, NetlinkPayload, NetlinkSerializable,
};

use crate::net::netlink::Netlink;

// Of `enum nft_set_elem_list_attributes`, `nft_list_attributes`, `nft_set_elem_attributes` and `nft_data_attributes`.
const LIST_TABLE: u16 = 1;
const LIST_SET: u16 = 2;
const LIST_ELEMENTS: u16 = 3;
const ONE_ELEMENT: u16 = 1;
const ELEMENT_KEY: u16 = 1;
const ELEMENT_TIMEOUT: u16 = 4;
const DATA_VALUE: u16 = 1;

/// Family, version and resource: `struct nfgenmsg`.
const HEADER: usize = 4;

/// An interface as element of a set of interfaces.
#[derive(Clone, Copy, Debug)]
pub struct Element {
    /// Which set.
    pub set: &'static str,
    /// Its index.
    pub interface: u32,
}

/// Changes of elements of one table that are made together or not at all.
pub struct Batch<'a> {
    netlink: &'a mut Netlink,
    table: &'a str,
    bytes: Vec<u8>,
    orders: usize,
}

impl<'a> Batch<'a> {
    /// An empty one.
    pub fn new(netlink: &'a mut Netlink, table: &'a str) -> Self {
        let mut bytes = Vec::with_capacity(512);
        netlink.append(&mut bytes, Message::frame(libc::NFNL_MSG_BATCH_BEGIN), 0);
        Self { netlink, table, bytes, orders: 0 }
    }

    /// Adds an element if it is not there, for good or for so many whole milliseconds.
    pub fn add(&mut self, element: Element, timeout: Option<Duration>) {
        let timeout = timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        self.order(libc::NFT_MSG_NEWSETELEM, element, timeout, NLM_F_CREATE);
    }

    /// Deletes an element that must be there.
    pub fn delete(&mut self, element: Element) {
        self.order(libc::NFT_MSG_DELSETELEM, element, None, 0);
    }

    /// Has it done.
    pub fn commit(mut self) -> io::Result<()> {
        self.netlink.append(&mut self.bytes, Message::frame(libc::NFNL_MSG_BATCH_END), 0);
        self.netlink.transact::<Message>(&self.bytes, self.orders).map(drop)
    }

    fn order(&mut self, kind: libc::c_int, element: Element, timeout_ms: Option<u64>, flags: u16) {
        // Sets compare it as the kernel has it in memory.
        let key = nested(DATA_VALUE, element.interface.to_ne_bytes().to_vec());
        let mut attributes = vec![DefaultNla::new(ELEMENT_KEY | NLA_F_NESTED, key)];
        attributes.extend(timeout_ms.map(|ms| DefaultNla::new(ELEMENT_TIMEOUT, ms.to_be_bytes().to_vec())));
        let elements = nested(ONE_ELEMENT | NLA_F_NESTED, bytes_of(&attributes));
        let message = Message {
            kind: ((libc::NFNL_SUBSYS_NFTABLES << 8) | kind) as u16,
            family: libc::NFPROTO_NETDEV as u8,
            resource: 0,
            attributes: vec![
                DefaultNla::new(LIST_TABLE, text(self.table)),
                DefaultNla::new(LIST_SET, text(element.set)),
                DefaultNla::new(LIST_ELEMENTS | NLA_F_NESTED, elements),
            ],
        };
        self.netlink.append(&mut self.bytes, message, flags | NLM_F_ACK);
        self.orders += 1;
    }
}

fn text(name: &str) -> Vec<u8> {
    [name.as_bytes(), b"\0"].concat()
}

fn nested(kind: u16, value: Vec<u8>) -> Vec<u8> {
    bytes_of(&[DefaultNla::new(kind, value)])
}

fn bytes_of(attributes: &[DefaultNla]) -> Vec<u8> {
    let mut bytes = vec![0; attributes.buffer_len()];
    attributes.emit(&mut bytes);
    bytes
}

/// A message of the netfilter family.
struct Message {
    kind: u16,
    family: u8,
    resource: u16,
    attributes: Vec<DefaultNla>,
}

impl Message {
    /// One end of a batch.
    fn frame(kind: libc::c_int) -> Self {
        let resource = libc::NFNL_SUBSYS_NFTABLES as u16;
        Self { kind: kind as u16, family: libc::AF_UNSPEC as u8, resource, attributes: Vec::new() }
    }
}

impl NetlinkSerializable for Message {
    fn message_type(&self) -> u16 {
        self.kind
    }

    fn buffer_len(&self) -> usize {
        HEADER + self.attributes.as_slice().buffer_len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer[0] = self.family;
        buffer[1] = libc::NFNETLINK_V0 as u8;
        buffer[2..HEADER].copy_from_slice(&self.resource.to_be_bytes());
        self.attributes.as_slice().emit(&mut buffer[HEADER..]);
    }
}

impl NetlinkDeserializable for Message {
    type Error = DecodeError;

    /// Acknowledgements alone are answered, and these the library reads.
    fn deserialize(header: &NetlinkHeader, _: &[u8]) -> Result<Self, DecodeError> {
        Err(DecodeError::from(format!("netfilter says something unasked, of type {}", header.message_type)))
    }
}

impl From<Message> for NetlinkPayload<Message> {
    fn from(message: Message) -> Self {
        Self::InnerMessage(message)
    }
}
