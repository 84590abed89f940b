//! What changes: usage and watch.

use client::Center;
use protocol::id::FeedPosition;
use protocol::vfs::{Answer, Answered, Change, Operation, Request, Usage};

use crate::Outcome;
use crate::files::{print, print_while_read};
use crate::remote::unexpected;

/// How long the center is asked to wait for a change, in milliseconds: its own longest time.
const WAIT_MS: u32 = 30_000;

pub(crate) async fn usage(center: &Center) -> Outcome {
    let (usage, position) = ask_usage(center).await?;
    let quota = |quota: Option<u64>| quota.map_or("none".to_owned(), |quota| quota.to_string());
    let lines = [
        format!("bytes used   {}", usage.bytes_used),
        format!("bytes quota  {}", quota(usage.bytes_quota)),
        format!("files used   {}", usage.files_used),
        format!("files quota  {}", quota(usage.files_quota)),
        format!("bytes free   {}", usage.bytes_free),
        format!("position     {}", position.0),
    ];
    print(lines.into_iter())
}

pub(crate) async fn watch(center: &Center, since: Option<u64>, once: bool) -> Outcome {
    let mut since = match since {
        Some(since) => FeedPosition(since),
        None => ask_usage(center).await?.1,
    };
    loop {
        let wait_ms = if once { 0 } else { WAIT_MS };
        match ask(center, Operation::Changes { since, wait_ms }).await?.answer {
            Answer::Changes { changes, position, reset } => {
                let forgotten = reset.then(|| format!("{} reset", position.0));
                let is_read = print_while_read(forgotten.into_iter().chain(changes.iter().map(line)))?;
                if !is_read || once && (changes.is_empty() || reset) {
                    return Ok(());
                }
                since = position;
            }
            answer => return Err(unexpected(&answer).to_string()),
        }
    }
}

fn line(change: &Change) -> String {
    let version = change.version.map_or("gone".to_owned(), |version| version.to_string());
    format!("{} {} {version}", change.position.0, change.id)
}

async fn ask_usage(center: &Center) -> Result<(Usage, FeedPosition), String> {
    let answered = ask(center, Operation::Usage).await?;
    match answered.answer {
        Answer::Usage(usage) => Ok((usage, answered.position)),
        answer => Err(unexpected(&answer).to_string()),
    }
}

async fn ask(center: &Center, operation: Operation) -> Result<Answered, String> {
    center.operate(Request { key: None, operation }).await.map_err(|error| error.to_string())
}
