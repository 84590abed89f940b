//! Questions to the kernel over netlink, answered while they are sent.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkDeserializable, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable,
};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, sendto, socket_with,
};

/// Longest datagram of the kernel's: it fills dumps into pieces of at most 32 KiB (`NLMSG_GOODSIZE` and
/// `max_recvmsg_len` in Linux's af_netlink.c).
const DATAGRAM: usize = 64 << 10;

/// `NETLINK_ROUTE`: it is zero, and zero means the first one.
pub const ROUTE: Option<Protocol> = None;

/// The kernel's end of every netlink socket.
const KERNEL: SocketAddrNetlink = SocketAddrNetlink::new(0, 0);

/// A netlink socket.
#[derive(Debug)]
pub struct Netlink {
    socket: OwnedFd,
    sequence: u32,
    datagram: Vec<u8>,
}

impl Netlink {
    /// One for that protocol, which also hears of these groups (a mask, `RTMGRP_…`).
    pub fn open(protocol: Option<Protocol>, groups: u32) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
        bind(&socket, &SocketAddrNetlink::new(0, groups))?;
        Ok(Self { socket, sequence: 0, datagram: vec![0; DATAGRAM] })
    }

    /// Has one thing done, or asks for one; gives what was answered. `flags`: what comes beside `NLM_F_REQUEST` and
    /// `NLM_F_ACK`.
    pub fn ask<M>(&mut self, message: M, flags: u16) -> io::Result<Option<M>>
    where
        M: NetlinkSerializable + NetlinkDeserializable + Into<NetlinkPayload<M>>,
    {
        let mut bytes = Vec::new();
        self.append(&mut bytes, message, flags | NLM_F_ACK);
        Ok(self.transact(&bytes, 1)?.into_iter().next())
    }

    /// Asks for all there are of something.
    pub fn dump<M>(&mut self, message: M) -> io::Result<Vec<M>>
    where
        M: NetlinkSerializable + NetlinkDeserializable + Into<NetlinkPayload<M>>,
    {
        let mut bytes = Vec::new();
        self.append(&mut bytes, message, NLM_F_DUMP);
        sendto(&self.socket, &bytes, SendFlags::empty(), &KERNEL)?;
        let mut found = Vec::new();
        loop {
            for message in self.receive()? {
                match message.payload {
                    _ if message.header.sequence_number != self.sequence => {}
                    NetlinkPayload::InnerMessage(one) => found.push(one),
                    NetlinkPayload::Done(done) if done.code < 0 => {
                        return Err(io::Error::from_raw_os_error(-done.code));
                    }
                    NetlinkPayload::Done(_) => return Ok(found),
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    _ => {}
                }
            }
        }
    }

    /// Puts a message behind those in `bytes`, under a sequence number of its own.
    pub fn append<M>(&mut self, bytes: &mut Vec<u8>, message: M, flags: u16)
    where
        M: NetlinkSerializable + Into<NetlinkPayload<M>>,
    {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = NetlinkMessage::new(Default::default(), message.into());
        message.header.flags = NLM_F_REQUEST | flags;
        message.header.sequence_number = self.sequence;
        message.finalize();
        let start = bytes.len();
        bytes.resize(start + message.buffer_len().next_multiple_of(4), 0);
        message.serialize(&mut bytes[start..]);
    }

    /// Sends what was appended, of which `orders` messages want an acknowledgement, and takes these. Gives what was
    /// answered beside them, or the first refusal.
    pub fn transact<M>(&mut self, bytes: &[u8], orders: usize) -> io::Result<Vec<M>>
    where
        M: NetlinkDeserializable,
    {
        // Answers to what was broken off lie there still, if any.
        while self.discard()? {}
        sendto(&self.socket, bytes, SendFlags::empty(), &KERNEL)?;
        let mut acknowledged = 0;
        let mut answers = Vec::new();
        let mut refusal = None;
        while acknowledged < orders {
            for message in self.receive::<M>()? {
                match message.payload {
                    NetlinkPayload::InnerMessage(answer) => answers.push(answer),
                    NetlinkPayload::Error(error) => {
                        acknowledged += 1;
                        if error.code.is_some() {
                            refusal.get_or_insert_with(|| error.to_io());
                        }
                    }
                    _ => {}
                }
            }
        }
        match refusal {
            Some(refusal) => Err(refusal),
            None => Ok(answers),
        }
    }

    /// Takes one datagram and forgets it; false if there is none. An overrun is an error.
    pub fn discard(&mut self) -> io::Result<bool> {
        match recv(&self.socket, self.datagram.as_mut_slice(), RecvFlags::empty()) {
            Ok(_) => Ok(true),
            Err(rustix::io::Errno::AGAIN) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn receive<M: NetlinkDeserializable>(&mut self) -> io::Result<Vec<NetlinkMessage<M>>> {
        let (length, _) = recv(&self.socket, self.datagram.as_mut_slice(), RecvFlags::empty())?;
        let mut rest = &self.datagram[..length];
        let mut messages = Vec::new();
        while !rest.is_empty() {
            let message = NetlinkMessage::<M>::deserialize(rest)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
            let length = (message.header.length as usize).next_multiple_of(4);
            // A length of zero would go round for ever; the library refuses it.
            rest = rest.get(length..).unwrap_or_default();
            messages.push(message);
        }
        Ok(messages)
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
