//! Who holds which object (REF-1 to REF-4, DOSP-7).

use super::operation;
use crate::digest::{Content, Fingerprint};
use crate::dosp::wire::{choice, layout};
use crate::dosp::{LACKING_MAX, Malformed, Message, REFERENCES_MAX, Reader, Reference};
use crate::id::{CustomerId, Token};

operation! {
    /// Gives a reference up, on all disks of the node; the object goes with its last one. A reference that is not there
    /// is no failure (REF-3).
    Delete = 4 "delete": DeleteIn => ()
}

/// In of [`Delete`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeleteIn {
    /// Which.
    pub reference: Reference,
}
layout!(DeleteIn { reference });

operation! {
    /// Makes what was staged on this connection an object of the node, with these references, durably. Staged bytes
    /// that are not this content: MISMATCH. Other bytes of this name on the node: COLLISION. A reference that was given up
    /// since the staging began is not taken again: UNAVAILABLE.
    Keep = 16 "keep": KeepIn => KeepOut
}

/// In of [`Keep`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeepIn {
    /// What was staged.
    pub content: Content,
    /// Who holds it, at most [`REFERENCES_MAX`]; of more, the others follow by [`Hold`].
    pub references: Vec<KeptReference>,
    /// A copy of another node's object, made by repair, not an upload: what was given up here since stays given up.
    pub replica: bool,
}
layout!(KeepIn { content, references <= REFERENCES_MAX, replica });

/// A reference to the object it stands beside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptReference {
    /// Whose.
    pub customer: CustomerId,
    /// Which upload's.
    pub token: Token,
    /// When it was made or last renewed, in seconds since the epoch; 0 for now.
    pub renewed: u64,
}
layout!(KeptReference { customer, token, renewed });

/// Out of [`Keep`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepOut {
    /// The disk it lies on.
    pub disk: u32,
}
layout!(KeepOut { disk });

operation! {
    /// A reference to an object that the node may have, on all its disks. Other bytes of this name: COLLISION.
    Hold = 17 "hold": HoldIn => HoldOut
}

/// In of [`Hold`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldIn {
    /// Which object.
    pub content: Content,
    /// Whose.
    pub customer: CustomerId,
    /// Which upload's.
    pub token: Token,
    /// What for.
    pub purpose: Purpose,
    /// Seconds since an upload began ([`Purpose::Add`]); 0 for other purposes. A reference that was given up since is
    /// not taken again: UNAVAILABLE.
    pub age: u64,
}
layout!(HoldIn { content, customer, token, purpose, age });

/// What a reference is held for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// An upload of bytes that the node has already: makes the reference.
    Add,
    /// A row is about to rely on the reference: makes none, but renews one that gets old.
    Keep,
    /// A row has the reference and the node lost it: makes it again (REF-4).
    Restore,
}
choice!(Purpose { Add = 0, Keep = 1, Restore = 2 });

/// Out of [`Hold`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldOut {
    /// Whether the node has the object with this reference now.
    pub held: bool,
}
layout!(HoldOut { held });

operation! {
    /// A page of the node's references, in order, each once; an empty one at the end.
    References = 20 "references": ReferencesIn => ReferencesOut
}

/// In of [`References`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReferencesIn {
    /// The last one seen.
    pub after: Option<Reference>,
    /// Most wanted, 1 to [`REFERENCES_MAX`].
    pub limit: u32,
}

impl Message for ReferencesIn {
    fn encode(&self, to: &mut Vec<u8>) {
        self.after.encode(to);
        self.limit.encode(to);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { after: from.get()?, limit: from.limit(REFERENCES_MAX as u32)? })
    }
}

/// Out of [`References`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferencesOut {
    /// At most [`REFERENCES_MAX`].
    pub references: Vec<Held>,
}
layout!(ReferencesOut { references <= REFERENCES_MAX });

/// A reference, and its age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Which.
    pub reference: Reference,
    /// When it was made or last renewed, in seconds since the epoch; of several copies, the earliest.
    pub renewed: u64,
}
layout!(Held { reference, renewed });

operation! {
    /// What of these rows' objects and references is here. Changes nothing.
    Lacking = 21 "lacking": LackingIn => LackingOut
}

/// In of [`Lacking`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LackingIn {
    /// At most [`LACKING_MAX`].
    pub rows: Vec<RowReference>,
}
layout!(LackingIn { rows <= LACKING_MAX });

/// What a row of the VFS holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowReference {
    /// The object.
    pub content: Content,
    /// Whose row.
    pub customer: CustomerId,
    /// Its reference's token.
    pub token: Token,
}
layout!(RowReference { content, customer, token });

/// Out of [`Lacking`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LackingOut {
    /// One for each row, in order.
    pub rows: Vec<Presence>,
}
layout!(LackingOut { rows <= LACKING_MAX });

/// What a node has of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Presence {
    /// Not the object.
    Absent,
    /// The object, and the reference with every copy that can be written.
    Held,
    /// The object, but a copy of it without the reference.
    Lacking,
}
choice!(Presence { Absent = 0, Held = 1, Lacking = 2 });

operation! {
    /// Gives up a reference that no row has, unless it was renewed meanwhile (REF-4).
    ReleaseOrphan = 22 "release-orphan": ReleaseOrphanIn => ReleaseOrphanOut
}

/// In of [`ReleaseOrphan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReleaseOrphanIn {
    /// Which.
    pub reference: Reference,
    /// Seconds since the epoch: one renewed then or later stays.
    pub renewed_before: u64,
}
layout!(ReleaseOrphanIn { reference, renewed_before });

/// Out of [`ReleaseOrphan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReleaseOrphanOut {
    /// Whether it was given up.
    pub released: bool,
}
layout!(ReleaseOrphanOut { released });

operation! {
    /// Whether a customer has any reference to an object on the node, be the object there or not.
    Entitled = 29 "entitled": EntitledIn => EntitledOut
}

/// In of [`Entitled`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntitledIn {
    /// Who.
    pub customer: CustomerId,
    /// To what.
    pub fingerprint: Fingerprint,
}
layout!(EntitledIn { customer, fingerprint });

/// Out of [`Entitled`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntitledOut {
    /// Whether there is one.
    pub entitled: bool,
}
layout!(EntitledOut { entitled });
