//! The table of NFSv3's procedures and error cases (PORT-1): each line is one test, run with two independent clients
//! against a storage port, and where it makes sense against the library's file system in memory as well.
//!
//! | file | what |
//! |---|---|
//! | [`call`] | a call and its reply, in the words of RFC 1813 |
//! | [`client`], [`nfs3_client`], [`libnfs`] | two clients by other people |
//! | [`target`] | the servers |
//! | [`scene`] | where a case plays |
//! | [`audit`] | what holds of every reply |
//! | [`cases`] | the lines of the table |
//! | [`wire`] | the lines below NFS: RPC itself, byte by byte |
//! | [`table`] | the table as documentation |
//!
//! Where RFC 1813 leaves a choice, the table has the answer of the Linux kernel's server, and says so where it has not.

pub mod audit;
pub mod call;
pub mod cases;
pub mod client;
pub mod libnfs;
pub mod nfs3_client;
pub mod scene;
pub mod table;
pub mod target;
pub mod wire;

use nfs3_types::nfs3::nfsstat3;

use self::call::Reply;
use self::client::Kind;
use self::scene::Scene;
use self::target::Target;

/// One line of the table.
pub struct Case {
    /// The procedure, as RFC 1813 names it.
    pub procedure: &'static str,
    /// When the answer is this.
    pub condition: &'static str,
    /// The answer.
    pub status: nfsstat3,
    /// Why this answer, where another one might be expected.
    pub note: &'static str,
    /// The test's name.
    pub name: &'static str,
    run: fn(&mut Scene<'_>) -> Reply,
    needs_port: bool,
    only: Option<Kind>,
}

impl Case {
    /// A case of `procedure`; `test` is its function with the function's name, as [`case!`](crate::case) makes them.
    pub const fn new(
        procedure: &'static str,
        condition: &'static str,
        status: nfsstat3,
        test: (&'static str, fn(&mut Scene<'_>) -> Reply),
    ) -> Self {
        let (name, run) = test;
        Self { procedure, condition, status, note: "", name, run, needs_port: false, only: None }
    }

    /// Why the answer is this one.
    pub const fn note(mut self, note: &'static str) -> Self {
        self.note = note;
        self
    }

    /// For a storage port alone: the file system in memory has no such thing.
    pub const fn port(mut self) -> Self {
        self.needs_port = true;
        self
    }

    /// For one client alone: the other one cannot say such a thing.
    pub const fn only(mut self, kind: Kind) -> Self {
        self.only = Some(kind);
        self
    }

    /// Whether it can be played with this client at such a server.
    pub fn suits(&self, kind: Kind, is_port: bool) -> bool {
        (is_port || !self.needs_port) && self.only.is_none_or(|only| only == kind)
    }

    /// Plays it.
    ///
    /// # Panics
    /// The server does not do what the case asks.
    pub fn play(&self, target: &Target, kind: Kind) {
        let mut scene = Scene::new(target, kind, self.name);
        let reply = (self.run)(&mut scene);
        assert_eq!(reply.status, self.status, "{} {}", self.procedure, self.condition);
    }
}

/// A function with its name.
#[macro_export]
macro_rules! case {
    ($function:ident) => {
        (stringify!($function), $function)
    };
}
