//! A file system shared by CIFS (SMB 2.1 to 3.1.1): the trait [`Filesystem`](nfs::filesystem::Filesystem) behind the
//! server of the crate `smb-server`, which speaks the protocol, proves who users are, signs and encrypts.
//!
//! | module | what |
//! |---|---|
//! | [`users`] | the file of those who may log on (pure) |
//! | [`shares`] | which shares there are, and for whom (pure) |
//! | `names` | which names SMB can carry, and when two are one (pure) |
//! | `pattern` | wildcards (pure) |
//! | `convert` | attributes, times and errors in the words of SMB (pure) |
//! | `caller` | who a share acts as |
//! | `backend`, `open` | a share, and an open file of it |
//! | `listing` | a folder's entries |
//! | [`usage`] | how much the shares are used |
//! | [`server`] | a time of serving |
//!
//! It remembers nothing about files between two requests: no leases and no oplocks are given, for what is shared here
//! is also written by NFS clients, of whom the protocol's side learns nothing.
//!
//! **What SMB does not show.** Symbolic links; names that are not UTF-8, that have one of `" * / : < > ? \ |` or a
//! control character in them, or more than 255 UTF-16 units. A folder with such entries is not empty when it is to be
//! removed.

mod backend;
mod caller;
mod convert;
mod listing;
mod names;
mod open;
mod pattern;
pub mod server;
pub mod shares;
pub mod usage;
pub mod users;

#[cfg(test)]
mod tests;
