//! Any value of each structure.

use std::net::SocketAddr;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use protocol::digest::{Content, Digest, Fingerprint};
use protocol::dosp::announcement::New;
use protocol::dosp::heartbeat::{DiskLoad, DiskState, Heartbeat, NodeState, Roles};
use protocol::dosp::operations::*;
use protocol::dosp::{DISKS_MAX, IDS_MAX, Reference};
use protocol::id::{ClientFile, CustomerId, ObjectId, Token};
use protocol::name::Name;
use protocol::pair::{Asker, PairName, Stamp};
use protocol::srl::{Mark, Secret};
use protocol::vfs::{Upload, VfsError, VfsErrorCode};

/// Lists whose limit is large: the limits themselves are tested in [`super::limits`].
const SOME: usize = 20;

pub fn fingerprint() -> impl Strategy<Value = Fingerprint> {
    any::<[u8; 16]>().prop_map(Fingerprint)
}

pub fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest)
}

pub fn token() -> impl Strategy<Value = Token> {
    any::<[u8; 16]>().prop_map(Token)
}

pub fn customer() -> impl Strategy<Value = CustomerId> {
    any::<u32>().prop_map(CustomerId)
}

pub fn content() -> impl Strategy<Value = Content> {
    (fingerprint(), any::<u64>(), digest()).prop_map(|(fingerprint, size, digest)| Content {
        fingerprint,
        size,
        digest,
    })
}

pub fn reference() -> impl Strategy<Value = Reference> {
    (fingerprint(), customer(), token()).prop_map(|(fingerprint, customer, token)| Reference {
        fingerprint,
        customer,
        token,
    })
}

pub fn upload() -> impl Strategy<Value = Upload> {
    (content(), token()).prop_map(|(content, token)| Upload { content, token })
}

pub fn name() -> impl Strategy<Value = Name> {
    vec(any::<u8>(), 1..=255).prop_filter_map("no name", |bytes| Name::new(&bytes).ok())
}

fn text() -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..50).prop_map(|characters| characters.into_iter().collect())
}

fn vfs_error() -> impl Strategy<Value = VfsError> {
    let superseded =
        any::<u64>().prop_map(|number| VfsErrorCode::Superseded(protocol::pair::Generation(number)));
    (prop_oneof![select(&VfsErrorCode::ALL[..]), superseded], text())
        .prop_map(|(code, message)| VfsError { code, message })
}

fn stamp() -> impl Strategy<Value = Stamp> {
    ("[a-z0-9-]{1,64}", any::<u64>()).prop_map(|(pair, generation)| Stamp {
        pair: PairName::parse(&pair).unwrap(),
        generation: protocol::pair::Generation(generation),
    })
}

fn asker() -> impl Strategy<Value = Asker> {
    (customer(), option::of(stamp())).prop_map(|(customer, stamp)| Asker { customer, stamp })
}

/// `Result` has no `option::of` of its own.
fn vfs_result<T: std::fmt::Debug + Clone + 'static>(
    good: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = Result<T, VfsError>> {
    prop_oneof![good.prop_map(Ok), vfs_error().prop_map(Err)]
}

fn roles() -> impl Strategy<Value = Roles> {
    any::<(bool, bool, bool)>().prop_map(|(ddm, dosm, isn)| Roles { ddm, dosm, isn })
}

fn address() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        any::<([u8; 4], u16)>().prop_map(SocketAddr::from),
        any::<([u8; 16], u16)>().prop_map(SocketAddr::from),
    ]
}

fn disk_state() -> impl Strategy<Value = DiskState> {
    select(vec![DiskState::Online, DiskState::Offline, DiskState::Down])
}

fn node_state() -> impl Strategy<Value = NodeState> {
    select(vec![NodeState::Online, NodeState::Draining, NodeState::Failed])
}

pub fn heartbeat() -> impl Strategy<Value = Heartbeat> {
    let disk = (disk_state(), any::<u64>(), any::<u64>())
        .prop_map(|(state, bytes_free, bytes_total)| DiskLoad { state, bytes_free, bytes_total });
    let numbers = any::<(u32, bool, u32, u32)>();
    (numbers, roles(), address(), node_state(), vec(disk, 0..=DISKS_MAX)).prop_map(
        |((node, lost_references, ops_per_second, outstanding), roles, address, state, disks)| Heartbeat {
            node,
            roles,
            address,
            state,
            lost_references,
            ops_per_second,
            outstanding,
            disks,
        },
    )
}

