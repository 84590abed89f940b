//! One machine: clock, kernel, the port's process, and the shell around the judge.

use std::collections::VecDeque;
use std::time::Duration;

use failover::machine::Machine;
use failover::machine::action::Action;
use failover::machine::event::{Event, Generation, Health};
use failover::machine::time::Time;

/// Counts overlapping faults of one kind: it is there while any is.
#[derive(Clone, Copy, Default)]
pub struct Count(u32);

impl Count {
    pub fn begin(&mut self) {
        self.0 += 1;
    }

    pub fn end(&mut self) {
        self.0 -= 1;
    }

    pub fn any(self) -> bool {
        self.0 > 0
    }
}

/// A clock that starts somewhere and runs a little fast or slow. True time is in microseconds.
#[derive(Clone, Copy)]
pub struct Clock {
    pub start: u64,
    pub offset: u64,
    pub rate_ppm: i64,
    /// Of the time since, so much does not count.
    pub stood_still: u64,
}

impl Clock {
    pub fn read(&self, now: u64) -> Time {
        let passed = now - self.start - self.stood_still;
        Time((self.offset + passed).saturating_add_signed(passed as i64 * self.rate_ppm / 1_000_000))
    }

    /// How long it takes in true time until the clock has gone on by this.
    pub fn true_span(&self, span: Duration) -> u64 {
        (span.as_micros() as i64 * 1_000_000 / (1_000_000 + self.rate_ppm)) as u64
    }
}

/// The process that serves NFS.
#[derive(Default)]
pub struct Port {
    pub is_alive: bool,
    pub hung: Count,
    pub behind: Count,
    pub life: u64,
    pub serving: Option<u64>,
    /// What came while it hung.
    pub waiting: Vec<Option<u64>>,
}

pub struct Node {
    pub clock: Clock,
    pub machine: Option<Machine>,
    /// Of the judge: what belongs to an earlier one is dropped.
    pub life: u64,
    pub remembered: Generation,
    pub is_on: bool,
    pub suspended: Count,
    pub suspended_at: u64,
    pub judge_paused: Count,
    pub inbox: VecDeque<Event>,
    /// Of a step that was interrupted.
    pub rest: Vec<Action>,
    /// True time at which the kernel shuts.
    pub fence_until: u64,
    pub address_until: u64,
    pub port: Port,
    pub sick: Count,
    pub lan_lost: Count,
    pub wan_lost: Count,
    pub maintenance: bool,
    /// Questions under way: number, and when they were asked by the machine's clock.
    pub questions: Vec<(u64, Time)>,
    pub wakes: u64,
}

impl Node {
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            machine: None,
            life: 0,
            remembered: Generation(0),
            is_on: true,
            suspended: Count::default(),
            suspended_at: 0,
            judge_paused: Count::default(),
            inbox: VecDeque::new(),
            rest: Vec::new(),
            fence_until: 0,
            address_until: 0,
            port: Port { is_alive: true, ..Port::default() },
            sick: Count::default(),
            lan_lost: Count::default(),
            wan_lost: Count::default(),
            maintenance: false,
            questions: Vec::new(),
            wakes: 0,
        }
    }

    pub fn runs(&self) -> bool {
        self.is_on && !self.suspended.any()
    }

    pub fn judge_runs(&self) -> bool {
        self.runs() && self.machine.is_some() && !self.judge_paused.any()
    }

    pub fn is_fence_open(&self, now: u64) -> bool {
        self.runs() && self.fence_until > now
    }

    pub fn has_address(&self, now: u64) -> bool {
        self.runs() && self.address_until > now
    }

    /// Clients are served in this generation.
    pub fn serves(&self, now: u64, with_fence: bool) -> Option<u64> {
        let is_open = self.has_address(now) && (!with_fence || self.is_fence_open(now));
        self.port.serving.filter(|_| is_open && self.port.is_alive && !self.port.hung.any())
    }

    pub fn health(&self) -> Health {
        Health {
            score: if self.sick.any() { 150 } else { 0 },
            reasons: Vec::new(),
            lan: !self.lan_lost.any(),
            wan: !self.wan_lost.any(),
        }
    }

    /// Nothing keeps it from serving.
    pub fn is_well(&self) -> bool {
        self.judge_runs()
            && self.port.is_alive
            && !self.port.hung.any()
            && !self.port.behind.any()
            && !self.lan_lost.any()
            && !self.wan_lost.any()
    }
}
