//! One connection between two processes of a cluster: authenticated by the cluster's key, its messages encrypted
//! (DOSP-10). Whoever does not have the key gets a closed connection and not a byte of an answer.
//!
//! ```text
//! preamble   in the clear: see protocol::dosp::preamble
//! handshake  Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s: two frames; the prologue is the preamble and the cluster's name
//! frame      u32 length of what follows, at most 65,535 | one Noise message
//! message    u32 length | so many bytes; cut over as many frames as it takes
//! raw bytes  of objects, between messages: not encrypted, proven by CRC-32C and BLAKE3 instead
//! ```
//!
//! Between centers all of it is inside of TLS (`transport`).

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, BufMut, BytesMut};
use futures::FutureExt;
use protocol::dosp::preamble::{Chosen, Offer};
use protocol::dosp::{ClusterKey, Malformed, VERSION};
use snow::params::NoiseParams;
use snow::{Builder, HandshakeState, TransportState};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::centers::Centers;
use super::transport::{Identity, Transport};

const NOISE: &str = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s";
/// Largest Noise message.
const FRAME_BYTES_MAX: usize = 65_535;
/// Of these, what its authentication takes.
const TAG_BYTES: usize = 16;
const LENGTH_BYTES: usize = 4;
/// Bytes asked of the socket at a time.
const READ_BYTES: usize = 64 << 10;
/// Longest time for a stranger to show that he has the key.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
const OFFER: Offer = Offer { lowest: VERSION, highest: VERSION };

/// What the processes of one cluster share.
#[derive(Clone)]
pub struct Credentials {
    key: [u8; 32],
    cluster: String,
    identity: Option<Identity>,
}

impl Credentials {
    /// Of the cluster of this name.
    pub fn new(key: &ClusterKey, cluster: &str) -> Self {
        Self { key: key.session_key(cluster), cluster: cluster.to_owned(), identity: None }
    }

    /// The same in one of several centers.
    pub fn with_identity(self, identity: Option<Identity>) -> Self {
        Self { identity, ..self }
    }

    /// The centers, if there are several.
    pub fn centers(&self) -> Option<&Centers> {
        self.identity.as_ref().map(Identity::centers)
    }

    fn builder<'a>(&'a self, prologue: &'a [u8]) -> Result<Builder<'a>, SessionError> {
        let params: NoiseParams = NOISE.parse()?;
        Ok(Builder::new(params).prologue(prologue)?.psk(0, &self.key)?)
    }

    fn prologue(&self, offer: [u8; Offer::BYTES], chosen: [u8; Chosen::BYTES]) -> Vec<u8> {
        [&offer[..], &chosen[..], self.cluster.as_bytes()].concat()
    }
}

