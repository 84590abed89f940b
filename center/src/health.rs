//! Whether this process is to be sent requests, for whoever spreads them: a balancer, another storage center (SYS-10).

use std::fmt;

use http::{HeaderValue, Response, StatusCode, header};
use tokio_util::sync::CancellationToken;

use crate::dosm::{Body, complete};
use crate::traffic::LOAD;

/// Looks whether anything can be served, and is cheap: it is asked for each look of each balancer.
type Gives = Box<dyn Fn() -> bool + Send + Sync>;

/// The health of a process.
pub struct Health {
    draining: CancellationToken,
    gives: Gives,
}

impl Health {
    /// Good until `draining`, as long as `gives` says so.
    pub fn new(draining: CancellationToken, gives: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { draining, gives: Box::new(gives) }
    }

    /// 200 if requests may be sent, else 503. One that is sent all the same is served, if it can be. Other storage
    /// centers are told how busy this one is, in percent of what it takes.
    pub fn answer(&self, percent: Option<u32>) -> Response<Body> {
        let (status, text) = if self.draining.is_cancelled() {
            (StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
        } else if (self.gives)() {
            (StatusCode::OK, "ok\n")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "no disk and no storage node can be asked\n")
        };
        let mut response = complete(status, "text/plain; charset=utf-8", text);
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response.headers_mut().extend(percent.map(|percent| (LOAD, HeaderValue::from(percent))));
        response
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").field("draining", &self.draining.is_cancelled()).finish_non_exhaustive()
    }
}