pub fn null_out() -> impl Strategy<Value = NullOut> {
    (any::<u16>(), any::<u32>(), roles()).prop_map(|(version, node, roles)| NullOut { version, node, roles })
}

pub fn store_in() -> impl Strategy<Value = StoreIn> {
    any::<(u64, u8, bool)>().prop_map(|(length, copies, name)| StoreIn { length, copies, name })
}

pub fn store_out() -> impl Strategy<Value = StoreOut> {
    (any::<u64>(), digest(), option::of(fingerprint())).prop_map(|(size, digest, fingerprint)| StoreOut {
        size,
        digest,
        fingerprint,
    })
}

pub fn retrieve_in() -> impl Strategy<Value = RetrieveIn> {
    (option::of(customer()), fingerprint())
        .prop_map(|(customer, fingerprint)| RetrieveIn { customer, fingerprint })
}

pub fn retrieve_head() -> impl Strategy<Value = RetrieveHead> {
    (content(), any::<u64>()).prop_map(|(content, length)| RetrieveHead { content, length })
}

pub fn retrieve_range_in() -> impl Strategy<Value = RetrieveRangeIn> {
    (option::of(customer()), fingerprint(), any::<u64>(), any::<u64>()).prop_map(
        |(customer, fingerprint, offset, length)| RetrieveRangeIn { customer, fingerprint, offset, length },
    )
}

pub fn delete_in() -> impl Strategy<Value = DeleteIn> {
    reference().prop_map(|reference| DeleteIn { reference })
}

pub fn contents_in() -> impl Strategy<Value = GetContentsIn> {
    (option::of(fingerprint()), 1..=10_000u32).prop_map(|(after, limit)| GetContentsIn { after, limit })
}

pub fn contents_head() -> impl Strategy<Value = GetContentsHead> {
    any::<u64>().prop_map(|length| GetContentsHead { length })
}

pub fn contents_out() -> impl Strategy<Value = GetContentsOut> {
    option::of(fingerprint()).prop_map(|last| GetContentsOut { last })
}

pub fn disk_in() -> impl Strategy<Value = DiskIn> {
    any::<Option<u32>>().prop_map(|disk| DiskIn { disk })
}

pub fn disk_state_out() -> impl Strategy<Value = DiskStateOut> {
    vec(disk_state(), 0..=DISKS_MAX).prop_map(|states| DiskStateOut { states })
}

pub fn disk_status_out() -> impl Strategy<Value = DiskStatusOut> {
    let list = || vec(any::<u64>(), 0..=DISKS_MAX);
    (list(), list(), list(), list(), list()).prop_map(
        |(bytes_free, bytes_available, inodes_used, inodes_available, outstanding)| DiskStatusOut {
            bytes_free,
            bytes_available,
            inodes_used,
            inodes_available,
            outstanding,
        },
    )
}

pub fn keep_in() -> impl Strategy<Value = KeepIn> {
    let kept = (customer(), token(), any::<u64>()).prop_map(|(customer, token, renewed)| KeptReference {
        customer,
        token,
        renewed,
    });
    (content(), vec(kept, 0..SOME), any::<bool>()).prop_map(|(content, references, replica)| KeepIn {
        content,
        references,
        replica,
    })
}

pub fn keep_out() -> impl Strategy<Value = KeepOut> {
    any::<u32>().prop_map(|disk| KeepOut { disk })
}

pub fn hold_in() -> impl Strategy<Value = HoldIn> {
    let purpose = select(vec![Purpose::Add, Purpose::Keep, Purpose::Restore]);
    (content(), customer(), token(), purpose, any::<u64>()).prop_map(
        |(content, customer, token, purpose, age)| HoldIn { content, customer, token, purpose, age },
    )
}

pub fn hold_out() -> impl Strategy<Value = HoldOut> {
    any::<bool>().prop_map(|held| HoldOut { held })
}

