//! Who is the active port of a pair, and whether the other may take over: pure (FO-11).
//!
//! No clock. A lease at the center is that `held` is set. Its holder counts it on his own clock from when he asked; who
//! wants it counts it on his from when he heard of it, which is later. So when it has passed for him and `renewals` is
//! still the same, it has passed for the holder, whatever the center's clock did and however often the center was
//! started meanwhile.

use protocol::pair::{Generation, LeaseAnswer, LeaseQuestion, Member};

/// What the center knows of a pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// The newest that was granted, or was said to be; 0 for none.
    pub generation: Generation,
    /// To whom it was granted; `None` if that is not known here.
    pub holder: Option<Member>,
    /// Whether he has a lease of the center's.
    pub held: bool,
    /// Leases given since the pair is known: grows for ever.
    pub renewals: u64,
    /// How long the lease is.
    pub lease_ms: u32,
}

/// It was granted to the other port: two ports call themselves the same member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotYours;

impl Lease {
    /// The answer, and what the center knows from then on.
    pub fn ask(self, member: Member, question: LeaseQuestion) -> Result<(LeaseAnswer, Self), NotYours> {
        match question {
            LeaseQuestion::Acquire { from, renewals, lease_ms } => {
                Ok(self.seen(from).acquire(member, from, renewals, lease_ms))
            }
            LeaseQuestion::Renew { generation, lease_ms } => {
                self.seen(generation).of(member, generation, |lease| lease.granted(lease_ms))
            }
            // Of a lease in that generation nothing is known here, or nothing of the pair.
            LeaseQuestion::Release { generation, .. }
                if generation > self.generation || self == Self::default() =>
            {
                Ok((LeaseAnswer::Released, self))
            }
            LeaseQuestion::Release { generation, renewals } => self.of(member, generation, |lease| {
                // Later than this question, the holder was given another one.
                let is_another = renewals.is_some_and(|renewals| renewals != lease.renewals);
                (LeaseAnswer::Released, if is_another { lease } else { lease.released() })
            }),
            LeaseQuestion::Ping => Ok((LeaseAnswer::InForce { generation: self.generation }, self)),
        }
    }

    /// After somebody has said that this generation was granted. If nobody here knows, this directory is an older copy of
    /// the one that granted it: then whoever has it may have a lease as well.
    fn seen(self, generation: Generation) -> Self {
        match generation > self.generation {
            true => Self {
                generation,
                holder: None,
                held: true,
                renewals: self.renewals.saturating_add(1),
                ..self
            },
            false => self,
        }
    }

    /// Nobody is known to have it any more; what is known of him may be old, so whoever asks next waits as for a lease.
    pub fn forgotten(self, by: u64) -> Self {
        self.seen(Generation(self.generation.0.saturating_add(by)))
    }

    fn acquire(
        self,
        member: Member,
        from: Generation,
        renewals: Option<u64>,
        lease_ms: u32,
    ) -> (LeaseAnswer, Self) {
        let generation = Generation(from.0.saturating_add(1));
        let is_mine = self.holder == Some(member);
        if from < self.generation {
            // The answer that granted it may have been lost.
            return match is_mine && generation == self.generation {
                true => self.granted(lease_ms),
                false => (LeaseAnswer::Superseded { generation: self.generation }, self),
            };
        }
        if self.held && !is_mine && renewals != Some(self.renewals) {
            let Self { generation, renewals, .. } = self;
            // Where the holder is not known, neither is his lease: it is thought to be like the asker's.
            let lease_ms = self.lease_ms.max(lease_ms);
            return (LeaseAnswer::Held { generation, renewals, lease_ms }, self);
        }
        Self { generation, holder: Some(member), held: false, ..self }.granted(lease_ms)
    }

    /// What becomes of it if the newest generation is his who asks.
    fn of(
        self,
        member: Member,
        generation: Generation,
        then: impl FnOnce(Self) -> (LeaseAnswer, Self),
    ) -> Result<(LeaseAnswer, Self), NotYours> {
        match self.holder {
            _ if generation < self.generation => {
                Ok((LeaseAnswer::Superseded { generation: self.generation }, self))
            }
            Some(holder) if holder != member => Err(NotYours),
            // Who was not known says himself that it is his.
            _ => Ok(then(Self { holder: Some(member), ..self })),
        }
    }

    /// Without a lease: the other port may take over at once.
    pub fn released(self) -> Self {
        Self { held: false, ..self }
    }

    /// With a lease, or a new one beside those that were given; 0 ms for none.
    fn granted(self, lease_ms: u32) -> (LeaseAnswer, Self) {
        let next = Self {
            held: self.held || lease_ms > 0,
            renewals: self.renewals.saturating_add(1),
            // An earlier one that is longer may end later.
            lease_ms: if self.held { self.lease_ms.max(lease_ms) } else { lease_ms },
            ..self
        };
        let Self { generation, renewals, .. } = next;
        (LeaseAnswer::Granted { generation, lease_ms, renewals }, next)
    }
}
