//! The storage port: a network file system in front of a storage center.
//!
//! [`translator`] answers NFS from the [`directory_cache`] and the [`data_cache`], sends directory changes to the center
//! at once, and takes writes into the [`journal`], from where the [`uploader`] brings them to the center. [`port`]
//! puts these together as the [`config`] says; [`reload`] changes them while they run, asked through the control socket.

pub mod center;
pub mod cifs_attendance;
pub mod cifs_gateway;
pub mod config;
pub mod customer;
pub mod data_cache;
pub mod directory_cache;
pub mod exposition;
pub mod folder_rules;
#[doc(hidden)]
pub mod fuzz;
pub mod host;
pub mod inspection;
pub mod journal;
pub mod lock_ledger;
pub mod mirror;
pub mod object;
pub mod pair;
pub mod pins;
pub mod port;
pub mod probe;
pub mod reload;
pub mod samba_gateway;
pub mod status;
pub mod status_page;
pub mod traffic;
pub mod translator;
pub mod upload_queue;
pub mod uploader;
pub mod wan;
pub mod warm;
mod whole_file;

#[cfg(test)]
mod testing;
