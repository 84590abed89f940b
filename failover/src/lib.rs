//! The failover pair: which of two storage ports has the clients' address (FO-1 to FO-12).
//!
//! | module | what |
//! |---|---|
//! | `machine` | the judge: state, event, now → state, actions (pure) |
//! | `net` | what it asks of the kernel: floating addresses, fence, ARP, sockets |

pub mod machine;
pub mod net;
