//! Which customers have a reference to an object, and when that was last confirmed (SRL-17, DOSM-19). Pure.

use protocol::id::CustomerId;

/// Seconds for which a confirmation is good: so long at most is an object served after its reference was given up,
/// even if nobody told us (DOSM-19).
const GOOD_SECONDS: u64 = 60;
/// Customers remembered of one object; more take the places of those confirmed longest ago.
const CUSTOMERS_MAX: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub struct Entitled(Vec<(CustomerId, u64)>);

impl Entitled {
    /// The source has just said so. `now` in seconds.
    pub fn confirm(&mut self, customer: CustomerId, now: u64) {
        self.refuse(customer);
        if self.0.len() >= CUSTOMERS_MAX {
            // The order of confirmation is that of the list.
            self.0.remove(0);
        }
        self.0.push((customer, now));
    }

    /// The source has just said no.
    pub fn refuse(&mut self, customer: CustomerId) {
        self.0.retain(|(other, _)| *other != customer);
    }

    /// Whether the customer was confirmed not too long ago. A clock that was set back makes nothing good for longer.
    pub fn includes(&self, customer: CustomerId, now: u64) -> bool {
        self.0.iter().any(|(other, at)| *other == customer && now.abs_diff(*at) <= GOOD_SECONDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: CustomerId = CustomerId(1);

    /// DOSM-19: good for a minute, then asked again.
    #[test]
    fn a_confirmation_is_good_for_a_minute() {
        let mut entitled = Entitled::default();
        assert!(!entitled.includes(ONE, 1_000));
        entitled.confirm(ONE, 1_000);
        assert!(entitled.includes(ONE, 1_060) && !entitled.includes(ONE, 1_061));
        assert!(!entitled.includes(CustomerId(2), 1_000), "SRL-17");
        assert!(!entitled.includes(ONE, 900), "a clock set back");
        entitled.confirm(ONE, 1_050);
        assert!(entitled.includes(ONE, 1_110));
        entitled.refuse(ONE);
        assert!(!entitled.includes(ONE, 1_050));
    }

    #[test]
    fn the_list_is_bounded() {
        let mut entitled = Entitled::default();
        for customer in 0..=CUSTOMERS_MAX as u32 {
            entitled.confirm(CustomerId(customer), 1_000);
        }
        assert_eq!(entitled.0.len(), CUSTOMERS_MAX);
        assert!(!entitled.includes(CustomerId(0), 1_000) && entitled.includes(ONE, 1_000));
    }
}
