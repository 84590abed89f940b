//! What a storage node does for its peers: the handlers of its operations (DOSP-3 to DOSP-9).

use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use protocol::dosp::operations::{self as op, *};
use protocol::dosp::{Failure, Message, Reference, Status, StoreHeader, VERSION};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::daemon::{Call, Handler, Registry, malformed};
use super::failure::{of_fetch, of_store, of_unavailable};
use super::node::NodeDaemon;
use super::session::{Session, SessionError};
use super::view::Own;
use crate::host;
use crate::isn::{Incoming, Isn, Opened, Origin};
use crate::objects::{StoreError, Upload as _};

/// Longest silence in the middle of an object.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Bytes sent by one `sendfile`: a disk's thread is held for so long.
const SEND_BYTES: u64 = 1 << 20;

/// Registers what every process answers.
pub fn register_common(registry: &mut Registry, own: Own, node: &Arc<NodeDaemon>) {
    registry.answer::<op::Null, _, _>(move |()| async move {
        Ok(NullOut { version: VERSION, node: own.node, roles: own.roles })
    });
    let said = Arc::clone(node);
    registry.answer::<op::Heartbeat, _, _>(move |()| {
        let heartbeat = said.last_heartbeat();
        async move { Ok(heartbeat) }
    });
    let said = Arc::clone(node);
    registry.answer::<op::GetDiskState, _, _>(move |DiskIn { disk }| {
        let state = said.disk_state(disk);
        async move { state }
    });
    let said = Arc::clone(node);
    registry.answer::<op::GetDiskStatus, _, _>(move |DiskIn { disk }| {
        let said = Arc::clone(&said);
        async move { said.disk_status(disk).await }
    });
    let said = Arc::clone(node);
    registry.answer::<op::GetNodeStatus, _, _>(move |()| {
        let said = Arc::clone(&said);
        async move { Ok(said.status().await) }
    });
    let said = Arc::clone(node);
    registry.answer::<op::Locate, _, _>(move |LocateIn { ids }| {
        let said = Arc::clone(&said);
        async move { Ok(LocateOut { found: said.locate(&ids).await }) }
    });
}

/// Registers what a storage node answers.
pub fn register_node(registry: &mut Registry, isn: &Isn) {
    registry.register::<op::Store>(StoreHandler(isn.clone()));
    registry.register::<op::Name>(NameHandler);
    registry.register::<op::Keep>(KeepHandler);
    registry.register::<op::Retrieve>(RetrieveHandler(isn.clone()));
    registry.register::<op::RetrieveRange>(RetrieveRangeHandler(isn.clone()));
    registry.register::<op::GetContents>(ContentsHandler(isn.clone()));
    register_references(registry, isn);
    register_upkeep(registry, isn);
}

fn register_references(registry: &mut Registry, isn: &Isn) {
    let node = isn.clone();
    registry.answer::<op::Delete, _, _>(move |DeleteIn { reference }| {
        let node = node.clone();
        async move {
            let given_up = node.give_up(reference, host::now_seconds()).await;
            given_up.map_err(|error| of_unavailable(&error))
        }
    });
    let node = isn.clone();
    registry.answer::<op::Hold, _, _>(move |input| {
        let node = node.clone();
        async move { hold(&node, input).await }
    });
    let node = isn.clone();
    registry.answer::<op::Entitled, _, _>(move |EntitledIn { customer, fingerprint }| {
        let node = node.clone();
        async move {
            let entitled = node.is_entitled(customer, fingerprint).await;
            entitled.map(|entitled| EntitledOut { entitled }).map_err(|error| of_unavailable(&error))
        }
    });
    let node = isn.clone();
    registry.answer::<op::References, _, _>(move |ReferencesIn { after, limit }| {
        let node = node.clone();
        async move {
            let page = node.references(after).await.map_err(|error| of_unavailable(&error))?;
            let page = page.into_iter().take(limit as usize);
            Ok(ReferencesOut {
                references: page.map(|(reference, renewed)| Held { reference, renewed }).collect(),
            })
        }
    });
    let node = isn.clone();
    registry.answer::<op::Lacking, _, _>(move |LackingIn { rows }| {
        let node = node.clone();
        async move {
            let mut presences = Vec::with_capacity(rows.len());
            for RowReference { content, customer, token } in rows {
                let reference = Reference { fingerprint: content.fingerprint, customer, token };
                let presence = node.presence(content, reference).await;
                presences.push(presence.map_err(|error| of_unavailable(&error))?);
            }
            Ok(LackingOut { rows: presences })
        }
    });
    let node = isn.clone();
    registry.answer::<op::ReleaseOrphan, _, _>(move |ReleaseOrphanIn { reference, renewed_before }| {
        let node = node.clone();
        async move {
            let released = node.release_orphan(reference, renewed_before, host::now_seconds()).await;
            released.map(|released| ReleaseOrphanOut { released }).map_err(|error| of_unavailable(&error))
        }
    });
}

