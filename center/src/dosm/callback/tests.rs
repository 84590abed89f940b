//! The asker against a real server, without a storage center around it.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use protocol::digest::Content;
use protocol::dosp::Reference;
use protocol::dosp::operations::{AccessNewsOut, AccessOut};
use protocol::id::{ClientFile, CustomerId, ObjectId, Token};
use protocol::pair::{Asker, Stamp};
use protocol::vfs::{VfsError, VfsErrorCode};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::Callbacks;
use super::asker::{ASKED_BY_CUSTOMER_MAX, ASKED_MAX};
use super::server::Server;
use crate::dosm::{Directory, NewClientFile, NewFile};
use crate::http::acceptor;
use crate::outbound::Getter;

/// A VFS that allows every customer these hosts, or is away.
struct Vfs(Option<String>);

impl Directory for Vfs {
    async fn access(&self, _: CustomerId) -> Result<AccessOut, String> {
        Err("not asked in these tests".to_string())
    }

    async fn access_news(&self, _: u64) -> Result<AccessNewsOut, String> {
        Err("not asked in these tests".to_string())
    }

    async fn create_file(&self, _: Asker, _: NewFile) -> Result<ObjectId, VfsError> {
        Err(VfsError { code: VfsErrorCode::Denied, message: String::new() })
    }

    async fn store_client_file(&self, _: Asker, _: NewClientFile) -> Result<(), VfsError> {
        Ok(())
    }

    async fn find_client_file(&self, _: CustomerId, _: ClientFile) -> Result<Content, VfsError> {
        Ok(Content::EMPTY)
    }

    async fn delete_client_file(&self, _: Asker, _: ClientFile, _: Token) -> Result<(), VfsError> {
        Ok(())
    }

    async fn upload_page(&self, _: CustomerId) -> Result<Option<String>, String> {
        Ok(None)
    }

    async fn callback_hosts(&self, _: CustomerId) -> Result<String, String> {
        self.0.clone().ok_or_else(|| "away".to_string())
    }

    async fn give_up(&self, _: Reference, _: Option<Stamp>) -> Result<(), VfsError> {
        Ok(())
    }
}

fn callbacks(hosts: Option<String>, roots: RootCertStore) -> Callbacks<Vfs> {
    let loopback = ["127.0.0.0/8", "::1/128"].map(|network| network.parse().unwrap());
    Callbacks::new(Arc::new(Vfs(hosts)), loopback.into(), Getter::trusting(roots).unwrap())
}

/// SRL-10: under TLS a server is believed that shows a certificate for its name, of an authority that is trusted.
#[tokio::test]
async fn a_callback_under_tls_must_show_its_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
                     -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE \
                     -keyout key.pem -out certificate.pem";
    let made = Command::new("openssl").args(arguments.split_whitespace()).current_dir(folder.path()).output();
    assert!(made.unwrap().status.success());
    let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
    let server = Server::start(Some(acceptor(&certificate, &key).unwrap())).await;
    let port = server.address.port();
    let hosts = format!("localhost:{port} 127.0.0.1:{port}");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&certificate).unwrap()).unwrap();

    let trusting = callbacks(Some(hosts.clone()), roots);
    let asked = |url: String| {
        let trusting = &trusting;
        async move { trusting.permit(CustomerId(1), &url).await }
    };
    assert!(asked(format!("https://localhost:{port}/200")).await);
    assert!(!asked(format!("https://localhost:{port}/403")).await);
    assert_eq!(server.heads().len(), 2);
    assert!(!asked(format!("https://127.0.0.1:{port}/200")).await, "no name of the certificate's");
    assert!(!asked(format!("http://localhost:{port}/200")).await, "no TLS");
    let strange = callbacks(Some(hosts), RootCertStore::empty());
    assert!(!strange.permit(CustomerId(1), &format!("https://localhost:{port}/200")).await, "no authority");
    assert_eq!(server.heads().len(), 2, "nothing was asked");
}

/// SRL-10: so many are asked at once for a customer, and for all of them; the rest wait for their turn.
#[tokio::test]
async fn many_at_once_wait_for_each_other() {
    let server = Server::start(None).await;
    let callbacks = callbacks(Some(format!("{}", server.address)), RootCertStore::empty());
    let url = format!("http://{}/soon", server.address);
    let ask = |customers: usize, each: usize| {
        let asked = (0..customers * each).map(|number| {
            let customer = CustomerId(u32::try_from(number % customers).unwrap());
            callbacks.permit(customer, &url)
        });
        join_all(asked)
    };
    assert!(ask(1, 3 * ASKED_BY_CUSTOMER_MAX).await.into_iter().all(|permitted| permitted));
    assert_eq!(server.most_at_once(), ASKED_BY_CUSTOMER_MAX);
    let customers = ASKED_MAX / ASKED_BY_CUSTOMER_MAX + 4;
    assert!(ask(customers, ASKED_BY_CUSTOMER_MAX).await.into_iter().all(|permitted| permitted));
    assert_eq!(server.most_at_once(), ASKED_MAX);
}

/// SRL-10: a server that hangs holds up its own customer alone, and who waits for his turn waits no longer than others.
#[tokio::test]
async fn a_server_that_hangs_costs_its_customer_alone() {
    let server = Server::start(None).await;
    let callbacks = callbacks(Some(format!("{}", server.address)), RootCertStore::empty());
    let (hang, soon) = (format!("http://{}/hang", server.address), format!("http://{}/soon", server.address));
    let start = Instant::now();
    let hanging = (0..3 * ASKED_BY_CUSTOMER_MAX).map(|_| callbacks.permit(CustomerId(1), &hang));
    let other = async {
        while server.heads().len() < ASKED_BY_CUSTOMER_MAX {
            tokio::task::yield_now().await;
        }
        (callbacks.permit(CustomerId(2), &soon).await, start.elapsed())
    };
    let (hung, (other, after)) = tokio::join!(join_all(hanging), other);
    assert!(hung.into_iter().all(|permitted| !permitted));
    assert!(start.elapsed() < Duration::from_millis(3_500), "{:?}", start.elapsed());
    assert!(other && after < Duration::from_millis(1_500), "{after:?}");
    assert!(callbacks.permit(CustomerId(1), &soon).await, "the places are free again");
}

/// SRL-10: closed, where nobody can say which hosts are allowed.
#[tokio::test]
async fn without_the_list_nobody_is_asked() {
    let server = Server::start(None).await;
    let url = format!("http://{}/200", server.address);
    for hosts in [None, Some(String::new())] {
        assert!(!callbacks(hosts, RootCertStore::empty()).permit(CustomerId(1), &url).await);
    }
    assert_eq!(server.connections(), 0);
}
