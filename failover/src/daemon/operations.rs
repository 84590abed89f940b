//! What the judge's control socket answers.
//!
//! | operation | arguments | result |
//! |---|---|---|
//! | `status` | – | [`super::status::Status`] |
//! | `takeover` | `{"force": bool}` | what became of it, in words |
//! | `standby` | – | the same |
//! | `maintenance` | `{"on": bool}` | the same |

use control::Operations;
use serde_json::Value;
use tokio::sync::oneshot;

use super::mailbox::{Mailbox, News};
use crate::machine::event::Order;

/// All of them.
pub(super) fn operations(mailbox: &Mailbox) -> Operations {
    let mut operations = Operations::default();
    let to = mailbox.clone();
    operations.add("status", move |_| {
        let mailbox = to.clone();
        async move {
            let status = ask(&mailbox, News::Status).await?;
            serde_json::to_value(status).map_err(|error| error.to_string())
        }
    });
    let mut add = |name, order: fn(&Value) -> Result<Order, String>| {
        let to = mailbox.clone();
        operations.add(name, move |arguments: Value| {
            let (mailbox, order) = (to.clone(), order(&arguments));
            async move {
                let order = order?;
                ask(&mailbox, |answer| News::Order(order, answer)).await?.map(Value::from)
            }
        });
    };
    add("takeover", |arguments| Ok(Order::Takeover { force: flag(arguments, "force")? }));
    add("standby", |_| Ok(Order::Standby));
    add("maintenance", |arguments| Ok(Order::Maintenance(flag(arguments, "on")?)));
    operations
}

fn flag(arguments: &Value, name: &str) -> Result<bool, String> {
    let flag = arguments.get(name).and_then(Value::as_bool);
    flag.ok_or_else(|| format!("`arguments` must have `{name}`, true or false"))
}

/// Asks the judge's thread.
pub(super) async fn ask<T>(
    mailbox: &Mailbox,
    news: impl FnOnce(oneshot::Sender<T>) -> News,
) -> Result<T, String> {
    let (answer, answered) = oneshot::channel();
    mailbox.post(news(answer));
    answered.await.map_err(|_| "the judge is ending".to_owned())
}
