//! The HTTP server: connections with bounds in number, size and time, plain or under TLS.
//!
//! Knows nothing of SRLs: [`crate::router`] answers the requests. There are two ways, with the same answers. Plain
//! connections live on [`reactor`] threads, where [`fast`] reads heads itself and sends what is at hand from its file;
//! every other request, and all under TLS, is answered by hyper ([`slow`]), after which a plain connection is back in
//! the short way ([`once`]).

mod date;
mod fast;
mod head;
mod listener;
mod once;
mod reactor;
mod slow;
mod stall;
#[cfg(test)]
mod tests;

pub use head::Head;
pub use listener::{Handler, Limits, Payload, serve};
pub use page_server::tls::{TlsError, acceptor};
