//! This port as one of two that share their addresses (FO-1): whether it serves, in which generation, and what the judge
//! (`port-failover`) is told of it.
//!
//! The judge decides and the center's generation is the proof; this side only obeys, at once. Off duty nobody is answered
//! and nothing is uploaded. A port that hears of a newer generation than its own stops by itself and says so.
//!
//! | file | what |
//! |---|---|
//! | [`keys`] | what the two know each other by |
//! | [`role`] | active or passive (pure, but for the channels it is followed by) |
//! | [`standing`] | the lines for the judge |
//! | [`register`] | the mirror's mark at the storage center |

pub mod keys;
pub mod register;
pub mod role;
pub mod standing;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use protocol::id::CustomerId;
use protocol::pair::{Generation, PairName, Stamp};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;

use self::register::CenterRegister;
use self::role::{Begun, Order, Orders, Role};
use self::standing::{Standing, digits, reached_at};
use crate::center::Fenced;
use crate::customer::Customer;
use crate::journal::Journal;
use crate::mirror::Mirror;
use crate::status::PairStatus;
use crate::translator::Translator;
use crate::uploader::Uploader;
use control::Operations;

/// How often the judge is told what changes without anybody saying so.
const LOOK_EVERY: Duration = Duration::from_millis(100);

type Center = Fenced<client::Center>;

/// A port of a pair. See the module.
pub struct Paired {
    name: PairName,
    parts: Parts,
    standing: watch::Sender<Standing>,
    orders: Orders,
}

/// What a port of a pair is made of. All of it follows `role`.
pub struct Parts {
    /// What it is.
    pub role: Arc<Role>,
    /// Answers clients.
    pub translator: Arc<Translator<Center>>,
    /// Brings what they wrote to the center.
    pub uploader: Arc<Uploader<Center>>,
    /// Has what they wrote.
    pub journal: Journal,
    /// Brings it to the other port, and from there.
    pub mirror: Arc<Mirror<CenterRegister<Center>>>,
    /// Whose changes carry the generation.
    pub customers: HashMap<CustomerId, Arc<Customer<Center>>>,
}

impl Paired {
    /// Of these parts, in the pair `name`. `nfs` is where clients are served.
    pub fn new(name: PairName, parts: Parts, nfs: SocketAddr) -> Arc<Self> {
        let standing = watch::Sender::new(Standing {
            caught_up: parts.mirror.is_caught_up(),
            mirrored: false,
            owed: 0,
            probe_handle: String::new(),
            nfs: reached_at(nfs),
            serving: false,
            generation: 0,
            refused_by: None,
        });
        Arc::new(Self { name, parts, standing, orders: Orders::default() })
    }

    /// How this port stands to the other one, for people.
    pub fn status(&self) -> PairStatus {
        let standing = self.standing.borrow();
        PairStatus {
            name: self.name.to_string(),
            is_serving: standing.serving,
            generation: standing.generation,
            is_caught_up: standing.caught_up,
            is_mirrored: standing.mirrored,
            owed_bytes: standing.owed,
            alone_because: if standing.serving { self.parts.mirror.lost_because() } else { None },
        }
    }

    /// Lets the judge command this port and watch it.
    pub fn add_operations(self: &Arc<Self>, operations: &mut Operations) {
        let paired = Arc::clone(self);
        operations.add("pair", move |order| {
            let paired = Arc::clone(&paired);
            async move { paired.obey(serde_json::from_value(order).map_err(|error| error.to_string())?).await }
        });
        let paired = Arc::clone(self);
        operations.add_watch("watch", move || standing::lines(paired.standing.subscribe()));
    }

    /// Mirrors the journal on the connections of `listener`, and to the other port, and keeps the judge informed, until
    /// the task is dropped.
    pub async fn run(self: Arc<Self>, listener: TcpListener) {
        let uploader = Arc::clone(&self.parts.uploader);
        let drained = move || {
            let uploader = Arc::clone(&uploader);
            async move { uploader.upload_all().await }
        };
        tokio::join!(Arc::clone(&self.parts.mirror).run(listener, drained), self.inform(), self.find_probe());
    }

    /// Serves nobody from now on: the port ends.
    pub fn retire(&self) {
        self.orders.begin(Order::Passive);
        self.parts.role.deactivate();
    }

    async fn obey(&self, order: Order) -> Result<Value, String> {
        let role = &self.parts.role;
        // The judge repeats an order until it is obeyed, and the storage center may take longer to answer.
        if let Some(begun) = self.orders.begin(order) {
            match order {
                Order::Active { generation } if role.serving() == Some(generation) => {}
                Order::Active { generation } => self.activate(generation, &begun).await?,
                Order::Passive => {
                    if role.deactivate() {
                        tracing::info!("passive");
                    }
                }
            }
        }
        self.look();
        Ok(role.answer())
    }

    async fn activate(&self, generation: u64, begun: &Begun<'_>) -> Result<(), String> {
        let Parts { role, uploader, mirror, customers, .. } = &self.parts;
        role.check(generation).map_err(|error| error.to_string())?;
        // Of an earlier generation this port is no more, and must not be when the journal becomes its own.
        role.deactivate();
        for customer in customers.values() {
            let stamp = Stamp { pair: self.name.clone(), generation: Generation(generation) };
            customer.center.inner().set_stamp(Some(stamp));
        }
        let begin = || {
            if begun.is_overtaken() {
                return Err("overtaken by another order".to_owned());
            }
            uploader.note_staged();
            role.activate(generation).map_err(|error| error.to_string())
        };
        mirror.take(begin).await.map_err(|error| error.to_string())??;
        uploader.wake();
        tracing::info!(generation, "active");
        Ok(())
    }

    async fn inform(&self) {
        let mut role = self.parts.role.follow();
        loop {
            self.look();
            // Either is fine: what changes without a word is looked for at the next turn.
            let _ = tokio::time::timeout(LOOK_EVERY, role.changed()).await;
        }
    }

    /// Finds out what probes may ask for, once the storage center answers.
    async fn find_probe(&self) {
        loop {
            if let Some(handle) = self.parts.translator.probe_handle().await {
                self.standing.send_modify(|standing| standing.probe_handle = digits(&handle));
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn look(&self) {
        let Parts { role, journal, mirror, .. } = &self.parts;
        let usage = journal.usage();
        let is_serving = role.serving().is_some();
        let is_owed = is_serving && !mirror.is_mirrored() && usage.files > 0;
        self.standing.send_if_modified(|standing| {
            let before = standing.clone();
            standing.caught_up = mirror.is_caught_up();
            standing.mirrored = is_serving && mirror.is_mirrored();
            standing.owed = if is_owed { usage.bytes_used } else { 0 };
            standing.serving = is_serving;
            standing.generation = role.newest();
            standing.refused_by = role.refused_by();
            *standing != before
        });
    }
}
