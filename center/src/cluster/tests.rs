//! Asking and answering over real sockets: sessions, links and daemon together.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use protocol::dosp::operations::{self as op, NullOut, VerifyIn};
use protocol::dosp::{ClusterKey, Failure, Malformed, Message, Operation, Reader, Status};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::daemon::{Registry, serve};
use super::link::{AskError, Links};
use super::session::Credentials;

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