pub fn locate_in() -> impl Strategy<Value = LocateIn> {
    vec(fingerprint(), 0..=IDS_MAX).prop_map(|ids| LocateIn { ids })
}

pub fn locate_out() -> impl Strategy<Value = LocateOut> {
    let located = (content(), any::<u32>(), any::<bool>()).prop_map(|(content, disk, leaving)| Located {
        content,
        disk,
        leaving,
    });
    vec(located, 0..=IDS_MAX).prop_map(|found| LocateOut { found })
}

pub fn digests_in() -> impl Strategy<Value = DigestsIn> {
    (option::of(customer()), fingerprint())
        .prop_map(|(customer, fingerprint)| DigestsIn { customer, fingerprint })
}

pub fn digests_out() -> impl Strategy<Value = DigestsOut> {
    (content(), vec(any::<u8>(), 0..200))
        .prop_map(|(content, list)| DigestsOut { content, list: list.into() })
}

pub fn references_in() -> impl Strategy<Value = ReferencesIn> {
    (option::of(reference()), 1..=1_000u32).prop_map(|(after, limit)| ReferencesIn { after, limit })
}

pub fn references_out() -> impl Strategy<Value = ReferencesOut> {
    let held = (reference(), any::<u64>()).prop_map(|(reference, renewed)| Held { reference, renewed });
    vec(held, 0..SOME).prop_map(|references| ReferencesOut { references })
}

pub fn lacking_in() -> impl Strategy<Value = LackingIn> {
    let row = (content(), customer(), token()).prop_map(|(content, customer, token)| RowReference {
        content,
        customer,
        token,
    });
    vec(row, 0..SOME).prop_map(|rows| LackingIn { rows })
}

pub fn lacking_out() -> impl Strategy<Value = LackingOut> {
    let presence = select(vec![Presence::Absent, Presence::Held, Presence::Lacking]);
    vec(presence, 0..SOME).prop_map(|rows| LackingOut { rows })
}

pub fn release_orphan_in() -> impl Strategy<Value = ReleaseOrphanIn> {
    (reference(), any::<u64>())
        .prop_map(|(reference, renewed_before)| ReleaseOrphanIn { reference, renewed_before })
}

pub fn release_orphan_out() -> impl Strategy<Value = ReleaseOrphanOut> {
    any::<bool>().prop_map(|released| ReleaseOrphanOut { released })
}

pub fn verify_in() -> impl Strategy<Value = VerifyIn> {
    fingerprint().prop_map(|fingerprint| VerifyIn { fingerprint })
}

pub fn verify_out() -> impl Strategy<Value = VerifyOut> {
    any::<(u32, u32)>().prop_map(|(good, bad)| VerifyOut { good, bad })
}

pub fn drain_in() -> impl Strategy<Value = DrainIn> {
    any::<(Option<u32>, bool)>().prop_map(|(disk, on)| DrainIn { disk, on })
}

pub fn scan_out() -> impl Strategy<Value = ScanOut> {
    any::<(u64, u64, u64)>().prop_map(|(objects, found, lost)| ScanOut { objects, found, lost })
}

fn disk_report() -> impl Strategy<Value = DiskReport> {
    let scrub = any::<(u64, u64, u64, u64)>().prop_map(|(read, damaged, began, ended)| Scrub {
        read,
        damaged,
        began,
        ended,
    });
    let numbers = any::<(bool, u64, u64, u64, u64)>();
    (text(), disk_state(), text(), numbers, scrub).prop_map(
        |(path, state, reason, (draining, bytes_free, bytes_total, objects, quarantined), scrub)| {
            DiskReport { path, state, reason, draining, bytes_free, bytes_total, objects, quarantined, scrub }
        },
    )
}

pub fn node_status() -> impl Strategy<Value = NodeStatus> {
    let numbers = any::<(u32, u64, u32, u32, bool, [u64; 3])>();
    (numbers, roles(), node_state(), text(), vec(disk_report(), 0..4)).prop_map(
        |(numbers, roles, state, version, disks)| {
            let (node, uptime_seconds, ops_per_second, outstanding, lost_references, copies) = numbers;
            NodeStatus {
                node,
                roles,
                state,
                version,
                uptime_seconds,
                ops_per_second,
                outstanding,
                lost_references,
                copies_owed: copies[0],
                copies_made: copies[1],
                copies_spare: copies[2],
                disks,
            }
        },
    )
}

