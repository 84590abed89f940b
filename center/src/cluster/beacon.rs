//! Datagrams of a cluster: to its multicast group, and by unicast to peers that multicast does not reach (MC-1 to MC-10).
//!
//! Everything sent or heard here is a hint. What cannot be sent is not sent; what is not understood, forged, repeated or
//! too much at once is dropped.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use protocol::digest::Fingerprint;
use protocol::dosp::announcement::{Announcement, Deleted, Failed, New, Updated};
use protocol::dosp::datagram::{self, BYTES_MAX, Header, Kind, LOCATED_MAX};
use protocol::dosp::heartbeat::Heartbeat;
use protocol::dosp::operations::{self as op, DiskIn, LocateIn, LocateOut};
use protocol::dosp::replay::ReplayWindow;
use protocol::dosp::{DatagramKey, Failure, Message, Operation, Status, decode_reply, encode_reply};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::centers::HERE;
use super::locations::Place;
use super::members::News;
use super::node::NodeDaemon;
use super::view::View;
use crate::host;

/// How often a process says that it is there (MC-2).
const HEARTBEAT_EVERY: Duration = Duration::from_secs(1);
/// Questions answered at once; more are dropped, for they are asked again.
const QUESTIONS_MAX: usize = 64;

/// Where and how to send.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The address of DOSP; datagrams to this process alone come to the same number.
    pub listen: SocketAddr,
    /// The group, if there is multicast.
    pub multicast: Option<SocketAddr>,
    /// Peers that multicast does not reach.
    pub peers: Vec<SocketAddr>,
}

/// The sending side. Clones share it.
#[derive(Clone)]
pub struct Beacon {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    key: DatagramKey,
    node: u32,
    boot: u64,
    sequence: AtomicU64,
    own: UdpSocket,
    group: Option<UdpSocket>,
}

impl Beacon {
    /// Opens the sockets. `boot` is greater with each start of the process.
    pub fn open(settings: Settings, key: DatagramKey, node: u32, boot: u64) -> io::Result<Self> {
        let own = UdpSocket::from_std(own_socket(&settings)?.into())?;
        let group = settings.multicast.map(|group| group_socket(group, settings.listen.ip())).transpose()?;
        let group = group.map(|group| UdpSocket::from_std(group.into())).transpose()?;
        let sequence = AtomicU64::new(0);
        Ok(Self { shared: Arc::new(Shared { settings, key, node, boot, sequence, own, group }) })
    }

    /// Tells everybody.
    pub fn announce<A: Announcement>(&self, news: &A, heard: &[SocketAddr]) {
        self.send_all(Kind::Announce, A::CODE, &news.to_bytes(), heard);
    }

    /// Asks everybody where objects are; answers come to everybody.
    pub fn locate(&self, ids: &[Fingerprint], heard: &[SocketAddr]) {
        let input = LocateIn { ids: ids.to_vec() };
        self.send_all(Kind::Request, op::Locate::CODE, &input.to_bytes(), heard);
    }

    /// Whether there is anybody to send to.
    pub fn reaches_anybody(&self) -> bool {
        self.shared.group.is_some() || !self.shared.settings.peers.is_empty()
    }

    fn send_all(&self, kind: Kind, code: u16, body: &[u8], heard: &[SocketAddr]) {
        let Some(datagram) = self.encode(kind, code, body) else { return };
        let Shared { settings, own, .. } = &*self.shared;
        let peers = settings.peers.iter().chain(if settings.peers.is_empty() { &[] } else { heard });
        let mut sent: Vec<SocketAddr> = Vec::new();
        for peer in settings.multicast.iter().chain(peers) {
            if *peer != settings.listen && !sent.contains(peer) {
                sent.push(*peer);
                // A peer that is not there is no reason not to tell the others.
                let _ = own.try_send_to(&datagram, *peer);
            }
        }
    }

    fn send_to(&self, peer: SocketAddr, kind: Kind, code: u16, body: &[u8]) {
        if let Some(datagram) = self.encode(kind, code, body) {
            let _ = self.shared.own.try_send_to(&datagram, peer);
        }
    }

    fn encode(&self, kind: Kind, code: u16, body: &[u8]) -> Option<Vec<u8>> {
        let Shared { key, node, boot, sequence, .. } = &*self.shared;
        let sequence = sequence.fetch_add(1, Ordering::Relaxed);
        let header = Header { kind, code, sender: *node, boot: *boot, sequence, sent_ms: host::now_ms() };
        // What does not fit is asked and answered point to point.
        datagram::encode(key, &header, body).ok()
    }
}

