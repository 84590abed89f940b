//! What a process shows a Prometheus server: counts and values as text, and for daemons without an HTTP server of their
//! own a server of nothing else (feature `server`, by `page_server`).
//!
//! Knows no value; whoever has some makes a [`Page`] of them.
//! `docs/metrics.md` names them all.

mod histogram;
mod page;
#[cfg(feature = "server")]
pub mod server;

pub use self::histogram::{BOUNDS_MICROS, Histogram, Snapshot};
pub use self::page::{CONTENT_TYPE, Kind, Labels, Number, Page};
