//! `multipart/form-data` uploads of browsers (SRL-8): fields `token`, `name` and `file`.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures::Stream;
use http::{HeaderMap, header};
use http_body_util::BodyDataStream;
use hyper::body::Incoming as RequestBody;
use multer::{Constraints, Field, Multipart, SizeLimit};
use protocol::id::Token;
use protocol::name::Name;

use super::refusal::Refusal;
use crate::objects::{Objects, Upload};

/// Most bytes of a field that is not the file.
const FIELD_BYTES_MAX: u64 = 1_024;
/// Bytes read from the connection but not yet given out by the parser: more means no form at all.
const UNPARSED_BYTES_MAX: u64 = 1 << 20;
/// Bytes gathered before they are hashed and written.
const GATHERED_BYTES: usize = 256 << 10;
/// Longest silence in the middle of a form.
const SILENCE_MAX: std::time::Duration = std::time::Duration::from_secs(30);

/// What came in a form.
pub struct Form<U> {
    /// The field `file`.
    pub incoming: U,
    /// The field `token`.
    pub token: Option<Token>,
    /// The field `name`, or else the file's own name.
    pub name: Option<Name>,
}

/// Receives a form, its file on the way to the disks.
pub async fn receive_form<O: Objects>(
    objects: &O,
    headers: &HeaderMap,
    body: RequestBody,
    now: u64,
) -> Result<Form<O::Upload>, Refusal> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let boundary = multer::parse_boundary(content_type).map_err(malformed)?;
    let unparsed = Arc::new(AtomicU64::new(0));
    let limits = SizeLimit::new().for_field("token", FIELD_BYTES_MAX).for_field("name", FIELD_BYTES_MAX);
    let constraints = Constraints::new().allowed_fields(vec!["token", "name", "file"]).size_limit(limits);
    let leash = Leash { body: BodyDataStream::new(body), unparsed: Arc::clone(&unparsed), rest: false };
    let mut form = Multipart::with_constraints(leash, boundary, constraints);

    let (mut incoming, mut token, mut name, mut own_name) = (None, None, None, None);
    while let Some(field) = in_time(form.next_field()).await? {
        match field.name() {
            Some("token") => {
                let text = in_time(field.text()).await?;
                let parsed = Token::parse(text.trim());
                token = Some(parsed.ok_or_else(|| wrong("the field `token` is not 32 hex digits"))?);
            }
            Some("name") => name = Some(to_name(in_time(field.text()).await?.as_bytes())?),
            _ if incoming.is_some() => return Err(wrong("the form has two fields `file`")),
            _ => {
                own_name = field.file_name().filter(|own| !own.is_empty()).map(base_name).transpose()?;
                incoming = Some(receive_file(objects, field, &unparsed, now).await?);
            }
        }
    }
    let incoming = incoming.ok_or_else(|| wrong("the form has no field `file`"))?;
    Ok(Form { incoming, token, name: name.or(own_name) })
}

async fn receive_file<O: Objects>(
    objects: &O,
    mut field: Field<'_>,
    unparsed: &AtomicU64,
    now: u64,
) -> Result<O::Upload, Refusal> {
    let mut incoming = objects.receive(0, now).await?;
    let mut gathered = BytesMut::new();
    while let Some(piece) = in_time(field.chunk()).await? {
        unparsed.fetch_sub(piece.len() as u64, Ordering::Relaxed);
        gathered.extend_from_slice(&piece);
        if gathered.len() >= GATHERED_BYTES {
            incoming = incoming.write(gathered.split().freeze()).await?;
        }
    }
    Ok(incoming.write(gathered.freeze()).await?)
}

async fn in_time<T>(step: impl Future<Output = multer::Result<T>>) -> Result<T, Refusal> {
    let step = tokio::time::timeout(SILENCE_MAX, step).await;
    step.map_err(|_| Refusal::Body)?.map_err(malformed)
}

/// Some browsers send the whole path.
fn base_name(own: &str) -> Result<Name, Refusal> {
    to_name(own.rsplit(['/', '\\']).next().unwrap_or(own).as_bytes())
}

fn to_name(bytes: &[u8]) -> Result<Name, Refusal> {
    Name::new(bytes).map_err(|error| Refusal::Malformed(format!("the file's name: {error}")))
}

fn malformed(error: multer::Error) -> Refusal {
    Refusal::Malformed(format!("not a form we understand: {error}"))
}

fn wrong(what: &str) -> Refusal {
    Refusal::Malformed(what.to_string())
}

/// Keeps the parser, which reads as long as there is something to read, from reading a whole object into memory: it
/// is handed one piece at a time, and no more when it has too many.
struct Leash {
    body: BodyDataStream<RequestBody>,
    unparsed: Arc<AtomicU64>,
    rest: bool,
}

impl Stream for Leash {
    type Item = Result<Bytes, std::io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.rest) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = Pin::new(&mut self.body).poll_next(cx).map_err(std::io::Error::other);
        if let Poll::Ready(Some(Ok(piece))) = &polled {
            self.rest = true;
            let before = self.unparsed.fetch_add(piece.len() as u64, Ordering::Relaxed);
            if before > UNPARSED_BYTES_MAX {
                return Poll::Ready(Some(Err(std::io::Error::other("too much between the fields"))));
            }
        }
        polled
    }
}