/// Sends heartbeats, and answers and takes in what others send, until `stop`.
pub async fn run(view: View, node: Arc<NodeDaemon>, stop: CancellationToken) {
    let shared = Arc::clone(&view.beacon().shared);
    let listener = Listener {
        view,
        node,
        seen: Mutex::new(ReplayWindow::new()),
        questions: Arc::new(Semaphore::new(QUESTIONS_MAX)),
    };
    let listener = Arc::new(listener);
    let work = async {
        let group = async {
            match &shared.group {
                Some(socket) => listener.listen(socket).await,
                None => std::future::pending().await,
            }
        };
        tokio::join!(listener.beat(), listener.listen(&shared.own), group);
    };
    stop.run_until_cancelled(work).await;
}

struct Listener {
    view: View,
    node: Arc<NodeDaemon>,
    seen: Mutex<ReplayWindow>,
    questions: Arc<Semaphore>,
}

impl Listener {
    async fn beat(&self) {
        let mut tick = tokio::time::interval(HEARTBEAT_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tick.tick().await;
            let heartbeat = self.node.heartbeat(HEARTBEAT_EVERY);
            self.view.beacon().announce(&heartbeat, &self.view.unicast_peers());
            // A process is part of its own view, whether or not its datagrams come back to it.
            self.view.hear(heartbeat, self.view.beacon().shared.boot, Instant::now());
        }
    }

    async fn listen(self: &Arc<Self>, socket: &UdpSocket) {
        let mut buffer = [0; BYTES_MAX + 1];
        loop {
            let (length, from) = match socket.recv_from(&mut buffer).await {
                Ok(received) => received,
                // An ICMP answer to something sent before; nothing is wrong with the socket.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
                Err(error) => {
                    tracing::warn!(%error, "datagrams cannot be received");
                    tokio::time::sleep(HEARTBEAT_EVERY).await;
                    continue;
                }
            };
            self.take(&buffer[..length], from);
        }
    }

    fn take(self: &Arc<Self>, bytes: &[u8], from: SocketAddr) {
        let shared = &self.view.beacon().shared;
        // Between centers all is over TLS: whoever sends from there is none of theirs.
        if self.view.links().center_of(from) != HERE {
            tracing::debug!(%from, "a datagram from another center was dropped");
            return;
        }
        let (header, body) = match datagram::decode(&shared.key, bytes) {
            Ok(datagram) => datagram,
            Err(error) => {
                tracing::debug!(%from, %error, "a datagram was dropped");
                return;
            }
        };
        // Our own, come back from the group.
        if header.sender == shared.node && header.boot == shared.boot {
            return;
        }
        let fresh = self.seen.lock().unwrap_or_else(PoisonError::into_inner).take(&header, host::now_ms());
        if let Err(error) = fresh {
            tracing::debug!(%from, sender = header.sender, %error, "a datagram was dropped");
            return;
        }
        match header.kind {
            Kind::Announce => self.hear(&header, body),
            Kind::Reply => self.hear_reply(&header, body),
            Kind::Request => self.answer(header, body.to_vec(), from),
        }
    }

    fn hear(&self, header: &Header, body: &[u8]) {
        let view = &self.view;
        match header.code {
            Heartbeat::CODE => {
                if let Ok(heartbeat) = Heartbeat::from_bytes(body)
                    && heartbeat.node == header.sender
                    && view.links().center_of(heartbeat.address) == HERE
                {
                    let newcomer = heartbeat.address;
                    if view.hear(heartbeat, header.boot, Instant::now()) == News::Joined {
                        // It knows nobody yet, and need not wait for the next heartbeat.
                        let own = self.node.last_heartbeat().to_bytes();
                        view.beacon().send_to(
                            newcomer,
                            Kind::Announce,
                            <Heartbeat as Announcement>::CODE,
                            &own,
                        );
                    }
                }
            }
            New::CODE => {
                if let Ok(New { content, node, disk }) = New::from_bytes(body) {
                    view.note(content.fingerprint, Place { node, disk });
                }
            }
            Deleted::CODE => {
                if let Ok(Deleted { fingerprint }) = Deleted::from_bytes(body) {
                    view.hear_deleted(fingerprint);
                }
            }
            Updated::CODE => {
                if let Ok(Updated { fingerprint }) = Updated::from_bytes(body) {
                    view.hear_updated(fingerprint);
                }
            }
            Failed::CODE => {
                if let Ok(Failed { node }) = Failed::from_bytes(body) {
                    view.hear_failed(node, header.sender);
                }
            }
            // Of a later version.
            _ => {}
        }
    }

