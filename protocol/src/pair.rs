//! A failover pair as the storage center knows it: its name, how often its address has changed hands, and the words of
//! PORT-LEASE (FO-11).
//!
//! A generation is a fencing token. The center grants each once, to one of the two ports; every change that a port of a
//! pair asks for carries pair and generation ([`Stamp`]), and the center refuses those of an older one.

use std::fmt;

use crate::id::CustomerId;

/// Longest name of a pair, in bytes.
pub const PAIR_NAME_BYTES_MAX: usize = 64;
/// Most pairs of a customer.
pub const PAIRS_MAX: usize = 256;
/// Longest lease that the center gives, in milliseconds.
pub const LEASE_MS_MAX: u32 = 60_000;

/// What a customer calls a pair: 1 to [`PAIR_NAME_BYTES_MAX`] of `a`–`z`, `0`–`9` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PairName(Box<str>);

impl PairName {
    /// Reads it; `None` if it has not its form.
    ///
    /// ```
    /// use protocol::pair::PairName;
    ///
    /// assert_eq!(PairName::parse("site-1").map(|name| name.to_string()), Some("site-1".to_owned()));
    /// assert_eq!(PairName::parse("Site 1"), None);
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        let is_good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let fits = (1..=PAIR_NAME_BYTES_MAX).contains(&text.len());
        (fits && text.bytes().all(is_good)).then(|| Self(text.into()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PairName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How often the address of a pair has changed hands; 0 before the first time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One of the two ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Member {
    /// `a`.
    A,
    /// `b`.
    B,
}

impl Member {
    /// Its letter.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }

    /// Reads its letter.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::A, Self::B].into_iter().find(|member| member.as_str() == text)
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// In which generation of its pair a port asks for a change. As text, `site-1/7`: an attribute of a request document, a
/// header of a request with an SRL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// The pair.
    pub pair: PairName,
    /// The generation that was granted to the port that asks.
    pub generation: Generation,
}

impl Stamp {
    /// Reads its text; `None` if it has not its form.
    ///
    /// ```
    /// use protocol::pair::Stamp;
    ///
    /// assert_eq!(Stamp::parse("site-1/7").map(|stamp| stamp.generation.0), Some(7));
    /// assert_eq!(Stamp::parse("site-1/07"), None);
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        let (pair, generation) = text.split_once('/')?;
        let is_plain = generation.bytes().all(|byte| byte.is_ascii_digit())
            && (generation == "0" || !generation.starts_with('0'));
        let generation = generation.parse().ok().filter(|_| is_plain)?;
        Some(Self { pair: PairName::parse(pair)?, generation: Generation(generation) })
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pair, self.generation)
    }
}

/// Who asks for a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The customer whose secret signed it.
    pub customer: CustomerId,
    /// Of a port of a pair.
    pub stamp: Option<Stamp>,
}

/// A customer's program that is in no pair.
impl From<CustomerId> for Asker {
    fn from(customer: CustomerId) -> Self {
        Self { customer, stamp: None }
    }
}

/// What a port asks about the lease of its pair. Each may be repeated: a repetition does no harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseQuestion {
    /// Grant me the generation after `from`, and with it a lease. Repeated with the same `from` by whom it was granted
    /// to, it is the same grant.
    Acquire {
        /// The newest generation I know.
        from: Generation,
        /// What [`LeaseAnswer::Held`] said, if its lease has passed on my own clock since that answer came.
        renewals: Option<u64>,
        /// How long the lease shall be, at most [`LEASE_MS_MAX`]; 0 for none: the peer gives me its own.
        lease_ms: u32,
    },
    /// I am active in this generation: give me a lease, or a new one.
    Renew {
        /// Mine.
        generation: Generation,
        /// How long, at most [`LEASE_MS_MAX`].
        lease_ms: u32,
    },
    /// I need my lease no more: the peer may take over at once.
    Release {
        /// Mine. If a newer one is in force, nothing changes.
        generation: Generation,
        /// What [`LeaseAnswer::Granted`] said with the lease that I give back, by a port that goes on in its generation:
        /// a question that comes late then takes no lease that was given meanwhile. `None`: whichever it is, since I
        /// serve no more in that generation.
        renewals: Option<u64>,
    },
    /// Only whether the center answers, and which generation is in force.
    Ping,
}

impl LeaseQuestion {
    /// Whether it may change something.
    pub fn is_change(&self) -> bool {
        !matches!(self, Self::Ping)
    }
}

/// What the center says of the lease of a pair. No clock of the center's counts: who may rely on what for how long, each
/// port measures on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseAnswer {
    /// The generation is the asker's, and so is a lease.
    Granted {
        /// Which.
        generation: Generation,
        /// How long from the moment in which the question was sent; 0 for no lease.
        lease_ms: u32,
        /// The number of this grant; see [`LeaseQuestion::Release`].
        renewals: u64,
    },
    /// The other port has a lease. It is over once `lease_ms` have passed on the asker's clock since this answer came, if
    /// `renewals` is still the same then: ask again, with it.
    Held {
        /// In force.
        generation: Generation,
        /// Grows with every lease that is given.
        renewals: u64,
        /// How long the other's lease is.
        lease_ms: u32,
    },
    /// A newer generation than the asker's is in force: it has lost, and serves no more.
    Superseded {
        /// The newest.
        generation: Generation,
    },
    /// There is no lease of the asker's any more.
    Released,
    /// To [`LeaseQuestion::Ping`].
    InForce {
        /// The newest; 0 for a pair that the center does not know.
        generation: Generation,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// FO-11: a stamp comes back as it was.
        #[test]
        fn stamps_come_back(pair in "[a-z0-9-]{1,64}", generation in any::<u64>()) {
            let stamp = Stamp { pair: PairName::parse(&pair).unwrap(), generation: Generation(generation) };
            prop_assert_eq!(Stamp::parse(&stamp.to_string()), Some(stamp));
        }

        /// FO-11: whatever is read as a stamp is written the same way again, so that there is one text for each.
        #[test]
        fn a_stamp_has_one_text(text in "[a-z0-9/+ -]{0,12}") {
            if let Some(stamp) = Stamp::parse(&text) {
                prop_assert_eq!(stamp.to_string(), text);
            }
        }
    }

    #[test]
    fn names_are_short_and_plain() {
        assert!(PairName::parse(&"a".repeat(PAIR_NAME_BYTES_MAX)).is_some());
        for bad in ["", "A", "a b", "a/b", "ä", &"a".repeat(PAIR_NAME_BYTES_MAX + 1)] {
            assert_eq!(PairName::parse(bad), None, "{bad:?}");
        }
    }
}
