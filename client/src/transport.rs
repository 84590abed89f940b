//! One HTTP exchange with one endpoint: connections, time-outs, bounded bodies. Decides nothing.

use std::error::Error;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream::TryStreamExt;
use http::header::{CONTENT_LENGTH, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use protocol::vfs::xml::{ErrorDocument, decode_error};
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;

use crate::error::ClientError;
use crate::reason::reason;
use crate::settings::{Endpoint, SettingsError};
use crate::source::Source;

/// Idle connections kept to each endpoint.
const IDLE_CONNECTIONS_MAX: usize = 16;
/// Shorter than a server's or a firewall's idea of "idle".
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Most bytes of an error document that are read.
const ERROR_BYTES_MAX: usize = 16 << 10;

/// What the slowest disk of a center writes while we wait for it to sync.
const SYNC_BYTES_PER_SECOND: u64 = 20 << 20;

type RequestBody = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// What is sent.
pub(crate) enum Payload {
    Nothing,
    Document(Bytes),
    /// So many bytes of a source.
    Object(u64, Source),
}

/// One exchange, without the endpoint.
pub(crate) struct Exchange {
    pub(crate) method: Method,
    /// Path, percent-encoded.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Payload,
    /// Most bytes of the answer.
    pub(crate) answer_bytes_max: usize,
    /// Whether bytes received count as progress. They do not for a document, so that a call has an end.
    pub(crate) is_transfer: bool,
}

/// The answer, whole.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Bytes of a body that went over the wire during an attempt.
#[derive(Default)]
pub(crate) struct Progress(AtomicU64);

impl Progress {
    pub(crate) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

pub(crate) struct Transport {
    client: Client<HttpsConnector<HttpConnector>, RequestBody>,
}

impl Transport {
    pub(crate) fn new(
        connect_timeout: Duration,
        ca_certificates: Option<&[u8]>,
    ) -> Result<Self, SettingsError> {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(connect_timeout));
        connector.set_nodelay(true);
        connector.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(ca_certificates)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .pool_timer(TokioTimer::new())
            .build(connector);
        Ok(Self { client })
    }

    /// Sends and receives. Gives up when `patience` passes without progress, or longer if a large object was sent: the
    /// center syncs it before it answers.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`] for no connection, silence and 503; [`ClientError::Refused`] for other errors of
    /// the center; [`ClientError::Source`].
    pub(crate) async fn exchange(
        &self,
        endpoint: &Endpoint,
        exchange: &Exchange,
        patience: Duration,
        progress: &Arc<Progress>,
    ) -> Result<Answer, ClientError> {
        let source_error = Arc::new(Mutex::new(None));
        let request = request(endpoint, exchange, progress, &source_error)?;
        let work = async {
            let response =
                self.client.request(request).await.map_err(|error| unavailable(endpoint, &error))?;
            receive(endpoint, response, exchange, progress).await
        };
        let sent_rate = matches!(exchange.payload, Payload::Object(..)).then_some(SYNC_BYTES_PER_SECOND);
        let patience_after =
            |bytes: u64| patience + Duration::from_secs(sent_rate.map_or(0, |rate| bytes / rate));
        let outcome = while_progressing(work, patience_after, progress).await;
        let source_error = source_error.lock().ok().and_then(|mut error| error.take());
        match (source_error, outcome) {
            (Some(error), _) => Err(ClientError::Source(error)),
            (None, Some(outcome)) => outcome,
            (None, None) => Err(ClientError::Unavailable {
                endpoint: endpoint.to_string(),
                why: format!("no answer within {:.1} s", patience.as_secs_f64()),
            }),
        }
    }
}

fn tls(ca_certificates: Option<&[u8]>) -> Result<ClientConfig, SettingsError> {
    let bad = |why: &dyn std::fmt::Display| SettingsError::BadCertificates(why.to_string());
    let mut roots = RootCertStore::empty();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| bad(&error))?;
    let Some(mut pem) = ca_certificates else {
        use hyper_rustls::ConfigBuilderExt;
        return Ok(builder.with_webpki_roots().with_no_client_auth());
    };
    for certificate in rustls_pemfile::certs(&mut pem) {
        roots.add(certificate.map_err(|error| bad(&error))?).map_err(|error| bad(&error))?;
    }
    if roots.is_empty() {
        return Err(bad(&"no certificate in it"));
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn request(
    endpoint: &Endpoint,
    exchange: &Exchange,
    progress: &Arc<Progress>,
    source_error: &Arc<Mutex<Option<io::Error>>>,
) -> Result<Request<RequestBody>, ClientError> {
    let uri = Uri::builder()
        .scheme(endpoint.scheme.clone())
        .authority(endpoint.authority.clone())
        .path_and_query(exchange.path.as_str())
        .build()
        .map_err(|error| ClientError::Invalid(format!("cannot ask for that path: {error}")))?;
    let body = match &exchange.payload {
        Payload::Nothing => RequestBody::default(),
        Payload::Document(bytes) => Full::new(bytes.clone()).map_err(|never| match never {}).boxed_unsync(),
        Payload::Object(_, source) => {
            let (progress, source_error) = (progress.clone(), source_error.clone());
            let pieces = source.open().inspect_ok(move |piece| progress.add(piece.len()));
            let pieces = pieces.map_ok(Frame::data).map_err(move |error| {
                // The body's error comes back wrapped as the connection's; this keeps the original.
                let told = io::Error::from(error.kind());
                if let Ok(mut slot) = source_error.lock() {
                    *slot = Some(error);
                }
                told.into()
            });
            StreamBody::new(pieces).boxed_unsync()
        }
    };
    let mut request = Request::new(body);
    *request.method_mut() = exchange.method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = exchange.headers.clone();
    if let Payload::Object(bytes, _) = &exchange.payload {
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(*bytes));
    }
    Ok(request)
}

async fn receive(
    endpoint: &Endpoint,
    response: Response<Incoming>,
    exchange: &Exchange,
    progress: &Progress,
) -> Result<Answer, ClientError> {
    let (head, mut incoming) = response.into_parts();
    // After an upload, an end user is sent on; what was stored is told all the same.
    let good = head.status.is_success() || head.status == StatusCode::SEE_OTHER;
    let bytes_max = if good { exchange.answer_bytes_max } else { ERROR_BYTES_MAX };
    let mut body = BytesMut::new();
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| unavailable(endpoint, &error))?;
        let Ok(data) = frame.into_data() else { continue };
        if body.len() + data.len() > bytes_max {
            let why = format!("its answer is longer than {bytes_max} bytes");
            return Err(ClientError::Protocol { endpoint: endpoint.to_string(), why });
        }
        body.extend_from_slice(&data);
        if exchange.is_transfer {
            progress.add(data.len());
        }
    }
    if good {
        return Ok(Answer { status: head.status, headers: head.headers, body: body.freeze() });
    }
    let (code, message) = match decode_error(&body) {
        Ok(ErrorDocument { generation: Some(generation), .. }) => {
            return Err(ClientError::Superseded { generation });
        }
        Ok(error) => (error.code, error.message),
        Err(_) => (String::new(), "it gave no reason".to_owned()),
    };
    // 502 and 504 are what a proxy says when the center behind it is away.
    if matches!(
        head.status,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT
    ) {
        return Err(ClientError::Unavailable { endpoint: endpoint.to_string(), why: message });
    }
    Err(ClientError::Refused { status: head.status, code, message })
}

/// The outcome of `work`, or `None` once the patience there is after so many bytes has passed without another.
async fn while_progressing<T>(
    work: impl Future<Output = T>,
    patience_after: impl Fn(u64) -> Duration,
    progress: &Progress,
) -> Option<T> {
    let mut work = std::pin::pin!(work);
    loop {
        let before = progress.bytes();
        match timeout(patience_after(before), &mut work).await {
            Ok(outcome) => return Some(outcome),
            Err(_) if progress.bytes() == before => return None,
            Err(_) => {}
        }
    }
}

/// The innermost cause says what happened; the outer ones only that something did.
fn unavailable(endpoint: &Endpoint, error: &(dyn Error + 'static)) -> ClientError {
    ClientError::Unavailable { endpoint: endpoint.to_string(), why: reason(error) }
}
