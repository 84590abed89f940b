//! Asking and answering over real sockets: sessions, links and daemon together.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use protocol::digest::ObjectHasher;
use protocol::dosp::operations::{
    self as op, DeleteIn, HoldIn, KeepIn, KeptReference, NullOut, Purpose, StoreIn, StoreOut, VerifyIn,
};
use protocol::dosp::{
    ClusterKey, Failure, Malformed, Message, Operation, Reader, Reference, Status, StoreHeader,
};
use protocol::id::{CustomerId, Token};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::daemon::{Registry, serve};
use super::link::{AskError, Links};
use super::node_operations::register_node;
use super::session::Credentials;
use crate::host;
use crate::isn::{Isn, Settings};

const PATIENCE: Duration = Duration::from_secs(10);

/// An operation that nobody knew before this test.
struct Reverse;

#[derive(Debug, PartialEq, Eq)]
struct Text(Vec<u8>);

impl Message for Text {
    fn encode(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.0);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self(from.rest().to_vec()))
    }
}

impl Operation for Reverse {
    const CODE: u16 = 999;
    const NAME: &'static str = "reverse";
    type In = Text;
    type Out = Text;
}

fn credentials() -> Credentials {
    Credentials::new(&ClusterKey::new([7; 32]), "main")
}

struct Daemon {
    address: SocketAddr,
    stop: CancellationToken,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn start(registry: Registry) -> Daemon {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    tokio::spawn(serve(listener, credentials(), Arc::new(registry), stop.clone()));
    Daemon { address, stop }
}

fn null(registry: &mut Registry) {
    registry.answer::<op::Null, _, _>(|()| async {
        Ok(NullOut { version: 1, node: 11, roles: Default::default() })
    });
}

fn status(error: AskError) -> Status {
    match error {
        AskError::Said(Failure { status, .. }) => status,
        AskError::Broken(error) => panic!("{error}"),
    }
}

/// DOSP-9: a new operation is an In/Out pair with a code, a handler at the daemon, and the call at the client.
#[tokio::test]
async fn an_operation_is_added_with_one_pair_one_code_and_one_handler() {
    let mut registry = Registry::default();
    registry.answer::<Reverse, _, _>(|Text(mut text)| async move {
        text.reverse();
        Ok(Text(text))
    });
    let daemon = start(registry).await;
    let links = Links::new(credentials());
    let answer = links.ask::<Reverse>(daemon.address, &Text(b"abc".to_vec()), PATIENCE).await.unwrap();
    assert_eq!(answer, Text(b"cba".to_vec()));
}

/// DOSP-9: who is asked for something unknown, or for something in a wrong form, says so, and the session goes on.
#[tokio::test]
async fn what_is_not_understood_does_not_end_a_session() {
    let mut registry = Registry::default();
    null(&mut registry);
    registry.answer::<op::Verify, _, _>(|VerifyIn { .. }| async {
        Err(Failure::new(Status::Refused, "not now"))
    });
    let daemon = start(registry).await;
    let links = Links::new(credentials());
    let until = || tokio::time::Instant::now() + PATIENCE;

    let mut link = links.send::<op::Null>(daemon.address, &(), PATIENCE).await.unwrap();
    assert_eq!(link.reply::<NullOut>(until()).await.unwrap().node, 11);
    let unknown = link.call::<Reverse>(&Text(Vec::new()), until()).await;
    assert_eq!(status(unknown.unwrap_err()), Status::Unsupported);
    struct Short;
    impl Operation for Short {
        const CODE: u16 = op::Verify::CODE;
        const NAME: &'static str = "short";
        type In = ();
        type Out = ();
    }
    assert_eq!(status(link.call::<Short>(&(), until()).await.unwrap_err()), Status::Malformed);
    assert_eq!(link.call::<op::Null>(&(), until()).await.unwrap().node, 11);
}

/// DOSP-1: a daemon that was started anew is asked again over a new session, without the caller noticing.
#[tokio::test]
async fn a_request_survives_a_session_that_died_in_the_pool() {
    let mut registry = Registry::default();
    null(&mut registry);
    let daemon = start(registry).await;
    let (address, links) = (daemon.address, Links::new(credentials()));
    links.ask::<op::Null>(address, &(), PATIENCE).await.unwrap();
    drop(daemon);
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let mut registry = Registry::default();
    null(&mut registry);
    let stop = CancellationToken::new();
    tokio::spawn(serve(listener, credentials(), Arc::new(registry), stop.clone()));
    assert_eq!(links.ask::<op::Null>(address, &(), PATIENCE).await.unwrap().node, 11);
    stop.cancel();
}

/// DOSM-3: who does not answer in time is given up on.
#[tokio::test]
async fn a_silent_peer_is_given_up_on_in_time() {
    let mut registry = Registry::default();
    registry.answer::<op::Null, _, _>(|()| std::future::pending());
    let daemon = start(registry).await;
    let began = tokio::time::Instant::now();
    let links = Links::new(credentials());
    let answer = links.ask::<op::Null>(daemon.address, &(), Duration::from_millis(100)).await;
    assert!(matches!(answer, Err(AskError::Broken(_))));
    assert!(began.elapsed() < PATIENCE);
}

/// REF-3: a KEEP or HOLD that arrives after its reference was given up takes it no more, as when its sender hung while
/// his client tried elsewhere.
#[tokio::test]
async fn a_late_keep_takes_no_reference_that_was_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        cluster: "main".to_owned(),
        node: 11,
        disks: vec![folder.path().to_path_buf()],
        reserve_bytes: 0,
        unlink_grace_seconds: 600,
        orphan_grace_seconds: 86_400,
    };
    let isn = Isn::open(settings, host::generator(), host::now_seconds()).await.unwrap();
    let mut registry = Registry::default();
    register_node(&mut registry, &isn);
    let daemon = start(registry).await;
    let links = Links::new(credentials());
    let until = || tokio::time::Instant::now() + PATIENCE;

    let mut hasher = ObjectHasher::new();
    hasher.update(b"object");
    let (content, _) = hasher.finish();
    let (customer, token) = (CustomerId(1), Token([1; 16]));
    let kept = KeptReference { customer, token, renewed: 0 };
    let keep = KeepIn { content, references: vec![kept], replica: false };
    let stage = || async {
        let input = StoreIn { length: content.size, copies: 1, name: true };
        let mut link = links.send::<op::Store>(daemon.address, &input, PATIENCE).await.unwrap();
        link.reply::<()>(until()).await.unwrap();
        let chunk = [&StoreHeader::of(b"object", true).encode()[..], b"object"].concat();
        link.session().send_raw(&mut [IoSlice::new(&chunk)]).await.unwrap();
        link.reply::<StoreOut>(until()).await.unwrap();
        link
    };
    let mut late = stage().await;
    stage().await.call::<op::Keep>(&keep, until()).await.unwrap();
    let fingerprint = content.fingerprint;
    let delete = DeleteIn { reference: Reference { fingerprint, customer, token } };
    links.ask::<op::Delete>(daemon.address, &delete, PATIENCE).await.unwrap();

    assert_eq!(status(late.call::<op::Keep>(&keep, until()).await.unwrap_err()), Status::Unavailable);
    let hold = HoldIn { content, customer, token, purpose: Purpose::Add, age: PATIENCE.as_secs() };
    let held = links.ask::<op::Hold>(daemon.address, &hold, PATIENCE).await;
    assert_eq!(status(held.unwrap_err()), Status::Unavailable);
    assert!(isn.references(None).await.unwrap().is_empty());
}
