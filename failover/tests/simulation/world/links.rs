//! The ways between the ports, and the WAN.

use failover::machine::action::Question;
use failover::machine::event::Path;
use failover::machine::message::{Kind, Message};
use rand::Rng;

use super::super::sabotage::Sabotage;
use super::{DEADLINE, MEMBERS, MS, What, World};

impl World {
    pub(super) fn send(&mut self, node: usize, path: Path, message: Message) {
        self.said[node] = Some((message.boot, message.sequence));
        let is_cut = self.ways[path as usize][node].any();
        let loss = if self.storm.any() { 0.7 } else { self.profile.loss };
        if is_cut || !self.nodes[node].runs() || self.rng.random_bool(loss) {
            return;
        }
        let message = match &self.seals {
            Some(seals) => {
                let bytes = seals[node].seal(path, &message).expect("a message that fits");
                let opened = seals[1 - node].open(path, &bytes).expect("a datagram of the pair");
                assert_eq!(opened, message);
                opened
            }
            None => message,
        };
        let copies = if self.rng.random_bool(0.01) { 2 } else { 1 };
        for _ in 0..copies {
            let delay = match self.rng.random_range(0..1_000) {
                draw if draw < self.profile.late_per_mille => self.between(0, 500 * MS),
                950.. => self.between(0, 20 * MS),
                _ => self.between(20, self.profile.delay),
            };
            self.after(delay, What::Arrives { node: 1 - node, path, message: message.clone() });
        }
    }

    /// What a planted bug makes of a datagram.
    pub(super) fn spoil(&self, node: usize, mut message: Message) -> Message {
        match (&mut message.kind, self.sabotage) {
            (Kind::Query { promise: Some(span) }, Some(Sabotage::PromiseTooLong)) => *span *= 10,
            (Kind::Query { .. }, Some(Sabotage::LeaseFromReceipt)) => message.echo = self.said[node],
            _ => {}
        }
        message
    }

    pub(super) fn wan_delay(&mut self) -> u64 {
        if self.rng.random_bool(self.profile.wan_late) {
            return self.between(0, 2_000 * MS);
        }
        let delay = self.profile.wan_delay;
        self.between(delay / 2, delay)
    }

    pub(super) fn ask(&mut self, node: usize, question: Question) {
        self.ids += 1;
        let id = self.ids;
        let life = self.nodes[node].life;
        let sent = self.stepped_at[node];
        self.nodes[node].questions.push((id, sent));
        self.after(DEADLINE, What::Deadline { node, life, id });
        if self.wan[node][0].any() {
            return;
        }
        let copies = if self.rng.random_bool(0.02) { 2 } else { 1 };
        for _ in 0..copies {
            let mut delay = self.wan_delay();
            // This bug shows only where a RELEASE is late.
            if self.sabotage == Some(Sabotage::ReleaseTakesAny)
                && matches!(question, Question::Release { .. })
            {
                delay += self.between(0, 2_000 * MS);
            }
            self.after(delay, What::Asked { node, life, id, question });
        }
    }

    pub(super) fn asked(
        &mut self,
        node: usize,
        life: u64,
        id: u64,
        question: Question,
    ) -> Result<(), String> {
        if self.center_down.any() {
            return Ok(());
        }
        let answer = self.center.ask(node, question, self.settings[node].center_lease)?;
        self.tell(|| format!("center: {:?} {question:?}: {answer:?}", MEMBERS[node]));
        if self.wan[node][1].any() {
            return Ok(());
        }
        let sent = self.nodes[node].questions.iter().find(|(known, _)| *known == id).map(|(_, sent)| *sent);
        let Some(sent) = sent else { return Ok(()) };
        let delay = self.wan_delay();
        self.after(delay, What::Answered { node, life, id, sent, answer });
        Ok(())
    }
}
