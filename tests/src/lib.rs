//! Harness of the end-to-end tests and benchmarks: real processes, real sockets, real disks.
//!
//! - [`daemon`] starts, watches, kills and restarts one process.
//! - [`site`] lays out a storage center and its storage ports in a temporary directory.
//! - [`rpc`] is a raw ONC RPC connection with transaction ids of the test's choice.
//! - [`mount`] is a hard NFSv3 mount: like a kernel's, it sends a call again over a new connection until it is answered.
//! - [`model`] is the reference file system of the model test.
//! - [`data`] makes contents and names from a seed.
//! - [`acknowledged`] is clients that remember what was acknowledged to them.
//! - [`conformance`] is the table of NFS procedures and error cases, run with clients by other people.
//! - [`buildroot`] says what is wrong with a BR2_EXTERNAL tree.
//! - [`certificate`] makes certificates for addresses.
//! - [`chromium`] is a browser, with pages for it.
//! - [`cluster`] lays out a storage center of several hosts, harms it, and watches what becomes of its objects.
//! - [`desk`] is the command `center` before a storage center.
//! - [`devtools`] is a page in a browser that a test looks into.
//! - [`full_disk`] makes a storage node's disk with very many objects.
//! - [`haproxy`] is a balancer before object managers.
//! - [`injection`] makes a system call in the name of a running process.
//! - [`managers`] is a storage center with two directory managers.
//! - [`netns`] is a network namespace of its own.
//! - [`mirrored`] is two storage ports that mirror each other, without judges.
//! - [`nginx`] is a web server by other people: a peer of the center's, or a CDN before it.
//! - [`pair`] is a failover pair on networks of its own: real daemons, failures, and what clients see of them.
//! - [`postgres`] is a PostgreSQL server, and a standby of it.
//! - [`qemu`] boots guests with Linux's own NFS client.
//! - [`bench`] compares the port with other NFS servers.
//! - [`seaweed`] is a real S3 server.
//! - [`shared`] is a site that shares its exports by CIFS.
//! - [`smbclient`] is a CIFS client by other people.
//! - [`soak`] puts mixed load on a site for a long time, and watches for growth.
//! - [`tmpfs`] is a small file system in memory.
//! - [`tools`] runs programs from outside (libnfs, curl).

#![allow(
    clippy::unwrap_used,
    reason = "a harness that cannot go on fails its test at the line that could not"
)]

pub mod acknowledged;
pub mod bench;
pub mod buildroot;
pub mod certificate;
pub mod chromium;
pub mod cifs_checks;
pub mod cluster;
pub mod conformance;
pub mod daemon;
pub mod data;
pub mod desk;
pub mod devtools;
pub mod failing_sync;
pub mod full_disk;
pub mod haproxy;
pub mod injection;
pub mod managers;
pub mod mirrored;
pub mod model;
pub mod mount;
pub mod netns;
pub mod nginx;
pub mod pair;
pub mod poll;
pub mod postgres;
pub mod qemu;
pub mod rpc;
pub mod seaweed;
pub mod shared;
pub mod site;
pub mod smbclient;
pub mod soak;
pub mod tmpfs;
pub mod tools;