    /// Answers to anybody's question are of use to all (DOSM-5, DFO-5).
    fn hear_reply(&self, header: &Header, body: &[u8]) {
        if header.code == op::Locate::CODE
            && let Ok((_, Ok(LocateOut { found }))) = decode_reply::<LocateOut>(body)
        {
            for located in found {
                let place = Place { node: header.sender, disk: located.disk };
                self.view.note(located.content.fingerprint, place);
            }
        }
    }

    fn answer(self: &Arc<Self>, header: Header, body: Vec<u8>, from: SocketAddr) {
        let Ok(permit) = Arc::clone(&self.questions).try_acquire_owned() else { return };
        let listener = Arc::clone(self);
        tokio::spawn(async move {
            let _permit = permit;
            listener.answer_one(&header, &body, from).await;
        });
    }

    async fn answer_one(&self, header: &Header, body: &[u8], from: SocketAddr) {
        let beacon = self.view.beacon();
        match header.code {
            op::Locate::CODE => {
                let Ok(LocateIn { ids }) = LocateIn::from_bytes(body) else { return };
                let found = self.node.locate(&ids).await;
                // Silence is "not here".
                for found in found.chunks(LOCATED_MAX) {
                    let out = Ok(LocateOut { found: found.to_vec() });
                    let reply = encode_reply(header.sequence, &out);
                    beacon.send_all(Kind::Reply, header.code, &reply, &self.view.unicast_peers());
                }
            }
            op::Heartbeat::CODE => {
                let heartbeat = self.node.last_heartbeat();
                beacon.send_to(
                    from,
                    Kind::Reply,
                    header.code,
                    &encode_reply(header.sequence, &Ok(heartbeat)),
                );
            }
            op::GetDiskState::CODE => {
                let Ok(DiskIn { disk }) = DiskIn::from_bytes(body) else { return };
                let reply = fitting(header.sequence, self.node.disk_state(disk));
                beacon.send_to(from, Kind::Reply, header.code, &reply);
            }
            op::GetDiskStatus::CODE => {
                let Ok(DiskIn { disk }) = DiskIn::from_bytes(body) else { return };
                let reply = fitting(header.sequence, self.node.disk_status(disk).await);
                beacon.send_to(from, Kind::Reply, header.code, &reply);
            }
            _ => {}
        }
    }
}

/// A reply that fits into a datagram: what does not is to be asked point to point (MC-8).
fn fitting<M: Message>(id: u64, outcome: Result<M, Failure>) -> Vec<u8> {
    let reply = encode_reply(id, &outcome);
    if reply.len() <= datagram::BODY_BYTES_MAX {
        return reply;
    }
    encode_reply::<M>(id, &Err(Failure::new(Status::Refused, "ask point to point: the answer is too long")))
}

fn own_socket(settings: &Settings) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(settings.listen), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    match settings.listen.ip() {
        IpAddr::V4(interface) => {
            socket.set_multicast_if_v4(&interface)?;
            // One hop, and also to the other processes of this machine.
            socket.set_multicast_ttl_v4(1)?;
            socket.set_multicast_loop_v4(true)?;
        }
        IpAddr::V6(_) => {
            socket.set_multicast_hops_v6(1)?;
            socket.set_multicast_loop_v6(true)?;
        }
    }
    socket.bind(&settings.listen.into())?;
    Ok(socket)
}

fn group_socket(group: SocketAddr, interface: IpAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // Each process of this machine has the group's address.
    socket.set_reuse_address(true)?;
    // Bound to the group, the socket gets nothing that was sent to another address.
    socket.bind(&group.into())?;
    match (group.ip(), interface) {
        (IpAddr::V4(group), IpAddr::V4(interface)) => socket.join_multicast_v4(&group, &interface)?,
        (IpAddr::V4(group), IpAddr::V6(_)) => socket.join_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED)?,
        (IpAddr::V6(group), _) => join_v6(&socket, &group)?,
    }
    Ok(socket)
}

/// By the interface that routing chooses.
fn join_v6(socket: &Socket, group: &Ipv6Addr) -> io::Result<()> {
    socket.join_multicast_v6(group, 0)
}
