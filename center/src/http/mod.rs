//! The HTTP server: connections with bounds in number, size and time, plain or under TLS.
//!
//! Knows nothing of SRLs: [`crate::router`] answers the requests.

mod listener;
mod stall;
mod tls;

pub use listener::{Handler, Limits, serve};
pub use tls::{TlsError, acceptor};