fn register_upkeep(registry: &mut Registry, isn: &Isn) {
    let node = isn.clone();
    registry.answer::<op::Digests, _, _>(move |DigestsIn { customer, fingerprint }| {
        let node = node.clone();
        async move {
            let (content, list) = node
                .digests(customer, fingerprint, host::now_seconds())
                .await
                .map_err(|error| of_fetch(&error))?;
            Ok(DigestsOut { content, list: list.as_bytes().into() })
        }
    });
    let node = isn.clone();
    registry.answer::<op::Verify, _, _>(move |VerifyIn { fingerprint }| {
        let node = node.clone();
        async move {
            let examined = node.examine(fingerprint).await.map_err(|error| of_unavailable(&error))?;
            Ok(VerifyOut { good: examined.good, bad: examined.bad })
        }
    });
    let node = isn.clone();
    registry.answer::<op::Drain, _, _>(move |DrainIn { disk, on }| {
        let node = node.clone();
        async move { node.set_draining(disk, on).await.map_err(|error| of_unavailable(&error)) }
    });
    let node = isn.clone();
    registry.answer::<op::Restored, _, _>(move |()| {
        let node = node.clone();
        async move { node.references_restored().await.map_err(|error| of_unavailable(&error)) }
    });
    let node = isn.clone();
    registry.answer::<op::Scan, _, _>(move |()| {
        let node = node.clone();
        async move {
            let scanned = node.scan(host::now_seconds()).await.map_err(|error| of_unavailable(&error))?;
            Ok(ScanOut { objects: scanned.objects, found: scanned.found, lost: scanned.lost })
        }
    });
}

async fn hold(isn: &Isn, input: HoldIn) -> Result<HoldOut, Failure> {
    let HoldIn { content, customer, token, purpose, age } = input;
    let now = host::now_seconds();
    let held = match purpose {
        Purpose::Add => {
            let added = isn.add_reference(content, customer, token, now.saturating_sub(age), now).await;
            added.map_err(|error| of_store(&error))
        }
        Purpose::Keep => {
            isn.keep_reference(customer, content, token, now).await.map_err(|error| of_unavailable(&error))
        }
        Purpose::Restore => {
            isn.restore(customer, content, token, now).await.map_err(|error| of_unavailable(&error))
        }
    };
    Ok(HoldOut { held: held? })
}

/// The In, or the reply that says why it is none.
async fn input<M: Message>(call: &mut Call<'_>) -> Result<Option<M>, SessionError> {
    match M::from_bytes(call.input) {
        Ok(input) => Ok(Some(input)),
        Err(error) => {
            call.reply::<()>(&Err(malformed(error))).await?;
            Ok(None)
        }
    }
}

struct StoreHandler(Isn);

impl Handler for StoreHandler {
    fn handle<'a>(&'a self, mut call: Call<'a>) -> BoxFuture<'a, Result<(), SessionError>> {
        Box::pin(async move {
            // What was staged before is not wanted any more.
            *call.staged = None;
            let Some(StoreIn { length, copies, name }) = input(&mut call).await? else { return Ok(()) };
            let copies = usize::from(copies.max(1));
            let incoming = match self.0.stage(length, copies, name, host::now_seconds()).await {
                Ok(incoming) => incoming,
                Err(error) => return call.reply::<()>(&Err(of_store(&error))).await,
            };
            call.reply(&Ok(())).await?;
            let received = match receive(call.session, incoming).await? {
                Ok(incoming) => incoming.received().await,
                Err(error) => Err(error),
            };
            let out = received.map_err(|error| of_store(&error)).map(|received| {
                let out = StoreOut {
                    size: received.size(),
                    digest: received.digest(),
                    fingerprint: received.fingerprint(),
                };
                *call.staged = Some(received);
                out
            });
            call.reply(&out).await
        })
    }
}

