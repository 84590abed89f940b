//! How busy centers are.

use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use crate::dosm::{Body, BodyError};

/// Stands for a center that is not to be sent anything.
const AWAY: u32 = u32::MAX;

/// What was last heard of the centers, by their indexes.
#[derive(Debug)]
pub struct Loads(Box<[AtomicU32]>);

impl Loads {
    /// Nothing was heard yet.
    pub fn new(centers: usize) -> Self {
        Self((0..centers).map(|_| AtomicU32::new(AWAY)).collect())
    }

    /// In percent of what it takes; `None` if it is away.
    pub fn of(&self, center: usize) -> Option<u32> {
        let load = self.0.get(center)?.load(Ordering::Relaxed);
        (load != AWAY).then_some(load)
    }

    /// Notes what was heard, and says what was known before.
    pub fn note(&self, center: usize, load: Option<u32>) -> Option<u32> {
        let load = load.map_or(AWAY, |load| load.min(AWAY - 1));
        let before = self.0.get(center)?.swap(load, Ordering::Relaxed);
        (before != AWAY).then_some(before)
    }
}

/// What this center is doing. Clones share it.
#[derive(Clone, Debug)]
pub struct Own {
    under_way: Arc<AtomicUsize>,
    full_at: Option<NonZeroUsize>,
}

impl Own {
    /// Full with so many requests under way; never, without a number.
    pub fn new(full_at: Option<NonZeroUsize>) -> Self {
        Self { under_way: Arc::default(), full_at }
    }

    /// Counts one more, until it is dropped.
    pub fn begin(&self) -> UnderWay {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(&self.under_way))
    }

    /// In percent of what makes it full.
    pub fn percent(&self) -> u32 {
        let Some(full_at) = self.full_at else { return 0 };
        let percent = self.under_way.load(Ordering::Relaxed).saturating_mul(100) / full_at;
        u32::try_from(percent).unwrap_or(u32::MAX)
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub struct UnderWay(Arc<AtomicUsize>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of an answer whose request is under way until all of it was sent, if it is counted at all.
#[derive(Debug)]
pub struct Counted<T> {
    /// The body.
    pub body: T,
    /// Its request.
    pub under_way: Option<UnderWay>,
}

impl Counted<Body> {
    /// An answer with its body counted.
    pub fn response(response: Response<Body>, under_way: UnderWay) -> Response<Body> {
        response.map(|body| Self { body, under_way: Some(under_way) }.boxed_unsync())
    }
}

impl HttpBody for Counted<Body> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_center_is_full_with_so_many_requests() {
        let own = Own::new(NonZeroUsize::new(3));
        let mut under_way = Vec::new();
        for percent in [0, 33, 66, 100, 133] {
            assert_eq!(own.percent(), percent);
            under_way.push(own.begin());
        }
        drop(under_way);
        assert_eq!(own.percent(), 0);
        let never = Own::new(None);
        let _under_way = never.begin();
        assert_eq!(never.percent(), 0);
    }

    #[test]
    fn what_was_heard_is_known() {
        let loads = Loads::new(2);
        assert_eq!((loads.of(0), loads.of(1), loads.of(2)), (None, None, None));
        assert_eq!(loads.note(1, Some(7)), None);
        assert_eq!(loads.note(1, Some(u32::MAX)), Some(7));
        assert_eq!((loads.of(0), loads.of(1)), (None, Some(u32::MAX - 1)));
        assert_eq!(loads.note(1, None), Some(u32::MAX - 1));
        assert_eq!(loads.of(1), None);
    }
}
