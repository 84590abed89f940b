//! PORT-LEASE: what a port asks about the lease of its pair, and the answer.

use super::XmlError;
use super::element::{Element, number};
use super::writer::Writer;
use crate::pair::{Generation, LeaseAnswer, LeaseQuestion, Member, PairName};
use crate::vfs::Operation;

pub(super) fn generation(text: &str) -> Option<Generation> {
    number(text).map(Generation)
}

pub(super) fn write_port_lease(
    writer: &mut Writer,
    pair: &PairName,
    member: Member,
    question: &LeaseQuestion,
) {
    writer.attribute("pair", pair).attribute("member", member);
    match question {
        LeaseQuestion::Acquire { from, renewals, lease_ms } => writer
            .start("acquire")
            .attribute("from", from)
            .optional("renewals", *renewals)
            .attribute("lease-ms", lease_ms),
        LeaseQuestion::Renew { generation, lease_ms } => {
            writer.start("renew").attribute("generation", generation).attribute("lease-ms", lease_ms)
        }
        LeaseQuestion::Release { generation, renewals } => {
            writer.start("release").attribute("generation", generation).optional("renewals", *renewals)
        }
        LeaseQuestion::Ping => writer.start("ping"),
    };
    writer.end();
}

pub(super) fn read_port_lease(element: &mut Element<'_>) -> Result<Operation, XmlError> {
    let pair = element.required("pair", PairName::parse)?;
    let member = element.required("member", Member::parse)?;
    let mut child = element.child().ok_or_else(|| element.missing("acquire, renew, release or ping"))?;
    let question = match child.name {
        "acquire" => LeaseQuestion::Acquire {
            from: child.required("from", generation)?,
            renewals: child.optional("renewals", number)?,
            lease_ms: child.required("lease-ms", number)?,
        },
        "renew" => LeaseQuestion::Renew {
            generation: child.required("generation", generation)?,
            lease_ms: child.required("lease-ms", number)?,
        },
        "release" => LeaseQuestion::Release {
            generation: child.required("generation", generation)?,
            renewals: child.optional("renewals", number)?,
        },
        "ping" => LeaseQuestion::Ping,
        _ => return Err(child.unknown_in("port-lease")),
    };
    child.finish()?;
    Ok(Operation::PortLease { pair, member, question })
}

pub(super) fn write_lease(writer: &mut Writer, answer: &LeaseAnswer) {
    match answer {
        LeaseAnswer::Granted { generation, lease_ms, renewals } => writer
            .start("granted")
            .attribute("generation", generation)
            .attribute("lease-ms", lease_ms)
            .attribute("renewals", renewals),
        LeaseAnswer::Held { generation, renewals, lease_ms } => writer
            .start("held")
            .attribute("generation", generation)
            .attribute("renewals", renewals)
            .attribute("lease-ms", lease_ms),
        LeaseAnswer::Superseded { generation } => {
            writer.start("superseded").attribute("generation", generation)
        }
        LeaseAnswer::Released => writer.start("released"),
        LeaseAnswer::InForce { generation } => writer.start("in-force").attribute("generation", generation),
    };
    writer.end();
}

pub(super) fn read_lease(element: &mut Element<'_>) -> Result<LeaseAnswer, XmlError> {
    let mut child = element.child().ok_or_else(|| element.missing("answer"))?;
    let answer = match child.name {
        "granted" => LeaseAnswer::Granted {
            generation: child.required("generation", generation)?,
            lease_ms: child.required("lease-ms", number)?,
            renewals: child.required("renewals", number)?,
        },
        "held" => LeaseAnswer::Held {
            generation: child.required("generation", generation)?,
            renewals: child.required("renewals", number)?,
            lease_ms: child.required("lease-ms", number)?,
        },
        "superseded" => LeaseAnswer::Superseded { generation: child.required("generation", generation)? },
        "released" => LeaseAnswer::Released,
        "in-force" => LeaseAnswer::InForce { generation: child.required("generation", generation)? },
        _ => return Err(child.unknown_in("lease")),
    };
    child.finish()?;
    Ok(answer)
}
