//! The last events of the log, in memory, for who looks at the running daemon: warnings and errors of everything, and what
//! certain modules tell.
//!
//! A layer beside the one that writes the log. Bounded: so many events, each of so many bytes. A secret is in no event,
//! for none is in the log.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Most events that are kept.
const EVENTS_MAX: usize = 200;
/// Longest text of one; what is longer is cut off.
const TEXT_BYTES_MAX: usize = 400;

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
#[derive(Clone, Debug)]
pub struct EventLog {
    /// Modules of which what is only worth knowing is kept as well.
    telling: &'static [&'static str],
    /// The clock, in nanoseconds since the epoch.
    now: fn() -> i64,
    entries: Arc<Mutex<VecDeque<Entry>>>,
}

impl EventLog {
    /// None yet. Of the modules `telling` what is only worth knowing is kept as well; `now` is the clock, in nanoseconds
    /// since the epoch.
    pub fn new(telling: &'static [&'static str], now: fn() -> i64) -> Self {
        Self { telling, now, entries: Arc::default() }
    }

    /// The newest first.
    pub fn entries(&self) -> Vec<Entry> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }

    fn note(&self, at: i64, level: Level, source: &str, text: String) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let level = level.to_string();
        if let Some(last) = entries.back_mut()
            && (&last.level, last.source.as_str(), &last.text) == (&level, source, &text)
        {
            last.at = at;
            last.times += 1;
            return;
        }
        if entries.len() == EVENTS_MAX {
            entries.pop_front();
        }
        entries.push_back(Entry { at, level, source: source.to_owned(), text, times: 1 });
    }

    fn is_kept(&self, level: &Level, target: &str) -> bool {
        let is_within = |module: &&str| {
            target.strip_prefix(*module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        *level <= Level::WARN || (*level == Level::INFO && self.telling.iter().any(is_within))
    }
}

impl<S: Subscriber> Layer<S> for EventLog {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if self.is_kept(metadata.level(), metadata.target()) {
            let mut text = Text::default();
            event.record(&mut text);
            self.note((self.now)(), *metadata.level(), metadata.target(), text.0);
        }
    }
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
        let events = EventLog::new(&["a::telling"], || 7);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(events.clone()), || {
            tracing::warn!(file = "a\nb", "not good");
            tracing::info!("of no interest");
            tracing::info!(target: "a::telling", generation = 7, "active");
            tracing::info!(target: "a::tellingly", "of another module");
            tracing::debug!(target: "a::telling", "of no interest");
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
        let events = EventLog::new(&["a::telling"], || 7);
        for number in 0..=EVENTS_MAX {
            events.note(number as i64, Level::WARN, "x", format!("{number}"));
        }
        let entries = events.entries();
        assert_eq!((entries.len(), entries[0].text.as_str()), (EVENTS_MAX, "200"));
        assert_eq!(entries[EVENTS_MAX - 1].text, "1");
        events.note(999, Level::WARN, "x", "200".to_owned());
        let newest = &events.entries()[0];
        assert_eq!((newest.times, newest.at, events.entries().len()), (2, 999, EVENTS_MAX));
    }

    #[test]
    fn a_text_has_a_bound() {
        let events = EventLog::new(&["a::telling"], || 7);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(events.clone()), || {
            tracing::warn!("{}", "ä".repeat(TEXT_BYTES_MAX));
        });
        assert_eq!(events.entries()[0].text.len(), TEXT_BYTES_MAX);
    }
}
