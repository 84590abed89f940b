//! The fence: no frame of a floating address passes the LAN interface, either way, but until a deadline that the kernel
//! keeps by itself.
//!
//! It is a table of nftables at the interface, below ARP and IP ([`rules`]): a set holds the interface as long as the
//! fence is open, as an element that times out. To open it for longer, one batch of messages deletes the element and
//! adds it again. The kernel does both or neither, so the batch has two uses more: it is the one way to a new time-out
//! before Linux 6.12, and it fails if the element has run out meanwhile, so that a judge that was stopped while it was
//! about to renew renews nothing.
//!
//! An element's time-out counts from when the kernel takes it, not from when the deadline was compared with the clock.
//! So the clock is read again afterwards, and who finds that he was held up between the two does it over. The kernel
//! rounds down to its ticks. While the whole machine is suspended its ticks stand still: after that the fence may be
//! open for what was left, and it is the generation that keeps writes out.

mod elements;
mod rules;
mod strays;

use std::io::{self, Write};
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::net::netlink::NETFILTER;

use super::clock;
use super::link::Interface;
use super::netlink::Netlink;
use crate::machine::time::Time;
use elements::{Batch, Element};
pub use rules::DELIBERATE;
use rules::Rules;

/// How long a batch may be on its way to the kernel. It is there after some microseconds unless the judge was held up.
const PROMPT: Duration = Duration::from_millis(2);
/// How often in a row the judge may be held up.
const TRIES: usize = 3;

/// Why there is no fence, or not the one that was wanted.
#[derive(Debug, thiserror::Error)]
pub enum FenceError {
    /// A name that nftables would not take as one.
    #[error("a fence cannot be named after {0:?}: use letters, digits, `-`, `_` and `.`")]
    Name(String),
    /// No nftables here. The addresses' lifetime alone is slower.
    #[error(
        "nftables cannot be used ({0}): \
         install nft and use a kernel with CONFIG_NF_TABLES_NETDEV and CONFIG_NETFILTER_EGRESS"
    )]
    Unavailable(String),
    /// Another program has taken the table away: nothing is fenced. Raise it anew.
    #[error(
        "the table of the fence is gone: another program flushes the rules of nftables; keep it from that"
    )]
    Gone,
    /// The deadline has passed, or the judge was held up each time it was about to open. The fence is shut.
    #[error("the judge was held up when it was about to open the fence: it stays shut")]
    Late,
    /// The kernel refuses.
    #[error("cannot change the fence: {0}")]
    Kernel(#[from] io::Error),
}

/// The fence of a pair. Dropping it leaves it in the kernel; then it shuts at its deadline.
#[derive(Debug)]
pub struct Fence {
    netlink: Netlink,
    rules: Rules,
    interface: u32,
    /// There may be an element that opens it.
    open: bool,
    loud: Option<FenceError>,
}

impl Fence {
    /// Raises it, shut; takes over one that an earlier judge has left, without a gap. When it is open, no FIN and no RST
    /// leaves a floating address from the service's port, but for those of the mark [`DELIBERATE`] and those that
    /// strays get: the service's process dies in silence, as a machine does, and its clients wait for the other port.
    ///
    /// # Errors
    /// See [`FenceError`].
    pub fn raise(
        pair: &str,
        interface: &Interface,
        floating: &[IpAddr],
        port: u16,
    ) -> Result<Self, FenceError> {
        let rules = Rules::new(pair, &interface.name, floating, port)?;
        let strays = run_nft(&strays::answer(&rules)).and_then(|()| strays::reflect());
        // Where strays cannot be told, nothing may be kept from clients.
        run_nft(&rules.raise(strays.is_ok()))?;
        let netlink = Netlink::open(Some(NETFILTER), 0)?;
        Ok(Self { netlink, rules, interface: interface.index, open: false, loud: strays.err() })
    }

    /// Why clients hear it when the service's process dies, if they do; see [`strays`].
    pub fn is_loud(&self) -> Option<&FenceError> {
        self.loud.as_ref()
    }

    /// Opens it, or leaves it open, until `deadline`, and never longer.
    ///
    /// # Errors
    /// See [`FenceError`]; the fence is shut then, or shuts at its earlier deadline.
    pub fn open_until(&mut self, deadline: Time) -> Result<(), FenceError> {
        for _ in 0..TRIES {
            let compared = clock::now();
            let remaining = deadline.since(compared);
            if remaining < Duration::from_millis(1) {
                break;
            }
            if self.renew(remaining)? && clock::now().since(compared) <= PROMPT {
                return Ok(());
            }
        }
        self.shut()?;
        Err(FenceError::Late)
    }

    /// Shuts it now.
    ///
    /// # Errors
    /// See [`FenceError`]; it shuts at its deadline.
    pub fn shut(&mut self) -> Result<(), FenceError> {
        if !self.open {
            return Ok(());
        }
        let mut batch = Batch::new(&mut self.netlink, self.rules.table());
        batch.delete(Element { set: rules::OPEN, interface: self.interface });
        match batch.commit() {
            // It has run out.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            other => other?,
        }
        self.open = false;
        Ok(())
    }

    /// Takes it away. Only who holds no floating address may.
    ///
    /// # Errors
    /// See [`FenceError`].
    pub fn remove(self) -> Result<(), FenceError> {
        let table = self.rules.table();
        run_nft(&[rules::remove(table), strays::ignore(table)].concat())
    }

    /// Whether the element is there with so much time; not if the earlier one had run out when the kernel came to it.
    fn renew(&mut self, remaining: Duration) -> Result<bool, FenceError> {
        let element = Element { set: rules::OPEN, interface: self.interface };
        let renewed = self.open;
        let mut batch = Batch::new(&mut self.netlink, self.rules.table());
        if renewed {
            batch.delete(element);
        }
        batch.add(element, Some(remaining));
        // Also if the kernel's answer is lost.
        self.open = true;
        match batch.commit() {
            Ok(()) => Ok(true),
            Err(error) if renewed && error.raw_os_error() == Some(libc::ENOENT) => {
                self.open = false;
                Ok(false)
            }
            Err(error) => Err(gone(error)),
        }
    }
}

/// The table, for adding an element needs nothing else.
fn gone(error: io::Error) -> FenceError {
    if error.raw_os_error() == Some(libc::ENOENT) { FenceError::Gone } else { FenceError::Kernel(error) }
}

/// Has nft do what the rules say, all of it or nothing.
fn run_nft(rules: &str) -> Result<(), FenceError> {
    let failed = |error: io::Error| FenceError::Unavailable(format!("nft: {error}"));
    let mut command = Command::new("nft");
    command.args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut nft = command.spawn().map_err(failed)?;
    if let Some(mut stdin) = nft.stdin.take() {
        // Who does not read on tells why by his exit status.
        let _ = stdin.write_all(rules.as_bytes());
    }
    let output = nft.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(FenceError::Unavailable(said.lines().next().unwrap_or("nft says nothing").to_owned()))
}