/// Why a session ended. Whatever it was, another connection may do better.
#[derive(Debug, Error)]
pub enum SessionError {
    /// The peer is gone, or never was there.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The peer has another key, another cluster's name, or is no peer at all.
    #[error("the peer does not show the cluster's key: {0}")]
    Stranger(#[from] snow::Error),
    /// What it sends makes no sense.
    #[error("the peer speaks another language: {0}")]
    Malformed(#[from] Malformed),
    /// It sends more than its request or reply may have.
    #[error("the peer sends {0} bytes where fewer are allowed")]
    TooLong(usize),
    /// It took too long.
    #[error("the peer does not answer in time")]
    Late,
}

/// An open connection.
pub struct Session {
    stream: Transport,
    noise: TransportState,
    /// Received and not used yet.
    received: BytesMut,
    scratch: Box<[u8]>,
}

impl Session {
    /// Connects and shows the key.
    ///
    /// # Errors
    /// `Late` after `patience`.
    pub async fn connect(
        address: SocketAddr,
        credentials: &Credentials,
        patience: Duration,
    ) -> Result<Self, SessionError> {
        let connect = async {
            let mut stream = Transport::connect(address, credentials.identity.as_ref()).await?;
            stream.write_all(&OFFER.encode()).await?;
            stream.flush().await?;
            let mut chosen = [0; Chosen::BYTES];
            stream.read_exact(&mut chosen).await?;
            Chosen::decode(&chosen, &OFFER)?;
            let prologue = credentials.prologue(OFFER.encode(), chosen);
            let mut noise = credentials.builder(&prologue)?.build_initiator()?;
            send_handshake(&mut stream, &mut noise).await?;
            receive_handshake(&mut stream, &mut noise).await?;
            Self::of(stream, noise)
        };
        timeout(patience, connect).await.map_err(|_| SessionError::Late)?
    }

    /// Takes a connection whose peer shows the key.
    pub async fn accept(stream: TcpStream, credentials: &Credentials) -> Result<Self, SessionError> {
        let accept = async {
            let mut stream = Transport::accept(stream, credentials.identity.as_ref()).await?;
            let mut offer = [0; Offer::BYTES];
            stream.read_exact(&mut offer).await?;
            let version = Offer::decode(&offer)?.choose(&OFFER).ok_or(Malformed::BadValue)?;
            let chosen = Chosen(version).encode();
            stream.write_all(&chosen).await?;
            stream.flush().await?;
            let prologue = credentials.prologue(offer, chosen);
            let mut noise = credentials.builder(&prologue)?.build_responder()?;
            receive_handshake(&mut stream, &mut noise).await?;
            send_handshake(&mut stream, &mut noise).await?;
            Self::of(stream, noise)
        };
        timeout(HANDSHAKE_MAX, accept).await.map_err(|_| SessionError::Late)?
    }

    fn of(stream: Transport, noise: HandshakeState) -> Result<Self, SessionError> {
        let noise = noise.into_transport_mode()?;
        Ok(Self { stream, noise, received: BytesMut::new(), scratch: vec![0; FRAME_BYTES_MAX].into() })
    }

    /// Sends a message.
    pub async fn send(&mut self, message: &[u8]) -> Result<(), SessionError> {
        let length = u32::try_from(message.len()).map_err(|_| SessionError::TooLong(message.len()))?;
        let plain = [&length.to_le_bytes()[..], message].concat();
        let mut frames = Vec::with_capacity(plain.len() + 64);
        for piece in plain.chunks(FRAME_BYTES_MAX - TAG_BYTES) {
            let written = self.noise.write_message(piece, &mut self.scratch)?;
            frames.extend_from_slice(&(written as u32).to_le_bytes());
            frames.extend_from_slice(&self.scratch[..written]);
        }
        self.stream.write_all(&frames).await?;
        Ok(self.stream.flush().await?)
    }

    /// The next message, of at most `bytes_max`; `None` if the peer ended the connection before it.
    pub async fn receive(&mut self, bytes_max: usize) -> Result<Option<Vec<u8>>, SessionError> {
        if !self.fill(LENGTH_BYTES).await? && self.received.is_empty() {
            return Ok(None);
        }
        let mut message = Vec::new();
        let first = self.next_frame(&mut message).await?;
        let (length, _) = message.split_first_chunk::<LENGTH_BYTES>().ok_or(Malformed::Truncated)?;
        let length = u32::from_le_bytes(*length) as usize;
        if length > bytes_max {
            return Err(SessionError::TooLong(length));
        }
        message.reserve_exact((LENGTH_BYTES + length).saturating_sub(first));
        while message.len() < LENGTH_BYTES + length {
            self.next_frame(&mut message).await?;
        }
        if message.len() > LENGTH_BYTES + length {
            return Err(Malformed::TooLong.into());
        }
        message.drain(..LENGTH_BYTES);
        Ok(Some(message))
    }

    /// Sends bytes as they are, all of them.
    pub async fn send_raw(&mut self, parts: &mut [IoSlice<'_>]) -> Result<(), SessionError> {
        let mut parts = parts;
        while !parts.is_empty() {
            match self.stream.write_vectored(parts).await? {
                0 => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                written => IoSlice::advance_slices(&mut parts, written),
            }
        }
        Ok(self.stream.flush().await?)
    }

    /// Exactly `length` bytes as they come.
    pub async fn receive_raw(&mut self, length: usize) -> Result<BytesMut, SessionError> {
        let at_hand = self.received.len().min(length);
        let mut bytes = BytesMut::with_capacity(length);
        bytes.extend_from_slice(&self.received[..at_hand]);
        self.received.advance(at_hand);
        while bytes.len() < length {
            let missing = length - bytes.len();
            if self.stream.read_buf(&mut (&mut bytes).limit(missing)).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
        Ok(bytes)
    }

    /// The socket, for `sendfile`; none where what is sent is encrypted.
    pub fn socket(&self) -> Option<&TcpStream> {
        self.stream.plain()
    }

    /// Whether the peer has ended the connection or sent what nobody asked for: then it is of no more use.
    pub fn is_stale(&mut self) -> bool {
        let mut byte = [0];
        !self.received.is_empty() || self.stream.read(&mut byte).now_or_never().is_some()
    }

    /// Decrypts the next frame behind what is there; gives the length of it.
    async fn next_frame(&mut self, to: &mut Vec<u8>) -> Result<usize, SessionError> {
        self.need(LENGTH_BYTES).await?;
        let length = self.received.get_u32_le() as usize;
        if length > FRAME_BYTES_MAX {
            return Err(SessionError::TooLong(length));
        }
        self.need(length).await?;
        let written = self.noise.read_message(&self.received[..length], &mut self.scratch)?;
        to.extend_from_slice(&self.scratch[..written]);
        self.received.advance(length);
        Ok(written)
    }

    async fn need(&mut self, length: usize) -> Result<(), SessionError> {
        match self.fill(length).await? {
            true => Ok(()),
            false => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        }
    }

    /// Reads until `length` bytes are at hand; `false` if the connection ends before.
    async fn fill(&mut self, length: usize) -> Result<bool, SessionError> {
        while self.received.len() < length {
            self.received.reserve(READ_BYTES);
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

async fn send_handshake(stream: &mut Transport, noise: &mut HandshakeState) -> Result<(), SessionError> {
    let mut message = [0; 128];
    let written = noise.write_message(&[], &mut message)?;
    let frame = [&(written as u32).to_le_bytes()[..], &message[..written]].concat();
    stream.write_all(&frame).await?;
    Ok(stream.flush().await?)
}

async fn receive_handshake(stream: &mut Transport, noise: &mut HandshakeState) -> Result<(), SessionError> {
    let mut message = [0; 128];
    let length = stream.read_u32_le().await? as usize;
    let message = message.get_mut(..length).ok_or(SessionError::TooLong(length))?;
    stream.read_exact(message).await?;
    noise.read_message(message, &mut [])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;
    use tokio::net::TcpListener;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn credentials(key: u8, cluster: &str) -> Credentials {
        Credentials::new(&ClusterKey::new([key; 32]), cluster)
    }

    async fn pair(
        ours: Credentials,
        theirs: Credentials,
    ) -> (Result<Session, SessionError>, Result<Session, SessionError>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accept = async {
            let (stream, _) = listener.accept().await.unwrap();
            Session::accept(stream, &theirs).await
        };
        tokio::join!(Session::connect(address, &ours, PATIENCE), accept)
    }

    /// DOSP-2: messages of every length at the borders of frames come as they were sent, and raw bytes between them.
    #[tokio::test]
    async fn messages_and_raw_bytes_come_as_they_were_sent() {
        let (ours, theirs) = pair(credentials(7, "main"), credentials(7, "main")).await;
        let (mut ours, mut theirs) = (ours.unwrap(), theirs.unwrap());
        let frame = FRAME_BYTES_MAX - TAG_BYTES;
        for length in [0, 1, frame - LENGTH_BYTES, frame - LENGTH_BYTES + 1, 2 * frame, 1 << 20] {
            let message: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let mut parts = [IoSlice::new(&message), IoSlice::new(b"tail")];
            let send = async {
                ours.send(&message).await?;
                ours.send_raw(&mut parts).await
            };
            let receive = async {
                let received = theirs.receive(1 << 20).await?;
                let raw = theirs.receive_raw(length + 4).await?;
                Ok::<_, SessionError>((received, raw))
            };
            let (sent, received) = tokio::join!(send, receive);
            sent.unwrap();
            let (received, raw) = received.unwrap();
            assert_eq!(received.as_deref(), Some(&message[..]), "{length}");
            assert_eq!(raw, [&message[..], b"tail"].concat(), "{length}");
        }
        drop(theirs);
        assert!(ours.receive(1).await.unwrap().is_none());
    }

    /// REF-3: who gives up asking ends the session at once, with a reset: nothing of his is still under way.
    #[tokio::test]
    async fn the_end_of_who_asks_is_a_reset() {
        let (ours, theirs) = pair(credentials(7, "main"), credentials(7, "main")).await;
        drop(ours.unwrap());
        let ended = theirs.unwrap().receive(1).await;
        let is_reset = |error: &SessionError| matches!(error, SessionError::Io(error) if error.kind() == ErrorKind::ConnectionReset);
        assert!(ended.as_ref().is_err_and(is_reset), "{ended:?}");
    }

    /// DOSP-10: another key, or the same key for another cluster, gets no session at either end.
    #[tokio::test]
    async fn strangers_get_no_session() {
        for stranger in [credentials(8, "main"), credentials(7, "other")] {
            let (ours, theirs) = pair(stranger, credentials(7, "main")).await;
            assert!(ours.is_err());
            assert!(matches!(theirs, Err(SessionError::Stranger(_))));
        }
    }

    /// DOSP-10: a message over its limit is refused by its length alone.
    #[tokio::test]
    async fn a_message_over_its_limit_is_refused() {
        let (ours, theirs) = pair(credentials(7, "main"), credentials(7, "main")).await;
        let (mut ours, mut theirs) = (ours.unwrap(), theirs.unwrap());
        ours.send(&[1; 100]).await.unwrap();
        assert_eq!(theirs.receive(100).await.unwrap(), Some(vec![1; 100]));
        ours.send(&[1; 101]).await.unwrap();
        assert!(matches!(theirs.receive(100).await, Err(SessionError::TooLong(101))));
    }
}
