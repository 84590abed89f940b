//! Active or passive, and in which generation.

use std::sync::{Mutex, MutexGuard, PoisonError};

use nfs::duty::{Duty, Term};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;

/// What the judge wants this port to be: the arguments of the operation `pair`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "role", rename_all = "lowercase", deny_unknown_fields)]
pub enum Order {
    /// Serve clients, in this generation.
    Active {
        /// As the storage center granted it.
        generation: u64,
    },
    /// Serve nobody.
    Passive,
}

/// Which order is the newest.
#[derive(Debug, Default)]
pub struct Orders(Mutex<Newest>);

#[derive(Debug, Default)]
struct Newest {
    number: u64,
    /// It, while it is being obeyed.
    order: Option<Order>,
}

/// An order that is being obeyed, until it is dropped.
#[derive(Debug)]
pub struct Begun<'a> {
    orders: &'a Orders,
    number: u64,
}

impl Orders {
    /// Obeys this one, and no earlier one any more; `None` if it is being obeyed already.
    pub fn begin(&self, order: Order) -> Option<Begun<'_>> {
        let mut newest = self.newest();
        if newest.order == Some(order) {
            return None;
        }
        *newest = Newest { number: newest.number + 1, order: Some(order) };
        Some(Begun { orders: self, number: newest.number })
    }

    fn newest(&self) -> MutexGuard<'_, Newest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Begun<'_> {
    /// Whether there is a newer one: then this one may have no effect any more.
    pub fn is_overtaken(&self) -> bool {
        self.orders.newest().number != self.number
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        let mut newest = self.orders.newest();
        if newest.number == self.number {
            newest.order = None;
        }
    }
}

/// Why a port does not become active. One line, for the judge and the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// The judge is behind.
    #[error("generation {newest} is in force, {asked} is over: ask the storage center for the next one")]
    Over {
        /// Asked for.
        asked: u64,
        /// Known.
        newest: u64,
    },
}

/// What this port is. All parts of it that must know follow [`Role::duty`].
#[derive(Debug)]
pub struct Role {
    terms: watch::Sender<Term>,
    known: watch::Sender<Known>,
}

/// Which generations were heard of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Known {
    newest: u64,
    /// Somebody said that it is in force, while this port served in an older one.
    refused_by: Option<u64>,
}

impl Default for Role {
    /// Passive, knowing of no generation.
    fn default() -> Self {
        Self { terms: watch::Sender::new(None), known: watch::Sender::default() }
    }
}

impl Role {
    /// When clients are answered.
    pub fn duty(&self) -> Duty {
        Duty::following(self.terms.subscribe())
    }

    /// The generation in which this port serves.
    pub fn serving(&self) -> Option<u64> {
        *self.terms.borrow()
    }

    /// The newest generation heard of; 0 before the first.
    pub fn newest(&self) -> u64 {
        self.known.borrow().newest
    }

    /// The generation by which this port was put out of service, until it serves again.
    pub fn refused_by(&self) -> Option<u64> {
        self.known.borrow().refused_by
    }

    /// Whether an activation in `generation` would be obeyed.
    ///
    /// # Errors
    /// A newer one is known.
    pub fn check(&self, generation: u64) -> Result<(), RoleError> {
        let newest = self.newest();
        if generation < newest { Err(RoleError::Over { asked: generation, newest }) } else { Ok(()) }
    }

    /// Serves from now on. Everything that serving needs is ready when this is called.
    ///
    /// # Errors
    /// See [`Role::check`].
    pub fn activate(&self, generation: u64) -> Result<(), RoleError> {
        self.check(generation)?;
        self.known.send_modify(|known| *known = Known { newest: generation, refused_by: None });
        self.terms.send_if_modified(|term| term.replace(generation) != Some(generation));
        Ok(())
    }

    /// Serves nobody from now on. Whether it did.
    pub fn deactivate(&self) -> bool {
        self.terms.send_if_modified(|term| term.take().is_some())
    }

