//! What a session runs over: TCP inside a storage center, TLS 1.3 between centers, where either side shows a certificate
//! that is for its center (GEO-11). Both come to the same port; the first byte tells them apart.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use super::centers::{CenterNumber, Centers, HERE};
use crate::config::Mirror;

/// The first byte of a TLS connection: a handshake record. DOSP begins with a letter.
const TLS_HANDSHAKE: u8 = 22;

/// Why this process cannot speak with other centers. One line: what, and how to mend it.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// The files.
    #[error("mirror: {0}")]
    Files(#[from] mutual::IdentityError),
    /// A center's name cannot stand in a certificate.
    #[error("mirror: {0:?} is no name for a center; give letters, digits and hyphens, as in a DNS name")]
    Name(String),
}

/// The centers, and what this process shows those that are not its own. Clones share it.
#[derive(Clone)]
pub struct Identity {
    shared: Arc<Shared>,
}

struct Shared {
    centers: Centers,
    mutual: mutual::Identity,
    /// What the certificates of each center are for, this one's first, the witness's last.
    names: Vec<ServerName<'static>>,
}

impl Identity {
    /// As configured.
    pub fn load(mirror: &Mirror) -> Result<Self, IdentityError> {
        let centers = Centers::new(mirror);
        let name = |center| {
            let name = centers.name(center).to_owned();
            ServerName::try_from(name.clone()).map_err(|_| IdentityError::Name(name))
        };
        let names = centers.places().map(name).collect::<Result<_, _>>()?;
        let mutual = mutual::Identity::load(&mirror.certificate, &mirror.key, &mirror.authority)?;
        Ok(Self { shared: Arc::new(Shared { centers, mutual, names }) })
    }

    /// The centers.
    pub fn centers(&self) -> &Centers {
        &self.shared.centers
    }

    fn name(&self, center: CenterNumber) -> io::Result<&ServerName<'static>> {
        self.shared.names.get(center).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    async fn connect(&self, stream: TcpStream, center: CenterNumber) -> io::Result<TlsStream<TcpStream>> {
        self.shared.mutual.connect(stream, self.name(center)?).await
    }

    /// The peer's certificate must be for the center that its address is in.
    async fn accept(&self, stream: TcpStream, peer: IpAddr) -> io::Result<TlsStream<TcpStream>> {
        self.shared.mutual.accept(stream, self.name(self.centers().of(peer))?).await
    }
}

/// A connection, plain or not.
pub enum Transport {
    /// Inside a center.
    Plain(TcpStream),
    /// Between centers.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Transport {
    /// Connects: over TLS where the address is in another center.
    pub async fn connect(address: SocketAddr, identity: Option<&Identity>) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        // Who gives up asking closes, and then nothing may arrive any more: a network that comes back would deliver a
        // KEEP after the release of its reference.
        stream.set_zero_linger()?;
        match identity.map(|identity| (identity, identity.centers().of(address.ip()))) {
            Some((identity, center)) if center != HERE => {
                Ok(Self::Tls(Box::new(identity.connect(stream, center).await?)))
            }
            _ => Ok(Self::Plain(stream)),
        }
    }

    /// Takes a connection as it comes: plain from this center alone.
    pub async fn accept(stream: TcpStream, identity: Option<&Identity>) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let Some(identity) = identity else { return Ok(Self::Plain(stream)) };
        let peer = stream.peer_addr()?.ip();
        let mut first = [0];
        stream.peek(&mut first).await?;
        match first[0] == TLS_HANDSHAKE {
            true => Ok(Self::Tls(Box::new(identity.accept(stream, peer).await?))),
            false if identity.centers().of(peer) == HERE => Ok(Self::Plain(stream)),
            false => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }

    /// The socket, where files may be sent to it as they are.
    pub fn plain(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(stream) => Some(stream),
            Self::Tls(_) => None,
        }
    }
}

