//! Requests that hyper answers: all under TLS, and of the others what is no plain GET of something at hand.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Sleep, sleep};

use super::head::FIELDS_MAX;
use super::listener::{HEAD_BYTES_MAX, Handler, Shared};
use super::once::{Once, Watched};
use super::stall::Stall;

/// Serves a connection to its end. `ahead` was read from it before.
pub async fn converse<S, H>(stream: S, peer: IpAddr, ahead: Bytes, shared: &Shared<H>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    H: Handler,
{
    answer(Once::endless(stream, ahead), peer, shared).await;
}

/// Has one request of `len` bytes answered, of which `ahead`, not more, was read before. Whether the connection can be
/// used for another.
pub async fn answer_one<S, H>(stream: S, peer: IpAddr, ahead: Bytes, len: u64, shared: &Shared<H>) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    H: Handler,
{
    answer(Once::one(stream, ahead, len), peer, shared).await
}

async fn answer<S, H>(stream: Once<S>, peer: IpAddr, shared: &Shared<H>) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    H: Handler,
{
    let progress = stream.progress();
    let service = service_fn(|request: Request<Incoming>| {
        let (handler, progress) = (Arc::clone(&shared.handler), Arc::clone(&progress));
        async move {
            let response = handler.answer(request, peer).await;
            Ok::<_, Infallible>(response.map(|body| Watched::new(body, progress)))
        }
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.limits.head_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(FIELDS_MAX)
        .half_close(true)
        .serve_connection(TokioIo::new(Stall::new(stream, shared.limits.stall_timeout)), service);
    let mut stopped = pin!(shared.stop.cancelled());
    let mut is_stopping = false;
    let mut rest = pin!(Rest::default());
    let ended = std::future::poll_fn(|cx| {
        if !is_stopping && stopped.as_mut().poll(cx).is_ready() {
            is_stopping = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        if let Poll::Ready(ended) = Pin::new(&mut connection).poll(cx) {
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended early");
            }
            return Poll::Ready(false);
        }
        if progress.is_over() {
            return Poll::Ready(true);
        }
        if progress.is_answered() && !progress.is_endless() {
            // The client may have been refused before it sent its body, and may never do so.
            return rest.as_mut().poll(cx, shared.limits.head_timeout).map(|()| false);
        }
        Poll::Pending
    });
    ended.await
}

/// The time given for the rest of a request that is answered already.
#[derive(Default)]
struct Rest(Option<Pin<Box<Sleep>>>);

impl Rest {
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>, longest: std::time::Duration) -> Poll<()> {
        self.0.get_or_insert_with(|| Box::pin(sleep(longest))).as_mut().poll(cx)
    }
}
