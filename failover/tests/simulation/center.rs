//! The storage center as the third vote: PORT-LEASE, without a clock.

use std::collections::HashMap;
use std::time::Duration;

use failover::machine::action::Question;
use failover::machine::event::{CenterAnswer, Generation};

use super::sabotage::Sabotage;

/// The row of the pair.
#[derive(Default)]
pub struct Center {
    pub generation: u64,
    holder: Option<usize>,
    held: bool,
    pub renewals: u64,
    lease: Duration,
    /// To whom each generation was granted.
    pub granted: HashMap<u64, usize>,
    sabotage: Option<Sabotage>,
}

impl Center {
    pub fn new(sabotage: Option<Sabotage>) -> Self {
        Self { sabotage, ..Self::default() }
    }

    /// What is in the database stays.
    pub fn restart(&mut self) {
        if self.sabotage == Some(Sabotage::CenterForgets) {
            self.held = false;
        }
    }

    pub fn ask(&mut self, asker: usize, question: Question, lease: Duration) -> Result<CenterAnswer, String> {
        let is_mine = self.holder == Some(asker);
        let answer = match question {
            Question::Acquire { from, renewals } => self.acquire(asker, from.0, renewals, lease)?,
            Question::Renew(generation) if generation.0 == self.generation && is_mine => self.grant(lease),
            Question::Renew(_) => self.superseded(),
            Question::Release { generation, renewals } => {
                let is_named = renewals.is_none_or(|renewals| renewals == self.renewals)
                    || self.sabotage == Some(Sabotage::ReleaseTakesAny);
                if generation.0 == self.generation && is_mine && is_named {
                    self.held = false;
                }
                CenterAnswer::Released
            }
        };
        Ok(answer)
    }

    fn acquire(
        &mut self,
        asker: usize,
        from: u64,
        renewals: Option<u64>,
        lease: Duration,
    ) -> Result<CenterAnswer, String> {
        let is_mine = self.holder == Some(asker);
        if self.generation == from + 1 && is_mine {
            return Ok(self.grant(lease));
        }
        if self.generation > from {
            return Ok(self.superseded());
        }
        if self.held && !is_mine && renewals != Some(self.renewals) {
            let (generation, renewals, lease) = (Generation(self.generation), self.renewals, self.lease);
            return Ok(CenterAnswer::Held { generation, renewals, lease });
        }
        if self.sabotage != Some(Sabotage::GrantsTwice) || self.generation == 0 {
            self.generation = self.generation.max(from) + 1;
        }
        self.holder = Some(asker);
        match self.granted.insert(self.generation, asker) {
            Some(other) if other != asker => {
                Err(format!("I2: generation {} was granted twice", self.generation))
            }
            _ => Ok(self.grant(lease)),
        }
    }

    fn grant(&mut self, lease: Duration) -> CenterAnswer {
        self.held = true;
        self.lease = lease;
        if self.sabotage != Some(Sabotage::RenewalsNotCounted) {
            self.renewals += 1;
        }
        CenterAnswer::Granted { generation: Generation(self.generation), lease, renewals: self.renewals }
    }

    fn superseded(&self) -> CenterAnswer {
        CenterAnswer::Superseded { generation: Generation(self.generation) }
    }
}