/// Calls the same method of either.
macro_rules! either {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Transport::Plain($stream) => $call,
            Transport::Tls($stream) => $call,
        }
    };
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_read(cx, to))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write(cx, from))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write_vectored(cx, from))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use protocol::dosp::ClusterKey;
    use tempfile::TempDir;
    use tokio::net::TcpListener;

    use super::*;
    use crate::cluster::session::{Credentials, Session, SessionError};

    /// What connects to any address of this host comes from the first one.
    const NORTH: &str = "127.0.0.1";
    const SOUTH: &str = "127.0.2.1";

    /// Authorities, and certificates signed by them.
    struct Files(TempDir);

    impl Files {
        fn new() -> Self {
            let files = Self(tempfile::tempdir().unwrap());
            for authority in ["authority", "impostor"] {
                files.openssl(&format!(
                    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={authority} \
                     -keyout {authority}.key -out {authority}.pem"
                ));
            }
            files
        }

        fn openssl(&self, arguments: &str) {
            let words = arguments.split_whitespace();
            let done = Command::new("openssl").args(words).current_dir(self.0.path()).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        }

        /// Of a center, with a certificate for `name` by `authority`.
        fn identity(&self, center: &str, name: &str, authority: &str) -> Identity {
            let request = format!(
                "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} -addext \
                 subjectAltName=DNS:{name} -keyout {name}.key -out {name}.csr"
            );
            self.openssl(&request);
            self.openssl(&format!(
                "x509 -req -in {name}.csr -CA {authority}.pem -CAkey {authority}.key -CAcreateserial -days 2 \
                 -copy_extensions copy -out {name}.pem"
            ));
            let (own, other, others_name) =
                if center == "north" { (NORTH, SOUTH, "south") } else { (SOUTH, NORTH, "north") };
            let path = |name: &str| self.0.path().join(name).display().to_string();
            let mirror = format!(
                "center = {center:?}\nnetworks = [\"{own}/32\"]\ncertificate = {:?}\nkey = {:?}\nauthority = {:?}\n\
                 first_writer = \"north\"\n[[other]]\ncenter = {others_name:?}\nnetworks = [\"{other}/32\"]\n\
                 peers = [\"{other}:7400\"]\n",
                path(&format!("{name}.pem")),
                path(&format!("{name}.key")),
                path("authority.pem"),
            );
            Identity::load(&toml::from_str(&mirror).unwrap()).unwrap()
        }
    }

    fn credentials(identity: Option<Identity>) -> Credentials {
        Credentials::new(&ClusterKey::new([7; 32]), "main").with_identity(identity)
    }

    /// Sends a message to the south and has it come back, with raw bytes behind it; over TLS or not.
    async fn converse(
        north: Option<Identity>,
        south: Option<Identity>,
        at: &str,
    ) -> Result<bool, (SessionError, SessionError)> {
        let listener = TcpListener::bind((at, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (north, south) = (credentials(north), credentials(south));
        let answer = async {
            let mut session = Session::accept(listener.accept().await.unwrap().0, &south).await?;
            let message = session.receive(1 << 20).await?.unwrap_or_default();
            session.send(&message).await?;
            session.send_raw(&mut [IoSlice::new(&message)]).await?;
            // Not over before the other side has it all.
            session.receive(1).await?;
            Ok(session.socket().is_none())
        };
        let ask = async {
            let mut session = Session::connect(address, &north, Duration::from_secs(5)).await?;
            let message: Vec<u8> = (0..300_000).map(|at| (at % 251) as u8).collect();
            session.send(&message).await?;
            assert_eq!(session.receive(1 << 20).await?.as_deref(), Some(&message[..]));
            assert_eq!(session.receive_raw(message.len()).await?, message);
            assert!(!session.is_stale());
            Ok(session.socket().is_none())
        };
        match tokio::join!(ask, answer) {
            (Ok(is_tls), Ok(is_tls_too)) => {
                assert_eq!(is_tls, is_tls_too);
                Ok(is_tls)
            }
            // The end of a session is a reset.
            (Ok(is_tls), Err(SessionError::Io(_))) => Ok(is_tls),
            (Err(error), Err(other)) => Err((error, other)),
            (asked, answered) => panic!("{asked:?} and {answered:?}"),
        }
    }

    /// GEO-11: between centers everything is over TLS, inside of one nothing is.
    #[tokio::test]
    async fn centers_speak_tls_with_each_other() {
        let files = Files::new();
        let (north, south) =
            (files.identity("north", "north", "authority"), files.identity("south", "south", "authority"));
        assert!(converse(Some(north.clone()), Some(south), SOUTH).await.unwrap(), "TLS");
        assert!(!converse(Some(north.clone()), Some(north), NORTH).await.unwrap(), "plain");
        assert!(!converse(None, None, SOUTH).await.unwrap(), "no centers");
    }

    /// GEO-11: who comes from another center without TLS, without a certificate of the authority, or with one for
    /// another center, gets no session; and neither does he get one who answers so.
    #[tokio::test]
    async fn strangers_are_no_center() {
        let files = Files::new();
        let north = files.identity("north", "north", "authority");
        let south = files.identity("south", "south", "authority");
        assert!(converse(None, Some(south.clone()), SOUTH).await.is_err(), "plain");
        let impostor = files.identity("north", "forged", "impostor");
        assert!(converse(Some(impostor), Some(south.clone()), SOUTH).await.is_err(), "another authority");
        let west = files.identity("north", "west", "authority");
        assert!(converse(Some(west), Some(south), SOUTH).await.is_err(), "another center's certificate");
        let wrong = files.identity("south", "east", "authority");
        assert!(converse(Some(north), Some(wrong), SOUTH).await.is_err(), "answers for another center");
    }
}
