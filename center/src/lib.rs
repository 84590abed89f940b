//! The storage center in one process: the VFS (role `ddm`), the object manager (`dosm`) and a storage node (`isn`).
//!
//! A request's way: [`http`] → [`router`] → [`vfs`] for documents, [`dosm`] for objects → [`isn`], the disks, or
//! [`bucket`], an S3-type store in their place.
//! [`witness`] is a part of its own, of centers that mirror each other.
//! [`local`] joins the parts, [`serve`] starts them, [`reconcile`] keeps them in step, [`status_page`] shows them.

pub mod billing;
pub mod bucket;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod control;
pub mod dosm;
pub mod exposition;
pub mod health;
pub mod host;
pub mod http;
pub mod isn;
pub mod local;
pub mod objects;
pub mod outbound;
pub mod reconcile;
pub mod router;
pub mod serve;
pub mod status_page;
pub mod traffic;
pub mod vfs;
pub mod witness;
