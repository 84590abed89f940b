//! Talking to the port's process: watching it, telling it what to be, and asking its NFS service like a client.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use control::message::Request;
use control::socket;
use control::watching::Watching;
use nfs::filesystem::Handle;
use nfs::probe::Probe;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::mailbox::{Mailbox, News};
use crate::health::watch::PortProcess;
use crate::machine::event::{Generation, PortEvent};

/// How long after a failure the port is tried again.
const RETRY: Duration = Duration::from_millis(50);

/// What the port is told to be: the arguments of its operation `pair`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "role", rename_all = "lowercase")]
pub(super) enum Role {
    /// Serve, in this generation.
    Active {
        /// As the center granted it.
        generation: u64,
    },
    /// Serve nobody.
    Passive,
}

/// A line of the port's operation `watch`.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Line {
    Up { caught_up: bool, owed: u64, probe_handle: String, nfs: SocketAddr, serving: bool, generation: u64 },
    Refused { generation: u64 },
}

/// How the service is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rhythm {
    /// How often.
    pub(super) period: Duration,
    /// How many periods one question may take; each but the last is told as a miss.
    pub(super) periods_max: u32,
}

/// Watches the port for ever; each end of its process is told.
pub(super) async fn watch_port(state_dir: PathBuf, rhythm: Rhythm, process: PortProcess, mailbox: Mailbox) {
    loop {
        match Watching::start(&state_dir, "watch").await {
            Ok(watching) => {
                process.store(watching.process().unwrap_or(0), Ordering::Relaxed);
                let why = follow(watching, rhythm, &mailbox).await;
                mailbox.post(News::Port(PortEvent::Down));
                process.store(0, Ordering::Relaxed);
                tracing::warn!("the port is gone: {why}");
            }
            Err(error) => tracing::debug!("the port is not there: {error}"),
        }
        sleep(RETRY).await;
    }
}

/// Until the connection ends; why it did.
async fn follow(mut watching: Watching, rhythm: Rhythm, mailbox: &Mailbox) -> String {
    let mut probing = Probing::default();
    loop {
        let line = match watching.next().await {
            Ok(Some(line)) => line,
            Ok(None) => return "its process has ended".to_owned(),
            Err(error) => return error.to_string(),
        };
        match serde_json::from_value(line) {
            Ok(Line::Refused { generation }) => {
                mailbox.post(News::Port(PortEvent::Refused(Generation(generation))));
            }
            Ok(Line::Up { caught_up, owed, probe_handle, nfs, serving, generation }) => {
                mailbox.post(News::Port(PortEvent::Up { caught_up, owed }));
                let does =
                    if serving { PortEvent::Active(Generation(generation)) } else { PortEvent::Passive };
                mailbox.post(News::Port(does));
                probing.of(nfs, &probe_handle, rhythm, mailbox);
            }
            Err(error) => return format!("it says what this judge does not understand: {error}"),
        }
    }
}

/// The task that asks the service, of which there is one.
#[derive(Debug, Default)]
struct Probing(Option<(SocketAddr, String, AbortHandle)>);

impl Probing {
    fn of(&mut self, address: SocketAddr, handle: &str, rhythm: Rhythm, mailbox: &Mailbox) {
        if self.0.as_ref().is_some_and(|(asked, root, _)| *asked == address && root == handle) {
            return;
        }
        self.end();
        // A port that has never met its center has no root folder to ask about.
        let Some(root) = parse_handle(handle) else { return };
        let task = tokio::spawn(probe_service(Probe::new(address, root), rhythm, mailbox.clone()));
        self.0 = Some((address, handle.to_owned(), task.abort_handle()));
    }

    fn end(&mut self) {
        if let Some((_, _, task)) = self.0.take() {
            task.abort();
        }
    }
}

impl Drop for Probing {
    fn drop(&mut self) {
        self.end();
    }
}

fn parse_handle(digits: &str) -> Option<Handle> {
    let pairs = digits.as_bytes().chunks(2);
    let bytes: Option<Vec<u8>> =
        pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect();
    bytes
        .filter(|bytes| !bytes.is_empty() && digits.len().is_multiple_of(2))
        .and_then(|bytes| Handle::new(&bytes))
}

/// Asks in each period. A question may take longer, as on a busy machine it will: the periods in between are misses.
async fn probe_service(mut probe: Probe, rhythm: Rhythm, mailbox: Mailbox) {
    let mut ticks = interval(rhythm.period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let mut question = pin!(probe.ask());
        for _ in 0..rhythm.periods_max {
            let answer = tokio::select! {
                answer = &mut question => Some(answer),
                _ = ticks.tick() => None,
            };
            let event = if matches!(answer, Some(Ok(()))) { PortEvent::Answered } else { PortEvent::Silent };
            mailbox.post(News::Port(event));
            if let Some(answer) = answer {
                if let Err(error) = answer {
                    tracing::debug!("the NFS service: {error}");
                }
                break;
            }
        }
    }
}

/// Tells the port what it is to be, whenever that changes, until it is. What it has become, it says to the watch.
pub(super) async fn command_port(state_dir: PathBuf, mut wanted: watch::Receiver<Option<Role>>) {
    loop {
        let Some(role) = *wanted.borrow_and_update() else {
            if wanted.changed().await.is_err() {
                return;
            }
            continue;
        };
        let arguments = serde_json::to_value(role).unwrap_or_default();
        let request = Request::new("pair", arguments);
        let told = socket::ask("storage port", &state_dir, &request);
        let is_done = tokio::select! {
            // A port that hangs must not keep the next command waiting.
            told = told => match told {
                Ok(_) => true,
                Err(error) => {
                    tracing::debug!(?role, "the port did not obey: {error}");
                    false
                }
            },
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
                continue;
            }
        };
        let retry = async {
            if is_done {
                std::future::pending::<()>().await;
            }
            sleep(RETRY).await;
        };
        tokio::select! {
            () = retry => {}
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_orders_are_as_the_port_documents_them() {
        let line = |text: &str| serde_json::from_str::<Line>(text).unwrap();
        let up = r#"{"event":"up","caught_up":true,"owed":5,"probe_handle":"02ff","nfs":"127.0.0.1:2049",
            "serving":true,"generation":7,"of_a_later_version":1}"#;
        let expected = Line::Up {
            caught_up: true,
            owed: 5,
            probe_handle: "02ff".into(),
            nfs: "127.0.0.1:2049".parse().unwrap(),
            serving: true,
            generation: 7,
        };
        assert_eq!(line(up), expected);
        assert_eq!(line(r#"{"event":"refused","generation":8}"#), Line::Refused { generation: 8 });
        let order = |role| serde_json::to_string(&role).unwrap();
        assert_eq!(order(Role::Active { generation: 7 }), r#"{"role":"active","generation":7}"#);
        assert_eq!(order(Role::Passive), r#"{"role":"passive"}"#);
    }

    #[test]
    fn a_handle_is_read_from_its_digits() {
        assert_eq!(parse_handle("02ff").unwrap().as_bytes(), [2, 255]);
        for bad in ["", "0", "zz", "02f", &"00".repeat(65), "é0"] {
            assert!(parse_handle(bad).is_none(), "{bad}");
        }
    }
}
