//! The object manager (DOSM): objects over HTTP, to whoever shows a valid SRL.
//!
//! A request's way: [`authenticator`] checks the SRL → [`fetch`], through [`cache`], or [`store`] moves bytes between the
//! connection and whoever holds them ([`crate::objects`]) → [`refusal`] words what went wrong. Before a FETCH_AUTH is
//! served, [`callback`] asks the customer's server. Keeps no state that matters (SYS-2) and knows no folders: a
//! file row for a stored object is made by the VFS, through [`Directory`].

mod answer;
mod authenticator;
mod body;
pub mod cache;
pub mod callback;
mod conditions;
mod content_type;
pub mod cors;
mod directory;
mod fetch;
mod manager;
mod multipart;
mod refusal;
mod store;
mod usage;

pub use answer::Answer;
pub use authenticator::{Authenticator, Permit};
pub use body::{Body, BodyError, complete, empty};
pub use callback::Callbacks;
pub use conditions::Fields;
pub use directory::{Directory, NewClientFile, NewFile};
pub use fetch::Outgoing;
pub use manager::ObjectManager;
pub use refusal::Refusal;
pub use usage::{Usage, UsageLog};