pub fn members_out() -> impl Strategy<Value = MembersOut> {
    let report = (heartbeat(), any::<u64>(), any::<u64>())
        .prop_map(|(heartbeat, boot, silent_ms)| MemberReport { heartbeat, boot, silent_ms });
    vec(report, 0..4).prop_map(|members| MembersOut { members })
}

pub fn find_out() -> impl Strategy<Value = FindOut> {
    let place = any::<(u32, u32)>().prop_map(|(node, disk)| FoundPlace { node, disk });
    vec(place, 0..4).prop_map(|places| FindOut { places })
}

pub fn access_in() -> impl Strategy<Value = AccessIn> {
    customer().prop_map(|customer| AccessIn { customer })
}

pub fn access_out() -> impl Strategy<Value = AccessOut> {
    let secret = vec(any::<u8>(), 16..100).prop_map(|bytes| Secret::new(bytes).unwrap());
    let mark = any::<[u8; 16]>().prop_map(Mark);
    (vec(secret, 0..4), vec(mark, 0..4), vec(stamp(), 0..4)).prop_map(|(secrets, revoked, pairs)| AccessOut {
        secrets,
        revoked,
        pairs,
    })
}

pub fn access_news_in() -> impl Strategy<Value = AccessNewsIn> {
    any::<u64>().prop_map(|since| AccessNewsIn { since })
}

pub fn access_news_out() -> impl Strategy<Value = AccessNewsOut> {
    (any::<u64>(), vec(customer(), 0..4)).prop_map(|(until, customers)| AccessNewsOut { until, customers })
}

fn center() -> impl Strategy<Value = String> {
    "\\PC{0,16}"
}

pub fn generation() -> impl Strategy<Value = Generation> {
    (any::<u64>(), center(), any::<u64>()).prop_map(|(number, writer, first)| Generation {
        number,
        writer,
        first,
    })
}

pub fn directory_state_out() -> impl Strategy<Value = DirectoryStateOut> {
    (center(), generation(), any::<u64>(), any::<bool>()).prop_map(
        |(center, generation, position, writes)| DirectoryStateOut { center, generation, position, writes },
    )
}

pub fn pull_directory_in() -> impl Strategy<Value = PullDirectoryIn> {
    (center(), any::<u32>(), generation(), any::<u64>(), any::<u64>()).prop_map(
        |(center, schema, generation, durable, after)| PullDirectoryIn {
            center,
            schema,
            generation,
            durable,
            after,
        },
    )
}

fn entry() -> impl Strategy<Value = Entry> {
    (any::<u64>(), any::<bool>(), vec(any::<u8>(), 0..SOME)).prop_map(|(number, more, rows)| Entry {
        number,
        more,
        rows: rows.into(),
    })
}

pub fn pull_directory_out() -> impl Strategy<Value = PullDirectoryOut> {
    let lists = (vec(generation(), 0..3), vec(entry(), 0..4));
    (option::of(any::<u64>()), any::<u64>(), lists).prop_map(
        |(start_over, position, (generations, entries))| PullDirectoryOut {
            start_over,
            position,
            generations,
            entries,
        },
    )
}

pub fn copy_directory_in() -> impl Strategy<Value = CopyDirectoryIn> {
    (center(), any::<u32>(), any::<u64>(), any::<u64>())
        .prop_map(|(center, schema, copy, offset)| CopyDirectoryIn { center, schema, copy, offset })
}

pub fn copy_directory_out() -> impl Strategy<Value = CopyDirectoryOut> {
    (any::<u64>(), any::<u64>(), any::<[u8; 32]>(), vec(any::<u8>(), 0..SOME)).prop_map(
        |(copy, length, digest, bytes)| CopyDirectoryOut { copy, length, digest, bytes: bytes.into() },
    )
}

pub fn hand_over_in() -> impl Strategy<Value = HandOverIn> {
    center().prop_map(|to| HandOverIn { to })
}

