//! Network interfaces: what they are, how they are, and news of them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage};
use pnet_base::MacAddr;

use super::netlink::{Netlink, ROUTE};

/// `RTMGRP_LINK` of Linux's rtnetlink.h.
const NEWS_OF_LINKS: u32 = 1;

/// An Ethernet interface of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// As the configuration names it.
    pub name: String,
    /// The kernel's number of it; another one after it was taken out and put in again.
    pub index: u32,
    /// Its own address on the link.
    pub mac: MacAddr,
}

/// How an interface is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkState {
    /// Up, and the other end of the cable answers.
    pub carrier: bool,
    /// Frames that could not be sent or received because of an error, since the interface came up.
    pub errors: u64,
}

/// Why an interface cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Taken out, or the name is wrong.
    #[error("there is no network interface {0}: check the name in the configuration, and the card")]
    Absent(String),
    /// No Ethernet address, so no ARP either.
    #[error("the network interface {0} has no Ethernet address: the floating addresses need an Ethernet")]
    NotEthernet(String),
    /// Something else.
    #[error("cannot ask for the network interface {name}: {error}")]
    Kernel {
        /// Which.
        name: String,
        /// Why.
        error: io::Error,
    },
}

/// Asks about interfaces, and hears when one of them changes.
#[derive(Debug)]
pub struct Links {
    questions: Netlink,
    news: Netlink,
}

impl Links {
    /// From now on.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new() -> io::Result<Self> {
        Ok(Self { questions: Netlink::open(ROUTE, 0)?, news: Netlink::open(ROUTE, NEWS_OF_LINKS)? })
    }

    /// The interface of that name.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub fn find(&mut self, name: &str) -> Result<Interface, LinkError> {
        let link = self.ask(name)?;
        let ethernet = link.header.link_layer_type == LinkLayerType::Ether;
        let mac = link.attributes.iter().filter(|_| ethernet).find_map(|attribute| match attribute {
            LinkAttribute::Address(bytes) => <[u8; 6]>::try_from(bytes.as_slice()).ok(),
            _ => None,
        });
        let mac = mac.ok_or_else(|| LinkError::NotEthernet(name.to_owned()))?;
        Ok(Interface { name: name.to_owned(), index: link.header.index, mac: mac.into() })
    }

    /// How the interface of that name is now.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub fn state(&mut self, name: &str) -> Result<LinkState, LinkError> {
        let link = self.ask(name)?;
        let errors = link.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::Stats64(count) => Some(count.rx_errors.saturating_add(count.tx_errors)),
            _ => None,
        });
        let carrier = link.header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp);
        Ok(LinkState { carrier, errors: errors.unwrap_or_default() })
    }

    /// Takes the news there are; whether there were any. Then ask for the states anew: what the news say may be older,
    /// and they are lost where too many come.
    ///
    /// # Errors
    /// The socket cannot be read.
    pub fn changed(&mut self) -> io::Result<bool> {
        let mut some = false;
        loop {
            match self.news.discard() {
                Ok(true) => some = true,
                Ok(false) => return Ok(some),
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => some = true,
                Err(error) => return Err(error),
            }
        }
    }

    fn ask(&mut self, name: &str) -> Result<LinkMessage, LinkError> {
        let mut link = LinkMessage::default();
        link.attributes.push(LinkAttribute::IfName(name.to_owned()));
        let answer = self.questions.ask(RouteNetlinkMessage::GetLink(link), 0);
        let failed = |error: io::Error| match error.raw_os_error() {
            Some(libc::ENODEV) => LinkError::Absent(name.to_owned()),
            _ => LinkError::Kernel { name: name.to_owned(), error },
        };
        match answer.map_err(failed)? {
            Some(RouteNetlinkMessage::NewLink(link)) => Ok(link),
            _ => Err(LinkError::Absent(name.to_owned())),
        }
    }
}

/// Readable when there are news, for [`Links::changed`].
impl AsFd for Links {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.news.as_fd()
    }
}