/// Takes the next chunk from the session while the last one is hashed and written. After a failure of the disks the
/// rest is read and dropped, so that the sender hears of it at the end.
async fn receive(
    session: &mut Session,
    incoming: Incoming,
) -> Result<Result<Incoming, StoreError>, SessionError> {
    let mut incoming = Ok(incoming);
    let (mut chunk, mut last) = receive_chunk(session).await?;
    loop {
        let write = async {
            match incoming {
                Ok(incoming) if !chunk.is_empty() => incoming.write(chunk).await,
                incoming => incoming,
            }
        };
        if last {
            return Ok(write.await);
        }
        let (written, next) = tokio::join!(write, receive_chunk(session));
        incoming = written;
        (chunk, last) = next?;
    }
}

async fn receive_chunk(session: &mut Session) -> Result<(Bytes, bool), SessionError> {
    let receive = async {
        let header: [u8; StoreHeader::BYTES] =
            session.receive_raw(StoreHeader::BYTES).await?[..].try_into().unwrap_or_default();
        let header = StoreHeader::decode(&header)?;
        let chunk = session.receive_raw(header.size as usize).await?.freeze();
        match header.matches(&chunk) {
            true => Ok((chunk, header.last)),
            false => Err(SessionError::Malformed(protocol::dosp::Malformed::BadValue)),
        }
    };
    timeout(SILENCE_MAX, receive).await.map_err(|_| SessionError::Late)?
}

struct NameHandler;

impl Handler for NameHandler {
    fn handle<'a>(&'a self, mut call: Call<'a>) -> BoxFuture<'a, Result<(), SessionError>> {
        Box::pin(async move {
            let out = match call.staged {
                None => Err(nothing_staged()),
                Some(received) => match received.content().await {
                    Ok(content) => Ok(NameOut { fingerprint: content.fingerprint }),
                    Err(error) => Err(of_store(&error)),
                },
            };
            call.reply(&out).await
        })
    }
}

fn nothing_staged() -> Failure {
    Failure::new(Status::Refused, "nothing is staged on this session")
}

struct KeepHandler;

impl Handler for KeepHandler {
    fn handle<'a>(&'a self, mut call: Call<'a>) -> BoxFuture<'a, Result<(), SessionError>> {
        Box::pin(async move {
            let Some(keep) = input::<KeepIn>(&mut call).await? else { return Ok(()) };
            let Some(received) = call.staged.take() else {
                return call.reply::<()>(&Err(nothing_staged())).await;
            };
            let now = host::now_seconds();
            let KeepIn { content, references, replica } = keep;
            let origin = match replica {
                true => Origin::Replica { unlink_from: now.saturating_add(received.orphan_grace()) },
                false => Origin::Upload,
            };
            let to_reference = |kept: KeptReference| {
                let KeptReference { customer, token, renewed } = kept;
                let reference = Reference { fingerprint: content.fingerprint, customer, token };
                (reference, if renewed == 0 { now } else { renewed })
            };
            let references = references.into_iter().map(to_reference).collect();
            let kept = received.keep(content, references, origin).await;
            let out = kept.map(|disk| KeepOut { disk }).map_err(|error| of_store(&error));
            call.reply(&out).await
        })
    }
}

struct RetrieveHandler(Isn);

impl Handler for RetrieveHandler {
    fn handle<'a>(&'a self, mut call: Call<'a>) -> BoxFuture<'a, Result<(), SessionError>> {
        Box::pin(async move {
            let Some(RetrieveIn { customer, fingerprint }) = input(&mut call).await? else { return Ok(()) };
            match self.0.open_file(customer, fingerprint, host::now_seconds()).await {
                Ok(opened) => {
                    let size = opened.content.size;
                    send(call, opened, 0, size).await
                }
                Err(error) => call.reply::<()>(&Err(of_fetch(&error))).await,
            }
        })
    }
}

struct RetrieveRangeHandler(Isn);

impl Handler for RetrieveRangeHandler {
    fn handle<'a>(&'a self, mut call: Call<'a>) -> BoxFuture<'a, Result<(), SessionError>> {
        Box::pin(async move {
            let Some(wanted) = input::<RetrieveRangeIn>(&mut call).await? else { return Ok(()) };
            let RetrieveRangeIn { customer, fingerprint, offset, length } = wanted;
            match self.0.open_file(customer, fingerprint, host::now_seconds()).await {
                Ok(opened) if offset < opened.content.size => {
                    let end = offset.saturating_add(length).min(opened.content.size);
                    send(call, opened, offset, end).await
                }
                Ok(_) => call.reply::<()>(&Err(Failure::new(Status::Refused, "past the object's end"))).await,
                Err(error) => call.reply::<()>(&Err(of_fetch(&error))).await,
            }
        })
    }
}

