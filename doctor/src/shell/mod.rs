//! Facts: thin shells, side by side, each with an end. What they come to is for [`crate::checks`] to say.

pub mod center;
pub mod disks;
pub mod listeners;
pub mod names;
pub mod neighbours;

use std::thread;
use std::time::Duration;

use failover::net::interfaces::{self, Seen};
use tokio::sync::oneshot;
use tokio::time::timeout;

use self::center::Visit;
use self::disks::Found;
use self::listeners::Listener;
use self::names::Names;
use self::neighbours::{Neighbours, Overheard};
use crate::plan::Plan;

/// How long this machine's kernel may take to say something.
const KERNEL: Duration = Duration::from_secs(2);
/// How long a disk may take; one that fails takes longer.
const DISK: Duration = Duration::from_secs(4);

/// What was found.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The wall clock when it began: time since 1970.
    pub now: Duration,
    /// All network interfaces, or why they are not known.
    pub interfaces: Result<Vec<Seen>, String>,
    /// In order of [`Plan::folders`].
    pub folders: Vec<Found>,
    /// Who has the ports that this one is to listen on.
    pub listeners: Result<Vec<Listener>, String>,
    /// Who else has its addresses.
    pub neighbours: Neighbours,
    /// What the other port's judge said.
    pub overheard: Overheard,
    /// The center's names.
    pub names: Names,
    /// In order of [`Plan::doors`].
    pub visits: Vec<Visit>,
}

/// Looks at everything.
pub(crate) async fn gather(plan: &Plan, now: fn() -> Duration) -> Facts {
    let begun = now();
    let outside = async {
        let names = names::look_up(&plan.doors).await;
        let visits = center::visit_all(&plan.doors, plan.authorities.as_deref(), &names, now).await;
        (names, visits)
    };
    let near = async {
        let listed = within(KERNEL, interfaces::list).await;
        let interfaces = match listed {
            Some(listed) => listed.map_err(|error| format!("cannot list the network interfaces: {error}")),
            None => Err("the kernel does not list the network interfaces".to_owned()),
        };
        let seen = interfaces.clone().unwrap_or_default();
        let (neighbours, overheard) = tokio::join!(neighbours::ask(plan, &seen), neighbours::overhear(plan));
        (interfaces, neighbours, overheard)
    };
    let ((names, visits), (interfaces, neighbours, overheard), folders, listeners) =
        tokio::join!(outside, near, disks::look(&plan.folders, DISK), listeners::look(plan, KERNEL));
    Facts { now: begun, interfaces, folders, listeners, neighbours, overheard, names, visits }
}

/// Does what may hang on a thread of its own, which is left behind when `patience` is over: the end of the program does
/// not wait for it, as it would for a thread of the runtime.
pub(crate) async fn within<T: Send + 'static>(
    patience: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (sender, receiver) = oneshot::channel();
    thread::Builder::new().name("look".into()).spawn(move || drop(sender.send(work()))).ok()?;
    timeout(patience, receiver).await.ok()?.ok()
}
