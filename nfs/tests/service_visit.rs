//! The visit by which a service shows that clients are served (PORT-18).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::Duration;

use nfs::visit::{Service, VisitError, visit};
use support::serve;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// PORT-18: who is let in has seen a root's attributes; every way of not being served is told apart.
#[test]
fn a_visit_succeeds_where_a_client_is_served_and_nowhere_else() {
    let mut server = serve();
    let service = Service { nfs: server.addresses.nfs[0], mount: server.addresses.mount[0] };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        assert_eq!(visit(service, &["/export"]).await.unwrap(), "/export");
        assert_eq!(visit(service, &["/nowhere", "/SRL"]).await.unwrap(), "/SRL", "the first that it may");
        let unknown = visit(service, &["/nowhere", "/elsewhere"]).await.unwrap_err();
        assert!(
            matches!(&unknown, VisitError::NoExport { path, .. } if path == "/nowhere"),
            "{unknown}: the first is told"
        );

        server.filesystem.set_paused(true);
        let waited = tokio::time::timeout(Duration::from_millis(50), visit(service, &["/export"])).await;
        assert!(waited.is_err(), "GETATTR waits");
        server.filesystem.set_paused(false);
    });
    server.end();
    runtime.block_on(async {
        let gone = visit(service, &["/export"]).await.unwrap_err();
        assert!(matches!(gone, VisitError::NoAnswer { .. }), "{gone}");
    });
}

/// PORT-18: a listener that is something else is not taken for a service.
#[tokio::test]
async fn what_answers_otherwise_is_no_service() {
    for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], &[0x80, 0, 0, 4, 0, 0, 0, 9]] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answering = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut call = [0; 4];
            stream.read_exact(&mut call).await.unwrap();
            stream.write_all(answer).await.unwrap();
            stream
        });
        let error = visit(Service { nfs: address, mount: address }, &["/export"]).await.unwrap_err();
        assert!(matches!(error, VisitError::NotNfs { call: "NULL", .. }), "{error}");
        drop(answering.await.unwrap());
    }
}
