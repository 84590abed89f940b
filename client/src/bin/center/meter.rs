//! A progress bar for what takes longer than a second, where somebody watches.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

/// Nobody needs a bar for less.
const SHOW_AFTER: Duration = Duration::from_secs(1);
const DRAWS_PER_SECOND: u8 = 8;

/// Counts the bytes of one transfer, or whatever else is done one by one. Clones count together.
#[derive(Clone)]
pub(crate) struct Meter {
    bar: ProgressBar,
    begun: Arc<Instant>,
    watched: bool,
}

impl Meter {
    /// Of a transfer of so many bytes, called so.
    pub(crate) fn new(name: &str, bytes: u64) -> Self {
        Self::with(name, Some(bytes), "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
    }

    /// Of things that nobody has counted before.
    pub(crate) fn of_things(name: &str) -> Self {
        Self::with(name, None, "{msg} {human_pos} ({elapsed})")
    }

    fn with(name: &str, total: Option<u64>, form: &str) -> Self {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template(form) {
            bar.set_style(style);
        }
        bar.set_message(name.to_owned());
        Self { bar, begun: Arc::new(Instant::now()), watched: std::io::stderr().is_terminal() }
    }

    /// So many more.
    pub(crate) fn add(&self, bytes: usize) {
        if self.watched && self.bar.is_hidden() && self.begun.elapsed() > SHOW_AFTER {
            self.bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND));
        }
        self.bar.inc(bytes as u64);
    }

    /// From the start again.
    pub(crate) fn restart(&self) {
        self.bar.set_position(0);
    }

    /// It is over: the bar goes.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