/// Head, bytes, Out. The bytes go from the file to the socket unread: who gets them checks them (DOSP-5).
async fn send(mut call: Call<'_>, opened: Opened, offset: u64, end: u64) -> Result<(), SessionError> {
    let head = RetrieveHead { content: opened.content, length: end - offset };
    call.reply(&Ok(head)).await?;
    let sent = match call.session.socket() {
        Some(socket) => send_file(socket, opened, offset, end).await,
        None => send_bytes(call.session, opened, offset, end).await,
    };
    sent?;
    call.reply(&Ok(())).await
}

async fn send_file(stream: &TcpStream, opened: Opened, offset: u64, end: u64) -> Result<(), SessionError> {
    let Opened { file, mounted, .. } = opened;
    let socket = Arc::new(stream.as_fd().try_clone_to_owned()?);
    let file = Arc::new(file);
    let mut offset = offset;
    while offset < end {
        timeout(SILENCE_MAX, stream.writable()).await.map_err(|_| SessionError::Late)??;
        let (file, socket) = (Arc::clone(&file), Arc::clone(&socket));
        let length = usize::try_from((end - offset).min(SEND_BYTES)).unwrap_or(usize::MAX);
        // The file may have to be read from the disk, so its threads do it.
        let sent = mounted.read(move || {
            let mut from = offset;
            rustix::fs::sendfile(&socket, &file, Some(&mut from), length)
        });
        match sent.await? {
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(sent) => offset += sent as u64,
            Err(rustix::io::Errno::AGAIN) => {
                // Tells the runtime that the socket is full, so that it waits for it: if it still is. What the runtime
                // heard between the other thread's try and now must not be forgotten; it would not hear it again.
                let _ = stream.try_io(Interest::WRITABLE, || is_writable(stream));
            }
            Err(error) => return Err(io::Error::from(error).into()),
        }
    }
    Ok(())
}

/// To another center: through memory, for it is encrypted on the way.
async fn send_bytes(
    session: &mut Session,
    opened: Opened,
    offset: u64,
    end: u64,
) -> Result<(), SessionError> {
    let Opened { file, mounted, .. } = opened;
    let file = Arc::new(file);
    let mut offset = offset;
    while offset < end {
        let (file, length) = (Arc::clone(&file), (end - offset).min(SEND_BYTES));
        let read = mounted.read(move || {
            let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
            file.read_exact_at(&mut bytes, offset).map(|()| bytes)
        });
        let bytes = read.await??;
        let mut parts = [IoSlice::new(&bytes)];
        timeout(SILENCE_MAX, session.send_raw(&mut parts)).await.map_err(|_| SessionError::Late)??;
        offset += length;
    }
    Ok(())
}

/// Whether the socket takes bytes now; `WouldBlock` if not.
fn is_writable(socket: &TcpStream) -> io::Result<()> {
    let mut polled = [PollFd::new(socket, PollFlags::OUT)];
    match poll(&mut polled, Some(&Timespec::default()))? {
        0 => Err(io::ErrorKind::WouldBlock.into()),
        _ => Ok(()),
    }
}

struct ContentsHandler(Isn);

impl Handler for ContentsHandler {
    fn handle<'a>(&'a self, mut call: Call<'a>) -> BoxFuture<'a, Result<(), SessionError>> {
        Box::pin(async move {
            let Some(GetContentsIn { after, limit }) = input(&mut call).await? else { return Ok(()) };
            let node = self.0.settings().node;
            let page = match self.0.contents(after, limit as usize).await {
                Ok(page) => page,
                Err(error) => return call.reply::<()>(&Err(of_unavailable(&error))).await,
            };
            let line = |copy: &crate::isn::Copy| {
                let content = copy.content;
                ContentsLine { fingerprint: content.fingerprint, node, disk: copy.disk, size: content.size }
                    .to_string()
            };
            let text: String = page.iter().map(line).collect();
            call.reply(&Ok(GetContentsHead { length: text.len() as u64 })).await?;
            call.session.send_raw(&mut [IoSlice::new(text.as_bytes())]).await?;
            call.reply(&Ok(GetContentsOut { last: page.last().map(|copy| copy.content.fingerprint) })).await
        })
    }
}
