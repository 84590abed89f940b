//! One GET to a server that is not of this storage center: a customer's callback, the health of another center.
//!
//! [`url`] takes URLs apart and is pure; [`get`] asks over a connection that the caller made, to where the caller
//! decided. Of the answer the head is taken and nothing else.

mod get;
mod url;

pub use get::{GetError, Getter};
pub use url::{BadUrl, Host, WebUrl, parse_port};
