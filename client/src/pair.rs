//! What a failover pair of ports asks: whose turn it is, and that changes of the other one count no more (FO-11).

use http::HeaderName;
use protocol::pair::{LeaseAnswer, LeaseQuestion, Member, PairName, Stamp};
use protocol::vfs::{Answer, Operation, Request};

use crate::center::Center;
use crate::error::ClientError;
use crate::object::header;
use crate::transport::Exchange;

const STAMP: HeaderName = HeaderName::from_static("x-port-stamp");

impl Center {
    /// Asks about the lease of a pair. It may be asked again: that does no harm. A lease counts from before this call.
    ///
    /// ```no_run
    /// use protocol::pair::{Generation, LeaseAnswer, LeaseQuestion, Member, PairName};
    ///
    /// # async fn example(center: client::Center, pair: PairName) -> Result<(), client::ClientError> {
    /// let from = Generation(6);
    /// let question = LeaseQuestion::Acquire { from, renewals: None, lease_ms: 300 };
    /// match center.port_lease(&pair, Member::A, question).await? {
    ///     LeaseAnswer::Granted { generation, .. } => println!("active in generation {generation}"),
    ///     LeaseAnswer::Held { renewals, lease_ms, .. } => {
    ///         println!("ask again in {lease_ms} ms, with renewals {renewals}")
    ///     }
    ///     other => println!("passive: {other:?}"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::Unavailable`]: no answer until the deadline, and nobody knows what was granted. Ask again with the
    /// same question. [`ClientError::Vfs`]: both ports call themselves the same member, or a bound is exceeded.
    pub async fn port_lease(
        &self,
        pair: &PairName,
        member: Member,
        question: LeaseQuestion,
    ) -> Result<LeaseAnswer, ClientError> {
        let operation = Operation::PortLease { pair: pair.clone(), member, question };
        match self.operate(Request { key: None, operation }).await?.answer {
            Answer::Lease(answer) => Ok(answer),
            _ => Err(ClientError::Invalid("the center did not answer what was asked".to_owned())),
        }
    }

    /// Asks for changes, through every clone, as the active port of this generation from now on; `None` for a port
    /// without a peer. The center refuses them when a newer generation is in force ([`ClientError::Superseded`]). What is
    /// on its way ends with the stamp before; changes that still wait to be sent are not sent any more, and fail as if
    /// they were not answered.
    ///
    /// ```no_run
    /// use protocol::pair::{Generation, PairName, Stamp};
    ///
    /// # fn example(center: client::Center, pair: PairName) {
    /// center.set_stamp(Some(Stamp { pair, generation: Generation(7) }));
    /// # }
    /// ```
    pub fn set_stamp(&self, stamp: Option<Stamp>) {
        self.replace_stamp(stamp);
        self.gathering().forget_waiting();
    }

    /// Puts the stamp on a request that changes something.
    pub(crate) fn stamp(&self, exchange: &mut Exchange) -> Result<(), ClientError> {
        if let Some(stamp) = self.stamp_now() {
            exchange.headers.insert(STAMP, header(&stamp.to_string())?);
        }
        Ok(())
    }
}
