//! What happens to machines and links, and for how long.

use failover::machine::event::Path;
use rand::Rng;
use rand::rngs::StdRng;

/// Something that is wrong for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Frames from this node to the other one are lost.
    Way {
        path: Path,
        from: usize,
    },
    /// From this node, on both ways.
    WaysFrom(usize),
    /// Both ways, both directions.
    AllWays,
    /// Carrier and way of the LAN.
    LanLost(usize),
    /// Questions, answers, or both.
    WanLost {
        node: usize,
        up: bool,
        down: bool,
    },
    CenterDown,
    JudgePaused(usize),
    MachineSuspended(usize),
    JudgeDead(usize),
    PortDead(usize),
    BothDead(usize),
    PortHung(usize),
    PortBehind(usize),
    PowerOff(usize),
    Sick(usize),
    /// Loss on all ways.
    Storm,
    Maintenance(usize),
    Order(usize, Order),
}

/// What an operator wants at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Takeover,
    Force,
    Standby,
    Stop,
}

/// One of them, and its length in microseconds.
pub fn draw(rng: &mut StdRng) -> (Fault, u64) {
    let node = rng.random_range(0..2);
    let path = if rng.random() { Path::Heartbeat } else { Path::Lan };
    let ms = |rng: &mut StdRng, from: u64, to: u64| rng.random_range(from * 1_000..to * 1_000);
    match rng.random_range(0..22) {
        0 | 1 => (Fault::Way { path, from: node }, ms(rng, 20, 3_000)),
        20 => (Fault::WaysFrom(node), ms(rng, 20, 1_000)),
        2 | 3 => (Fault::AllWays, ms(rng, 20, 3_000)),
        4 => (Fault::LanLost(node), ms(rng, 20, 3_000)),
        5 | 6 => {
            let (up, down) = [(true, true), (true, false), (false, true)][rng.random_range(0..3)];
            (Fault::WanLost { node, up, down }, ms(rng, 50, 4_000))
        }
        7 => (Fault::CenterDown, ms(rng, 50, 2_000)),
        8 | 9 => (Fault::JudgePaused(node), ms(rng, 5, 1_000)),
        10 => (Fault::MachineSuspended(node), ms(rng, 5, 3_000)),
        11 => (Fault::JudgeDead(node), ms(rng, 20, 1_000)),
        12 => (Fault::PortDead(node), ms(rng, 20, 1_500)),
        13 => (Fault::BothDead(node), ms(rng, 20, 1_500)),
        14 => (Fault::PortHung(node), ms(rng, 50, 2_000)),
        15 => (Fault::PortBehind(node), ms(rng, 50, 2_000)),
        16 => (Fault::PowerOff(node), ms(rng, 300, 3_000)),
        17 => (Fault::Sick(node), ms(rng, 100, 6_000)),
        18 => (Fault::Storm, ms(rng, 50, 1_000)),
        19 => (Fault::Maintenance(node), ms(rng, 50, 1_500)),
        _ => {
            let order = [Order::Takeover, Order::Force, Order::Standby, Order::Stop][rng.random_range(0..4)];
            (Fault::Order(node, order), ms(rng, 1, 2))
        }
    }
}
