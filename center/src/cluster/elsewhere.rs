//! The processes of other centers: who is there, and where objects are in them (GEO-1, DFO-4). Both sides of it.
//!
//! No datagram goes between centers. A process asks one of another center, over TLS, whom it hears, and has it ask its
//! group.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures::future::join_all;
use protocol::digest::Fingerprint;
use protocol::dosp::Failure;
use protocol::dosp::operations::{
    self as op, FOUND_MAX, FindIn, FindOut, FoundPlace, MEMBERS_MAX, MemberReport, MembersOut,
};
use tokio::time::MissedTickBehavior;

use super::centers::{CenterNumber, HERE};
use super::daemon::Registry;
use super::locations::Place;
use super::members::Condition;
use super::search;
use super::view::View;

/// How often another center is asked who is there: as often as heartbeats come in one's own.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Processes asked by turns at the same time, so that one that hangs keeps nothing back.
const ASKED_AT_ONCE: usize = 2;
/// Longest time for an answer; the way to another center takes what it takes.
const PATIENCE: Duration = Duration::from_secs(1);

/// Registers what any process answers those of other centers.
pub fn register(registry: &mut Registry, view: &View) {
    let asked = view.clone();
    registry.answer::<op::Members, _, _>(move |()| {
        let members = asked.heard_here();
        async move { Ok(MembersOut { members }) }
    });
    let asked = view.clone();
    registry.answer::<op::Find, _, _>(move |FindIn { fingerprint }| {
        let view = asked.clone();
        async move { Ok::<_, Failure>(FindOut { places: found_here(&view, fingerprint).await }) }
    });
}

async fn found_here(view: &View, fingerprint: Fingerprint) -> Vec<FoundPlace> {
    let known = |places: Vec<Place>| -> Vec<FoundPlace> {
        let here = places.into_iter().filter(|place| view.center_of_node(place.node) == Some(HERE));
        here.map(|Place { node, disk }| FoundPlace { node, disk }).take(FOUND_MAX).collect()
    };
    let places = known(view.places(fingerprint));
    if places.is_empty() { known(search::multicast(view, fingerprint, &[]).await) } else { places }
}

/// Keeps the view of another center current, until dropped.
pub async fn watch(view: View, center: CenterNumber, peers: Vec<SocketAddr>) {
    let turns = (0..ASKED_AT_ONCE).map(|turn| watch_by_turns(&view, center, &peers, turn));
    tokio::join!(tell(&view, center), join_all(turns));
}

async fn watch_by_turns(view: &View, center: CenterNumber, peers: &[SocketAddr], mut turn: usize) {
    let mut tick = tokio::time::interval(ASK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let live = view.with_role(|_| true).into_iter();
        let live = live.filter(|node| node.center == center && node.condition == Condition::Live);
        let mut addresses: Vec<SocketAddr> = live.map(|node| node.address).collect();
        addresses.extend(peers.iter().filter(|peer| !addresses.contains(peer)).copied().collect::<Vec<_>>());
        let Some(address) = addresses.get(turn % addresses.len().max(1)) else { return };
        match view.links().ask::<op::Members>(*address, &(), PATIENCE).await {
            Ok(MembersOut { members }) => take(view, center, members),
            Err(error) => {
                tracing::debug!(%address, %error, "a process of another center does not answer");
                turn = turn.wrapping_add(1);
            }
        }
    }
}

/// A center speaks of its own processes alone.
fn take(view: &View, center: CenterNumber, members: Vec<MemberReport>) {
    let now = Instant::now();
    for MemberReport { heartbeat, boot, silent_ms } in members.into_iter().take(MEMBERS_MAX) {
        let heard = now.checked_sub(Duration::from_millis(silent_ms));
        if view.links().center_of(heartbeat.address) == center
            && let Some(heard) = heard
        {
            view.hear(heartbeat, boot, heard);
        }
    }
}

/// Says once when a center is reached no more, and once when it is again.
async fn tell(view: &View, center: CenterNumber) {
    let mut was_reached = false;
    loop {
        tokio::time::sleep(ASK_EVERY).await;
        let is_reached = view.reaches(center);
        if is_reached == was_reached {
            continue;
        }
        was_reached = is_reached;
        let center = view.links().centers().map_or("", |centers| centers.name(center));
        match is_reached {
            true => tracing::info!(center, "another storage center is reached"),
            false => tracing::error!(
                center,
                "another storage center is not reached: what is stored meanwhile gets its copies here, and goes there when it is back"
            ),
        }
    }
}

/// Where an object is in another center, by the word of its group; nothing if nobody there can be asked.
pub async fn find(view: &View, center: CenterNumber, fingerprint: Fingerprint) -> Option<Vec<Place>> {
    let processes = view.with_role(|_| true).into_iter();
    let mut live = processes.filter(|node| node.center == center && node.condition != Condition::Failed);
    let FindOut { places } =
        view.ask::<op::Find>(&live.next()?, &FindIn { fingerprint }, PATIENCE).await.ok()?;
    Some(places.into_iter().map(|FoundPlace { node, disk }| Place { node, disk }).collect())
}
