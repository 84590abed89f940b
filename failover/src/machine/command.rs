//! What an operator orders, and the answer.

use super::action::Action;
use super::event::{Command, Order};
use super::time::Time;
use super::{Machine, State};

/// An order under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    id: u64,
    wants: Wants,
    until: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wants {
    Active,
    Passive,
}

impl Machine {
    pub(super) fn ordered(&mut self, command: Command, now: Time) {
        let answer = match command.order {
            Order::Maintenance(on) => {
                self.maintenance = on;
                Some(Ok(if on { "in maintenance" } else { "out of maintenance" }.to_owned()))
            }
            _ if self.pending.is_some() && command.order != Order::Stop => {
                Some(Err("another order is under way: try again in a moment".to_owned()))
            }
            Order::Takeover { force } => self.order_takeover(force, now),
            Order::Standby => self.order_standby(now),
            Order::Stop => self.order_stop(now),
        };
        match answer {
            Some(answer) => self.out.push(Action::Answer(command.id, answer)),
            None => {
                let wants = if matches!(command.order, Order::Takeover { .. }) {
                    Wants::Active
                } else {
                    Wants::Passive
                };
                let until = now + self.settings.patience * 2;
                if let Some(former) = self.pending.replace(Pending { id: command.id, wants, until }) {
                    self.out.push(Action::Answer(former.id, Err("the judge is ending".to_owned())));
                }
            }
        }
    }

    fn order_takeover(&mut self, force: bool, now: Time) -> Option<Result<String, String>> {
        match &self.state {
            State::Tenure(tenure) if tenure.reign().is_some() => {
                return Some(Ok("this port is active already".to_owned()));
            }
            State::Starting { .. } => {
                return Some(Err("the judge is starting: try again in a moment".to_owned()));
            }
            State::Tenure(_) | State::Passive { .. } => {}
        }
        if let Some(unfit) = self.unfit().filter(|_| !force) {
            return Some(Err(format!("this port may not take over: {unfit} (--force does it all the same)")));
        }
        self.claim_by_order(force, now + self.settings.patience, now);
        None
    }

    fn order_standby(&mut self, now: Time) -> Option<Result<String, String>> {
        if self.tenure_generation().is_none() {
            return Some(Ok("this port is passive already".to_owned()));
        }
        if self.successor(now).is_none() {
            return Some(Err("the peer is not there, or cannot take over: see its status".to_owned()));
        }
        if self.condition.owed() > 0 {
            let owed = self.condition.owed();
            return Some(Err(format!(
                "{owed} acknowledged bytes are only here: wait until they are mirrored"
            )));
        }
        if self.reign().is_some() {
            self.hand_over("an operator ordered it".to_owned(), now);
        }
        None
    }

    fn order_stop(&mut self, now: Time) -> Option<Result<String, String>> {
        self.stopping = true;
        if let State::Passive { claim } = &mut self.state {
            *claim = None;
        }
        if self.tenure_generation().is_none() {
            return Some(Ok("passive".to_owned()));
        }
        if self.reign().is_some() && self.successor(now).is_some() {
            self.hand_over("the judge is ending".to_owned(), now);
            return None;
        }
        self.step_down("the judge is ending, and no peer can take over", now);
        Some(Ok("released".to_owned()))
    }

    /// Answers the order under way if it is carried out, or too old.
    pub(super) fn check_command(&mut self, now: Time) {
        let Some(pending) = self.pending else { return };
        let is_done = match pending.wants {
            Wants::Active => self.reign().is_some(),
            Wants::Passive => self.tenure_generation().is_none(),
        };
        let answer = if is_done {
            Ok(if pending.wants == Wants::Active { "active" } else { "passive" }.to_owned())
        } else if now >= pending.until {
            if self.stopping {
                self.step_down("the judge is ending, and the peer did not take over", now);
            }
            Err("it did not come about in time: see the log of both judges".to_owned())
        } else {
            return;
        };
        self.pending = None;
        self.out.push(Action::Answer(pending.id, answer));
    }
}
