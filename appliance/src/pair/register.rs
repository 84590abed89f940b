//! The mirror's mark at the storage center: the generation of a pair in which nobody serves.

use std::sync::Arc;

use protocol::pair::{Generation, LeaseAnswer, LeaseQuestion, Member, PairName};
use protocol::vfs::{Answer, Operation, Request};

use crate::center::{CenterError, StorageCenter};
use crate::mirror::mark::Register;

/// How often raising the mark is asked for again because it was not as thought: both ports together raise it once, and
/// the answer says what it is.
const ATTEMPTS: u32 = 4;

/// See the module.
pub struct CenterRegister<C> {
    center: Arc<C>,
    name: PairName,
    member: Member,
}

impl<C> CenterRegister<C> {
    /// At `center`, under `name`, asked by `member`.
    pub const fn new(center: Arc<C>, name: PairName, member: Member) -> Self {
        Self { center, name, member }
    }
}

impl<C: StorageCenter> CenterRegister<C> {
    async fn ask(&self, question: LeaseQuestion) -> Result<LeaseAnswer, CenterError> {
        let operation = Operation::PortLease { pair: self.name.clone(), member: self.member, question };
        match self.center.operate(Request { key: None, operation }).await?.answer {
            Answer::Lease(answer) => Ok(answer),
            _ => Err(CenterError::unexpected_answer()),
        }
    }
}

impl<C: StorageCenter> Register for CenterRegister<C> {
    async fn read(&self) -> Result<u64, CenterError> {
        // Not a ping: a center that follows answers that by itself, and may not yet know of the newest number. There is
        // nothing to release, and whoever writes the directory says why.
        match self.ask(LeaseQuestion::Release { generation: Generation(0), renewals: None }).await? {
            LeaseAnswer::Superseded { generation } => Ok(generation.0),
            LeaseAnswer::Released => Ok(0),
            _ => Err(CenterError::unexpected_answer()),
        }
    }

    async fn raise(&self, than: u64) -> Result<u64, CenterError> {
        let (mut from, mut renewals) = (Generation(than), None);
        for _ in 0..ATTEMPTS {
            match self.ask(LeaseQuestion::Acquire { from, renewals, lease_ms: 0 }).await? {
                LeaseAnswer::Granted { generation, .. } => return Ok(generation.0),
                LeaseAnswer::Superseded { generation } => from = generation,
                // Nobody has a lease on a number. It only looks so in a directory that was restored.
                LeaseAnswer::Held { generation, renewals: held, .. } => {
                    (from, renewals) = (generation, Some(held))
                }
                LeaseAnswer::Released | LeaseAnswer::InForce { .. } => {
                    return Err(CenterError::unexpected_answer());
                }
            }
        }
        Err(CenterError::Unavailable("the mirror's mark changes all the time".into()))
    }
}