    /// Generation `newer` is in force: whoever serves in an older one stops.
    pub fn hear_of(&self, newer: u64) {
        let refused = self.terms.send_if_modified(|term| term.take_if(|own| *own < newer).is_some());
        self.known.send_if_modified(|known| {
            let before = *known;
            known.newest = known.newest.max(newer);
            if refused {
                known.refused_by = Some(newer);
            }
            *known != before
        });
        if refused {
            tracing::error!(
                generation = newer,
                "another port serves in a newer generation: this one serves nobody"
            );
        }
    }

    /// What tells of changes from now on.
    pub fn follow(&self) -> Follow {
        Follow { terms: self.terms.subscribe(), known: self.known.subscribe() }
    }

    /// For the judge: what it has become.
    pub fn answer(&self) -> Value {
        match self.serving() {
            Some(generation) => json!({ "role": "active", "generation": generation }),
            None => json!({ "role": "passive" }),
        }
    }
}

/// See [`Role::follow`].
#[derive(Debug)]
pub struct Follow {
    terms: watch::Receiver<Term>,
    known: watch::Receiver<Known>,
}

impl Follow {
    /// Waits until anything of the role has changed; for ever once it is gone.
    pub async fn changed(&mut self) {
        let changed = tokio::select! {
            changed = self.terms.changed() => changed,
            changed = self.known.changed() => changed,
        };
        if changed.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_as_documented() {
        let order = |text: &str| serde_json::from_str::<Order>(text).ok();
        assert_eq!(order(r#"{"role":"active","generation":7}"#), Some(Order::Active { generation: 7 }));
        assert_eq!(order(r#"{"role":"passive"}"#), Some(Order::Passive));
        assert_eq!(order(r#"{"role":"active"}"#), None);
        assert_eq!(order(r#"{"role":"active","generation":7,"lease":1}"#), None);
    }

    /// The judge repeats its order while the storage center takes its time; what comes to another result overtakes it.
    #[test]
    fn an_order_is_overtaken_by_another_one_and_not_by_itself() {
        let (orders, active) = (Orders::default(), Order::Active { generation: 7 });
        let first = orders.begin(active).unwrap();
        assert!(orders.begin(active).is_none());
        assert!(!first.is_overtaken());
        let passive = orders.begin(Order::Passive).unwrap();
        assert!(first.is_overtaken() && !passive.is_overtaken());
        let again = orders.begin(active).unwrap();
        drop(first);
        assert!(passive.is_overtaken() && !again.is_overtaken());
        assert!(orders.begin(active).is_none());
        drop(again);
        let next = orders.begin(active).unwrap();
        assert!(orders.begin(Order::Active { generation: 8 }).is_some());
        assert!(next.is_overtaken());
    }

    /// FO-11: who hears of a newer generation stops, and never serves in an older one again.
    #[test]
    fn a_newer_generation_ends_an_older_one() {
        let role = Role::default();
        let duty = role.duty();
        assert!(!duty.is_on());
        role.activate(3).unwrap();
        assert_eq!((duty.term(), role.refused_by()), (Some(3), None));
        role.hear_of(2);
        role.hear_of(3);
        assert_eq!(duty.term(), Some(3), "not newer");
        role.hear_of(4);
        assert_eq!((duty.term(), role.refused_by()), (None, Some(4)));
        assert_eq!(role.activate(3), Err(RoleError::Over { asked: 3, newest: 4 }));
        role.activate(5).unwrap();
        assert_eq!((role.serving(), role.refused_by()), (Some(5), None));
    }

    #[test]
    fn a_passive_port_only_notes_what_it_hears() {
        let role = Role::default();
        role.hear_of(4);
        assert_eq!((role.newest(), role.refused_by()), (4, None));
        role.activate(4).unwrap();
        assert!(role.deactivate() && !role.deactivate());
    }
}
