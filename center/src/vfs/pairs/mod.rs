//! Pairs of ports: which generation is in force, and who has a lease (FO-11). The rules are [`lease`]'s; here they meet
//! the database.
//!
//! Each new generation also counts as a change of its customer's access, so that object managers hear of it by the same
//! news.

mod lease;
#[cfg(test)]
mod tests;

pub use lease::Lease;

use protocol::id::CustomerId;
use protocol::pair::{
    Generation, LEASE_MS_MAX, LeaseAnswer, LeaseQuestion, Member, PAIRS_MAX, PairName, Stamp,
};
use protocol::vfs::{VfsError, VfsErrorCode};

use super::access;
use super::engine::{Columns, Database, values};
use super::failure::{Failure, StoreError};

/// A pair, as an operator is shown it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Whose.
    pub customer: CustomerId,
    /// What he calls it.
    pub name: PairName,
    /// What is known of it.
    pub lease: Lease,
}

/// Answers what a port asks about its pair's lease.
///
/// # Errors
/// [`VfsErrorCode::Invalid`]: too long a lease, one pair too many, or the generation is the other port's.
pub fn ask(
    db: &dyn Database,
    customer: CustomerId,
    pair: &PairName,
    member: Member,
    question: LeaseQuestion,
) -> Result<LeaseAnswer, Failure> {
    if let LeaseQuestion::Acquire { lease_ms, .. } | LeaseQuestion::Renew { lease_ms, .. } = question
        && lease_ms > LEASE_MS_MAX
    {
        return Err(Failure::new(VfsErrorCode::Invalid, "a lease has at most 60,000 ms"));
    }
    let known = find(db, customer, pair)?;
    let asked = known.unwrap_or_default().ask(member, question);
    let (answer, next) = asked.map_err(|lease::NotYours| {
        let text = "this generation was granted to the other port of the pair: one is `a`, the other `b`";
        Failure::new(VfsErrorCode::Invalid, text)
    })?;
    put(db, customer, pair, known, next)?;
    Ok(answer)
}

/// Whether a change may be made that is asked for in this generation; looked at in the transaction that makes it. One
/// that is not known here is believed: whoever takes over from it has to say so first ([`ask`]).
///
/// # Errors
/// [`VfsErrorCode::Superseded`]: a newer one is in force.
pub fn admit(db: &dyn Database, customer: CustomerId, stamp: &Stamp) -> Result<(), Failure> {
    let in_force = in_force(db, customer, &stamp.pair)?;
    match stamp.generation < in_force {
        true => Err(Failure::Refused(VfsError::superseded(in_force))),
        false => Ok(()),
    }
}

/// Takes the lease of a pair back, whoever has it, for an operator who knows that he is dead; the pair since.
///
/// # Errors
/// [`StoreError::NoSuchPair`].
pub fn release(db: &dyn Database, customer: CustomerId, name: &PairName) -> Result<Pair, StoreError> {
    let known = find(db, customer, name)?.ok_or_else(|| StoreError::NoSuchPair(name.clone()))?;
    let lease = known.released();
    save(db, customer, name, lease)?;
    Ok(Pair { customer, name: name.clone(), lease })
}

/// All of them, by customer and name.
pub fn list(db: &dyn Database) -> Result<Vec<Pair>, StoreError> {
    let sql = format!("SELECT {COLUMNS}, customer, name FROM port_pair ORDER BY customer, name");
    let pairs = db.list(&sql, &[], |row| {
        let name = named(row, 6)?;
        Ok(Pair { customer: CustomerId(row.get(5)?), name, lease: from_columns(row)? })
    })?;
    Ok(pairs)
}

/// The generations in force of a customer's pairs; at most [`PAIRS_MAX`].
pub fn generations(db: &dyn Database, customer: CustomerId) -> Result<Vec<Stamp>, StoreError> {
    db.list(
        "SELECT generation, name FROM port_pair WHERE customer = ?1 ORDER BY name",
        values![customer.0],
        |row| Ok(Stamp { pair: named(row, 1)?, generation: Generation(row.get(0)?) }),
    )
}

/// Has nobody go on with a generation that he has, for there may be later ones that this directory knows nothing of: so
/// many of them.
pub fn forget_holders(db: &dyn Database, leap: u64) -> Result<(), StoreError> {
    for Pair { customer, name, lease } in list(db)? {
        save(db, customer, &name, lease.forgotten(leap))?;
        access::changed(db, customer)?;
    }
    Ok(())
}

/// The generation in force; 0 for a pair that is not known.
pub fn in_force(db: &dyn Database, customer: CustomerId, pair: &PairName) -> Result<Generation, StoreError> {
    Ok(find(db, customer, pair)?.unwrap_or_default().generation)
}

fn put(
    db: &dyn Database,
    customer: CustomerId,
    name: &PairName,
    known: Option<Lease>,
    next: Lease,
) -> Result<(), Failure> {
    let before = known.unwrap_or_default();
    if next == before {
        return Ok(());
    }
    if known.is_none() {
        let count: Option<u64> =
            db.first("SELECT count(*) FROM port_pair WHERE customer = ?1", values![customer.0], |row| {
                row.get(0)
            })?;
        if count.is_some_and(|count| count >= PAIRS_MAX as u64) {
            return Err(Failure::new(VfsErrorCode::Invalid, "a customer has at most 256 pairs of ports"));
        }
    }
    save(db, customer, name, next)?;
    match next.generation == before.generation {
        true => Ok(()),
        false => Ok(access::changed(db, customer)?),
    }
}

fn save(db: &dyn Database, customer: CustomerId, name: &PairName, lease: Lease) -> Result<(), StoreError> {
    let Lease { generation, holder, held, renewals, lease_ms } = lease;
    db.execute(
        "INSERT INTO port_pair (customer, name, generation, holder, held, renewals, lease_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (customer, name) DO UPDATE SET generation = excluded.generation, holder = excluded.holder,
             held = excluded.held, renewals = excluded.renewals, lease_ms = excluded.lease_ms",
        values![
            customer.0,
            name.as_str(),
            generation.0,
            holder.map(Member::as_str),
            u32::from(held),
            renewals,
            lease_ms
        ],
    )
}

fn find(db: &dyn Database, customer: CustomerId, name: &PairName) -> Result<Option<Lease>, StoreError> {
    db.first(
        &format!("SELECT {COLUMNS} FROM port_pair WHERE customer = ?1 AND name = ?2"),
        values![customer.0, name.as_str()],
        from_columns,
    )
}

const COLUMNS: &str = "generation, holder, held, renewals, lease_ms";

fn from_columns(row: &dyn Columns) -> Result<Lease, StoreError> {
    let holder = row.get::<Option<String>>(1)?.map(|text| Member::parse(&text));
    Ok(Lease {
        generation: Generation(row.get(0)?),
        holder: holder.map(|holder| holder.ok_or(StoreError::Unreadable { column: 1 })).transpose()?,
        held: row.get(2)?,
        renewals: row.get(3)?,
        lease_ms: row.get(4)?,
    })
}

fn named(row: &dyn Columns, column: usize) -> Result<PairName, StoreError> {
    PairName::parse(&row.get::<String>(column)?).ok_or(StoreError::Unreadable { column })
}
