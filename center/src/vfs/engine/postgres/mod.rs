//! PostgreSQL: the database on a server of its own, with any number of directory managers in front of it (VFS-1).
//!
//! A change holds its customer's row from the beginning of its transaction, so that two directory managers change one
//! customer's tree one after the other, and those of several customers at the same time. Acknowledged is what the
//! server has committed, to its standbys too where it is told to wait for them (`synchronous_standby_names`).

mod news;
mod schema;
mod server;
mod session;

pub use news::News;
pub use schema::prepare;
pub use server::{Postgres, ServerError};
pub use session::PostgresSession;
