//! ONC RPC, rpcbind, MOUNT v3 and NFS v3 in front of one trait, [`filesystem::Filesystem`].
//!
//! The way of a call: [`server`] binds the sockets; `transport` cuts the stream into records ([`record`]) and bounds
//! what a client can make grow; `dispatch` reads the RPC header ([`rpc`]) and chooses the program; [`v3`], [`mount`]
//! or [`rpcbind`] decode the arguments ([`xdr`]), ask the file system and encode the results; the reply goes back to
//! `transport`, the data of a READ by `sendfile` where it lies in a file.
//!
//! This crate knows RFCs, not caches: it remembers nothing about files between two calls. It decodes what strangers
//! send with its own decoder alone.

pub mod attendance;
mod dispatch;
pub mod duty;
pub mod filesystem;
#[doc(hidden)]
pub mod fuzz;
pub mod local;
pub mod memory;
pub mod mount;
pub mod nlm;
pub mod nsm;
mod outbound;
mod postponed;
pub mod probe;
pub mod record;
mod reply;
pub mod rpc;
pub mod rpcbind;
pub mod server;
pub mod settings;
pub mod tally;
mod transport;
pub mod v3;
pub mod visit;
pub mod windows;
pub mod xdr;
