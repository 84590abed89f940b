//! What the judge is told, line by line, for as long as it listens: the operation `watch`.
//!
//! ```text
//! {"event":"up","caught_up":true,"mirrored":false,"owed":0,"probe_handle":"02…","nfs":"127.0.0.1:2049",
//!  "serving":false,"generation":7}
//! {"event":"refused","generation":8}
//! ```
//! Each is one line. The first comes at once, another whenever something has changed. That the connection ends says that the port has.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use futures::stream;
use nfs::filesystem::Handle;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use control::Lines;

/// How the port stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// Nothing that was acknowledged is lost if this port takes over now.
    pub caught_up: bool,
    /// This port serves, and nothing is acknowledged that the other one does not have.
    pub mirrored: bool,
    /// Bytes of journal, acknowledged perhaps, that neither the other port nor the center has.
    pub owed: u64,
    /// The handle of the first export's root, in hexadecimal digits: GETATTR of it is answered on duty and off. Empty
    /// until the storage center said which folder it is.
    pub probe_handle: String,
    /// Where to probe.
    pub nfs: SocketAddr,
    /// Whether clients are answered.
    pub serving: bool,
    /// In which generation; off duty the newest one that was heard of.
    pub generation: u64,
    /// The generation by which the port was put out of service.
    #[serde(skip)]
    pub refused_by: Option<u64>,
}

impl Standing {
    fn line(&self) -> Value {
        let mut line = json!(self);
        line["event"] = "up".into();
        line
    }
}

/// Lines for one who listens.
pub fn lines(standing: watch::Receiver<Standing>) -> Lines {
    let first = (standing, None, Vec::new());
    Box::pin(stream::unfold(first, |(mut standing, mut told, mut left)| async move {
        while left.is_empty() {
            if told.is_some() && standing.changed().await.is_err() {
                return None;
            }
            let now = standing.borrow_and_update().clone();
            let refused_before = told.as_ref().and_then(|told: &Standing| told.refused_by);
            if let Some(generation) = now.refused_by.filter(|_| now.refused_by != refused_before) {
                left.push(json!({ "event": "refused", "generation": generation }));
            }
            // The last one is told first: who begins to listen hears how the port stands, and later why it has changed.
            let place = if told.is_none() { left.len() } else { 0 };
            left.insert(place, now.line());
            told = Some(now);
        }
        left.pop().map(|line| (line, (standing, told, left)))
    }))
}

/// A handle as digits.
pub fn digits(handle: &Handle) -> String {
    format!("{handle:?}")
}

/// Where a server that listens at `address` is reached from this machine.
pub fn reached_at(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(at) if at.ip().is_unspecified() => (Ipv4Addr::LOCALHOST, at.port()).into(),
        SocketAddr::V6(at) if at.ip().is_unspecified() => (Ipv6Addr::LOCALHOST, at.port()).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, StreamExt};

    use super::*;

    fn standing() -> Standing {
        Standing {
            caught_up: true,
            mirrored: false,
            owed: 0,
            probe_handle: "02".to_owned(),
            nfs: reached_at("0.0.0.0:2049".parse().unwrap()),
            serving: false,
            generation: 7,
            refused_by: None,
        }
    }

    /// FO-3: the judge hears at once how the port stands, then of every change, and that it was put out of service.
    #[tokio::test]
    async fn lines_are_as_documented() {
        let now = watch::Sender::new(standing());
        let mut lines = lines(now.subscribe());
        let up = |serving, generation| {
            json!({
                "event": "up", "caught_up": true, "mirrored": false, "owed": 0, "probe_handle": "02",
                "nfs": "127.0.0.1:2049",
                "serving": serving, "generation": generation,
            })
        };
        assert_eq!(lines.next().await, Some(up(false, 7)));
        assert!(lines.next().now_or_never().is_none());
        now.send_modify(|standing| standing.serving = true);
        assert_eq!(lines.next().await, Some(up(true, 7)));
        now.send_modify(|standing| {
            *standing = Standing { refused_by: Some(9), generation: 9, ..self::standing() }
        });
        assert_eq!(lines.next().await, Some(json!({ "event": "refused", "generation": 9 })));
        assert_eq!(lines.next().await, Some(up(false, 9)));
        let mut later = self::lines(now.subscribe());
        assert_eq!(later.next().await, Some(up(false, 9)));
        assert_eq!(later.next().await, Some(json!({ "event": "refused", "generation": 9 })));
        drop(now);
        assert_eq!(lines.next().await, None);
    }
}
