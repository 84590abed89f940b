//! The failover pair: which of two storage ports has the clients' address (FO-1 to FO-12).
//!
//! | module | what |
//! |---|---|
//! | [`machine`] | the judge: state, event, now → state, actions (pure) |
//! | [`wire`] | what two judges say to each other, as sealed datagrams (pure) |

pub mod config;
pub mod health;
pub mod machine;
pub mod wire;
