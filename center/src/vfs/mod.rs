//! The VFS: customers, folders and files in a database (founding document, Figures 11 to 13).
//!
//! A request's way: [`DirectoryManager`] authenticates and decodes it → a change goes through the one `writer` into
//! `edit`, a question through `readers` into `query` → both look at rows through `tree`. What a change leaves to do,
//! `housekeeping` does.
//!
//! Invariants: a change is answered only after its COMMIT reached the disk. A file row holds exactly one reference in
//! the storage cluster, and gives it up in the same transaction: to a row of `versions`, where what is deleted and
//! overwritten is kept for some time, or by an `outbox` entry. No row says where an object is
//! (SYS-2).

mod access;
mod client_files;
mod cluster;
mod customer;
mod edit;
mod engine;
mod failure;
mod feed;
mod housekeeping;
mod manager;
mod migrate;
pub mod mirror;
mod nodes;
mod outbox;
mod pairs;
mod query;
mod readers;
mod references;
mod replies;
mod store;
mod tables;
mod time;
mod tree;
mod versions;
mod writer;

#[cfg(test)]
mod tests;

pub use access::Revocation;
pub use cluster::{Cluster, ClusterError};
pub use customer::{Customer, NewCustomer, Quota};
pub use engine::{Engine, Postgres, ServerError};
pub use failure::StoreError;
pub use housekeeping::keep as keep_house;
pub use manager::{DirectoryManager, DocumentError, Elsewhere};
pub use migrate::{MigrateError, migrate};
pub use nodes::KnownNode;
pub use pairs::{Lease, Pair};
pub use references::Held;
pub use store::MetaStore;
pub(crate) use time::of_seconds;
pub use versions::{KeptUse, Retention};
