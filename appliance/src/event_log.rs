//! The last events of the log, in memory, for who looks at the running port: warnings and errors of everything, and what
//! tells of the pair's roles and the way to the center.
//!
//! A layer beside the one that writes the log. Bounded: so many events, each of so many bytes. A secret is in no event,
//! for none is in the log.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use protocol::id::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::host;

/// Most events that are kept.
const EVENTS_MAX: usize = 200;
/// Longest text of one; what is longer is cut off.
const TEXT_BYTES_MAX: usize = 400;
/// Of these modules what is only worth knowing is kept as well: who serves, whether the other port and the center are
/// there, what an operator did.
const TELLING: [&str; 4] =
    ["appliance::pair", "appliance::mirror", "appliance::directory_cache::feed", "appliance::status_page"];

/// One event, or several of one text that followed each other.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Entry {
    /// When it last happened: nanoseconds since the epoch.
    pub at: i64,
    /// `ERROR`, `WARN` or `INFO`.
    pub level: String,
    /// Which part of the program tells it.
    pub source: String,
    /// What.
    pub text: String,
    /// How often.
    pub times: u64,
}

/// The last events. Clones have the same ones.
#[derive(Clone, Debug, Default)]
pub struct EventLog(Arc<Mutex<VecDeque<Entry>>>);

impl EventLog {
    /// The newest first.
    pub fn entries(&self) -> Vec<Entry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }

    fn note(&self, at: Timestamp, level: Level, source: &str, text: String) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let level = level.to_string();
        if let Some(last) = entries.back_mut()
            && (&last.level, last.source.as_str(), &last.text) == (&level, source, &text)
        {
            last.at = at.0;
            last.times += 1;
            return;
        }
        if entries.len() == EVENTS_MAX {
            entries.pop_front();
        }
        entries.push_back(Entry { at: at.0, level, source: source.to_owned(), text, times: 1 });
    }
}

impl<S: Subscriber> Layer<S> for EventLog {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if is_kept(metadata.level(), metadata.target()) {
            let mut text = Text::default();
            event.record(&mut text);
            self.note(host::now(), *metadata.level(), metadata.target(), text.0);
        }
    }
}

fn is_kept(level: &Level, target: &str) -> bool {
    let is_within = |module: &&str| {
        target.strip_prefix(*module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    *level <= Level::WARN || (*level == Level::INFO && TELLING.iter().any(is_within))
}

/// An event in one line: its message, then its fields.
#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let before = if self.0.is_empty() { "" } else { " " };
        // What fails is only that there is no more room.
        let _ = match field.name() {
            "message" => {
                let fields = std::mem::take(&mut self.0);
                let after = if fields.is_empty() { "" } else { " " };
                write!(self, "{value:?}{after}{fields}")
            }
            name => write!(self, "{before}{name}={value:?}"),
        };
    }
}

/// Takes no control characters, and no more than there is room for.
impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            let letter = if letter.is_control() { ' ' } else { letter };
            if self.0.len() + letter.len_utf8() > TEXT_BYTES_MAX {
                return Err(fmt::Error);
            }
            self.0.push(letter);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn warnings_and_roles_are_kept_and_nothing_else() {
        let events = EventLog::default();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(events.clone()), || {
            tracing::warn!(file = "a\nb", "not good");
            tracing::info!("of no interest");
            tracing::info!(target: "appliance::pair", generation = 7, "active");
            tracing::info!(target: "appliance::pairing", "of another module");
            tracing::debug!(target: "appliance::pair", "of no interest");
            tracing::error!("worse");
        });
        let told: Vec<_> = events.entries().into_iter().map(|entry| (entry.level, entry.text)).collect();
        let told: Vec<_> = told.iter().map(|(level, text)| (level.as_str(), text.as_str())).collect();
        assert_eq!(
            told,
            [("ERROR", "worse"), ("INFO", "active generation=7"), ("WARN", "not good file=\"a\\nb\"")]
        );
    }

    #[test]
    fn there_is_room_for_so_many_and_no_more() {
        let events = EventLog::default();
        for number in 0..=EVENTS_MAX {
            events.note(Timestamp(number as i64), Level::WARN, "x", format!("{number}"));
        }
        let entries = events.entries();
        assert_eq!((entries.len(), entries[0].text.as_str()), (EVENTS_MAX, "200"));
        assert_eq!(entries[EVENTS_MAX - 1].text, "1");
        events.note(Timestamp(999), Level::WARN, "x", "200".to_owned());
        let newest = &events.entries()[0];
        assert_eq!((newest.times, newest.at, events.entries().len()), (2, 999, EVENTS_MAX));
    }

    #[test]
    fn a_text_has_a_bound() {
        let events = EventLog::default();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(events.clone()), || {
            tracing::warn!("{}", "ä".repeat(TEXT_BYTES_MAX));
        });
        assert_eq!(events.entries()[0].text.len(), TEXT_BYTES_MAX);
    }
}
