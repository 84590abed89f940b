//! The object manager (DOSM): objects over HTTP, to whoever shows a valid SRL.
//!
//! A request's way: [`authenticator`] checks the SRL → [`fetch`] or [`store`] moves bytes between the connection and
//! [`crate::isn`] → [`refusal`] words what went wrong. Keeps no state that matters (SYS-2) and knows no folders: a
//! file row for a stored object is made by the VFS, through [`Directory`].

mod authenticator;
mod body;
mod conditions;
mod content_type;
mod directory;
mod fetch;
mod manager;
mod multipart;
mod refusal;
mod store;

pub use authenticator::Authenticator;
pub use body::{Body, BodyError, complete, empty};
pub use directory::{Directory, NewFile};
pub use manager::ObjectManager;
pub use refusal::Refusal;
