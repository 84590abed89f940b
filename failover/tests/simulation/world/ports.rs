//! The ports' processes: what they are told, what they say, and what their clients write.

use std::mem;

use failover::machine::event::{Event, Generation, PortEvent};

use super::{MS, What, World};

impl World {
    pub(super) fn tell_port(&mut self, node: usize, serve: Option<u64>) {
        let life = self.nodes[node].port.life;
        let span = self.between(500, 4 * MS);
        self.after(span, What::PortDoes { node, life, serve });
    }

    pub(super) fn port_does(&mut self, node: usize, life: u64, serve: Option<u64>) -> Result<(), String> {
        let runs = self.nodes[node].runs();
        let port = &mut self.nodes[node].port;
        if port.life != life || !port.is_alive {
            return Ok(());
        }
        if port.hung.any() || !runs {
            port.waiting.push(serve);
            return Ok(());
        }
        port.serving = serve;
        let event = match serve {
            Some(generation) => PortEvent::Active(Generation(generation)),
            None => PortEvent::Passive,
        };
        self.deliver(node, Event::Port(event))
    }

    pub(super) fn catch_up(&mut self, node: usize) -> Result<(), String> {
        let life = self.nodes[node].port.life;
        for serve in mem::take(&mut self.nodes[node].port.waiting) {
            self.port_does(node, life, serve)?;
        }
        Ok(())
    }

    pub(super) fn port_ends(&mut self, node: usize) -> Result<(), String> {
        let port = &mut self.nodes[node].port;
        port.is_alive = false;
        port.serving = None;
        port.life += 1;
        port.waiting.clear();
        self.deliver(node, Event::Port(PortEvent::Down))
    }

    pub(super) fn port_starts(&mut self, node: usize) -> Result<(), String> {
        if self.nodes[node].port.is_alive || !self.nodes[node].is_on {
            return Ok(());
        }
        self.nodes[node].port.is_alive = true;
        self.say_port(node)?;
        self.deliver(node, Event::Port(PortEvent::Passive))
    }

    pub(super) fn say_port(&mut self, node: usize) -> Result<(), String> {
        let port = &self.nodes[node].port;
        if !port.is_alive {
            return Ok(());
        }
        let caught_up = !port.behind.any();
        self.deliver(node, Event::Port(PortEvent::Up { caught_up, owed: 0 }))
    }

    /// Each 100 ms: the service is probed, the health is said, and a client writes.
    pub(super) fn probe(&mut self, node: usize) -> Result<(), String> {
        self.after(100 * MS, What::Probe { node });
        self.say_health(node)?;
        let this = &self.nodes[node];
        if !this.port.is_alive || !this.runs() {
            return Ok(());
        }
        let is_hung = this.port.hung.any();
        self.deliver(node, Event::Port(if is_hung { PortEvent::Silent } else { PortEvent::Answered }))?;
        let this = &self.nodes[node];
        if let Some(generation) = this.serves(self.now, self.checks.with_fence)
            && !this.wan_lost.any()
            && !self.center_down.any()
        {
            if self.center.granted.get(&generation) != Some(&node) {
                return Err(format!("I2: it serves as generation {generation}, which is not its own"));
            }
            if generation < self.center.generation {
                let (life, generation) = (this.port.life, self.center.generation);
                let span = 2 * self.profile.wan_delay;
                self.after(span, What::Refused { node, life, generation });
            }
        }
        Ok(())
    }
}