pub fn forward_in() -> impl Strategy<Value = ForwardIn> {
    (customer(), vec(any::<u8>(), 0..SOME))
        .prop_map(|(customer, document)| ForwardIn { customer, document: document.into() })
}

pub fn forward_out() -> impl Strategy<Value = ForwardOut> {
    (any::<u64>(), vec(any::<u8>(), 0..SOME))
        .prop_map(|(position, document)| ForwardOut { position, document: document.into() })
}

pub fn renew_lease_in() -> impl Strategy<Value = RenewLeaseIn> {
    (center(), any::<u64>(), any::<bool>()).prop_map(|(center, generation, alone)| RenewLeaseIn {
        center,
        generation,
        alone,
    })
}

pub fn claim_lease_in() -> impl Strategy<Value = ClaimLeaseIn> {
    (center(), any::<u64>()).prop_map(|(center, generation)| ClaimLeaseIn { center, generation })
}

pub fn lease_out() -> impl Strategy<Value = LeaseOut> {
    (any::<u32>(), any::<u64>(), center()).prop_map(|(granted_ms, generation, writer)| LeaseOut {
        granted_ms,
        generation,
        writer,
    })
}

pub fn create_file_in() -> impl Strategy<Value = CreateFileIn> {
    (asker(), any::<u64>(), name(), upload()).prop_map(|(asker, parent, name, upload)| CreateFileIn {
        asker,
        parent: ObjectId(parent),
        name,
        upload,
    })
}

pub fn create_file_out() -> impl Strategy<Value = CreateFileOut> {
    vfs_result(any::<u64>().prop_map(ObjectId)).prop_map(|file| CreateFileOut { file })
}

pub fn give_up_in() -> impl Strategy<Value = GiveUpIn> {
    (reference(), option::of(stamp())).prop_map(|(reference, stamp)| GiveUpIn { reference, stamp })
}

pub fn give_up_out() -> impl Strategy<Value = GiveUpOut> {
    vfs_result(Just(())).prop_map(|outcome| GiveUpOut { outcome })
}

pub fn upload_page_in() -> impl Strategy<Value = UploadPageIn> {
    customer().prop_map(|customer| UploadPageIn { customer })
}

pub fn upload_page_out() -> impl Strategy<Value = UploadPageOut> {
    text().prop_map(|url| UploadPageOut { url })
}

pub fn callback_hosts_in() -> impl Strategy<Value = CallbackHostsIn> {
    customer().prop_map(|customer| CallbackHostsIn { customer })
}

pub fn callback_hosts_out() -> impl Strategy<Value = CallbackHostsOut> {
    text().prop_map(|hosts| CallbackHostsOut { hosts })
}

fn client_file() -> impl Strategy<Value = ClientFile> {
    any::<[u8; 16]>().prop_map(ClientFile)
}

pub fn store_client_file_in() -> impl Strategy<Value = StoreClientFileIn> {
    (asker(), client_file(), upload(), any::<bool>())
        .prop_map(|(asker, file, upload, replace)| StoreClientFileIn { asker, file, upload, replace })
}

pub fn store_client_file_out() -> impl Strategy<Value = StoreClientFileOut> {
    vfs_result(Just(())).prop_map(|outcome| StoreClientFileOut { outcome })
}

pub fn find_client_file_in() -> impl Strategy<Value = FindClientFileIn> {
    (customer(), client_file()).prop_map(|(customer, file)| FindClientFileIn { customer, file })
}

pub fn find_client_file_out() -> impl Strategy<Value = FindClientFileOut> {
    vfs_result(content()).prop_map(|content| FindClientFileOut { content })
}

pub fn delete_client_file_in() -> impl Strategy<Value = DeleteClientFileIn> {
    (asker(), client_file(), token()).prop_map(|(asker, file, key)| DeleteClientFileIn { asker, file, key })
}

pub fn delete_client_file_out() -> impl Strategy<Value = DeleteClientFileOut> {
    vfs_result(Just(())).prop_map(|outcome| DeleteClientFileOut { outcome })
}

pub fn new() -> impl Strategy<Value = New> {
    (content(), any::<u32>(), any::<u32>()).prop_map(|(content, node, disk)| New { content, node, disk })
}
