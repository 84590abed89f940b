//! FETCH_AUTH: the customer's own server is asked before an object is served (SRL-10, Table 4).
//!
//! The SRL, which the customer signed, names a URL. Everything about it is untrusted all the same: whoever may sign for
//! one customer must not make this process talk to servers that only this process can reach. So [`crate::outbound`]
//! takes plain URLs alone, [`hosts`] keeps to the hosts that the operator allowed the customer, [`address`] to
//! addresses on the open Internet; [`asker`] connects to exactly the address that was checked, and gives all of it two
//! seconds. What cannot be asked does not permit.

mod address;
mod asker;
mod hosts;

#[cfg(test)]
pub mod server;
#[cfg(test)]
mod tests;

pub use asker::Callbacks;
pub use hosts::{AllowedHost, AllowedHosts};
