//! The one loop that all calls go through: where a request is tried, and how often.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Method;
use http::header::{HeaderValue, RANGE};
use tokio::time::{Instant, sleep};

use crate::error::ClientError;
use crate::object::transfer;
use crate::random;
use crate::retry::Retries;
use crate::settings::{Endpoint, SettingsError};
use crate::transport::{Answer, Exchange, Progress, Transport};

/// Endpoints that are as good as each other.
pub(crate) struct Pool {
    endpoints: Vec<Endpoint>,
    /// Index of the one that answered last: the next call begins there.
    last_good: AtomicUsize,
}

impl Pool {
    pub(crate) fn parse(key: &'static str, urls: &[String]) -> Result<Self, SettingsError> {
        Ok(Self { endpoints: Endpoint::parse_all(key, urls)?, last_good: AtomicUsize::new(0) })
    }

    /// One endpoint alone.
    pub(crate) fn of(endpoint: Endpoint) -> Self {
        Self { endpoints: vec![endpoint], last_good: AtomicUsize::new(0) }
    }

    pub(crate) fn first(&self) -> &Endpoint {
        &self.endpoints[0]
    }

    /// Tries `exchange` at one endpoint after the other until one of them answers and `read` is content with the
    /// answer, or until the deadline. `wait` is what the center may take on purpose.
    pub(crate) async fn exchange<T>(
        &self,
        transport: &Transport,
        deadline: Duration,
        exchange: &Exchange,
        wait: Duration,
        read: impl Fn(&Endpoint, Answer) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let mut retries = Retries::new(Instant::now(), deadline, self.endpoints.len());
        let mut index = self.last_good.load(Ordering::Relaxed);
        loop {
            let endpoint = &self.endpoints[index];
            let began = Instant::now();
            let patience = retries.attempt_patience(began) + wait;
            let progress = Arc::new(Progress::default());
            let answer = transport.exchange(endpoint, exchange, patience, &progress).await;
            let error = match answer.and_then(|answer| read(endpoint, answer)) {
                Err(error @ ClientError::Unavailable { .. }) => error,
                finished => {
                    self.last_good.store(index, Ordering::Relaxed);
                    return finished;
                }
            };
            // Time that the center was asked to take is not held against the deadline.
            retries.forgive(wait.min(began.elapsed()));
            let Some(delay) = retries.after_failure(Instant::now(), progress.bytes() > 0) else {
                return Err(error);
            };
            if !delay.is_zero() {
                sleep(random::jitter(delay)).await;
            }
            index = (index + 1) % self.endpoints.len();
        }
    }

    /// Reads the head of what a path gives. A refusal of HEAD comes without words, so the first byte is asked for
    /// then, to hear them.
    pub(crate) async fn look<T>(
        &self,
        transport: &Transport,
        deadline: Duration,
        path: String,
        read: impl Fn(&Endpoint, Answer) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let head = transfer(Method::HEAD, path.clone());
        match self.exchange(transport, deadline, &head, Duration::ZERO, read).await {
            Err(refused @ ClientError::Refused { .. }) => {
                let mut first_byte = transfer(Method::GET, path);
                first_byte.headers.insert(RANGE, HeaderValue::from_static("bytes=0-0"));
                first_byte.answer_bytes_max = 1;
                let told =
                    self.exchange(transport, deadline, &first_byte, Duration::ZERO, |_, _| Ok(())).await;
                Err(told.err().unwrap_or(refused))
            }
            looked => looked,
        }
    }
}
