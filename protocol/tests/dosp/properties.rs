//! Whatever the values: they come back; and whatever the bytes: nothing panics.

use std::fmt::Debug;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use protocol::dosp::announcement::{Deleted, Failed, New, Updated};
use protocol::dosp::datagram::{self, Header, Kind};
use protocol::dosp::heartbeat::Heartbeat as HeartbeatOut;
use protocol::dosp::operations::*;
use protocol::dosp::preamble::{Chosen, Offer};
use protocol::dosp::{
    ClusterKey, Failure, Malformed, Message, Operation, Status, StoreHeader, Streamed, decode_reply,
    decode_request, encode_reply, encode_request,
};

use super::values;

/// A structure comes back, whatever a later version appends to it; without its last bytes it is none.
fn comes_back<M: Message + Debug + PartialEq>(value: &M, tail: &[u8], cut: Index) {
    let bytes = value.to_bytes();
    assert_eq!(M::from_bytes(&bytes).as_ref(), Ok(value));
    assert_eq!(M::from_bytes(&[&bytes, tail].concat()).as_ref(), Ok(value));
    if !bytes.is_empty() {
        assert!(M::from_bytes(&bytes[..cut.index(bytes.len())]).is_err());
    }
}

macro_rules! come_back {
    ($($test:ident: $value:expr),* $(,)?) => {
        proptest! {$(
            /// DOSP-2.
            #[test]
            fn $test(value in $value, tail in vec(any::<u8>(), 0..20), cut: Index) {
                comes_back(&value, &tail, cut);
            }
        )*}
    };
}

come_back! {
    null_out_comes_back: values::null_out(),
    store_in_comes_back: values::store_in(),
    store_out_comes_back: values::store_out(),
    retrieve_in_comes_back: values::retrieve_in(),
    retrieve_head_comes_back: values::retrieve_head(),
    retrieve_range_in_comes_back: values::retrieve_range_in(),
    delete_in_comes_back: values::delete_in(),
    contents_in_comes_back: values::contents_in(),
    contents_head_comes_back: values::contents_head(),
    contents_out_comes_back: values::contents_out(),
    heartbeat_comes_back: values::heartbeat(),
    disk_in_comes_back: values::disk_in(),
    disk_state_out_comes_back: values::disk_state_out(),
    disk_status_out_comes_back: values::disk_status_out(),
    keep_in_comes_back: values::keep_in(),
    keep_out_comes_back: values::keep_out(),
    hold_in_comes_back: values::hold_in(),
    hold_out_comes_back: values::hold_out(),
    locate_in_comes_back: values::locate_in(),
    locate_out_comes_back: values::locate_out(),
    digests_in_comes_back: values::digests_in(),
    digests_out_comes_back: values::digests_out(),
    references_in_comes_back: values::references_in(),
    references_out_comes_back: values::references_out(),
    lacking_in_comes_back: values::lacking_in(),
    lacking_out_comes_back: values::lacking_out(),
    release_orphan_in_comes_back: values::release_orphan_in(),
    release_orphan_out_comes_back: values::release_orphan_out(),
    verify_in_comes_back: values::verify_in(),
    verify_out_comes_back: values::verify_out(),
    drain_in_comes_back: values::drain_in(),
    scan_out_comes_back: values::scan_out(),
    node_status_comes_back: values::node_status(),
    members_out_comes_back: values::members_out(),
    find_out_comes_back: values::find_out(),
    find_in_comes_back: values::fingerprint().prop_map(|fingerprint| FindIn { fingerprint }),
    upload_page_in_comes_back: values::upload_page_in(),
    upload_page_out_comes_back: values::upload_page_out(),
    callback_hosts_in_comes_back: values::callback_hosts_in(),
    callback_hosts_out_comes_back: values::callback_hosts_out(),
    store_client_file_in_comes_back: values::store_client_file_in(),
    store_client_file_out_comes_back: values::store_client_file_out(),
    find_client_file_in_comes_back: values::find_client_file_in(),
    find_client_file_out_comes_back: values::find_client_file_out(),
    delete_client_file_in_comes_back: values::delete_client_file_in(),
    delete_client_file_out_comes_back: values::delete_client_file_out(),
    access_in_comes_back: values::access_in(),
    access_out_comes_back: values::access_out(),
    access_news_in_comes_back: values::access_news_in(),
    access_news_out_comes_back: values::access_news_out(),
    directory_state_out_comes_back: values::directory_state_out(),
    pull_directory_in_comes_back: values::pull_directory_in(),
    pull_directory_out_comes_back: values::pull_directory_out(),
    copy_directory_in_comes_back: values::copy_directory_in(),
    copy_directory_out_comes_back: values::copy_directory_out(),
    hand_over_in_comes_back: values::hand_over_in(),
    generation_comes_back: values::generation(),
    forward_in_comes_back: values::forward_in(),
    forward_out_comes_back: values::forward_out(),
    renew_lease_in_comes_back: values::renew_lease_in(),
    claim_lease_in_comes_back: values::claim_lease_in(),
    lease_out_comes_back: values::lease_out(),
    create_file_in_comes_back: values::create_file_in(),
    create_file_out_comes_back: values::create_file_out(),
    give_up_in_comes_back: values::give_up_in(),
    give_up_out_comes_back: values::give_up_out(),
    new_comes_back: values::new(),
    deleted_comes_back: values::fingerprint().prop_map(|fingerprint| Deleted { fingerprint }),
    updated_comes_back: values::fingerprint().prop_map(|fingerprint| Updated { fingerprint }),
    failed_comes_back: any::<u32>().prop_map(|node| Failed { node }),
}

/// What bytes are read as is read again from its own bytes.
fn means_one_thing<M: Message + Debug + PartialEq>(bytes: &[u8]) {
    if let Ok(value) = M::from_bytes(bytes) {
        assert_eq!(M::from_bytes(&value.to_bytes()), Ok(value));
    }
    // The same behind a good head.
    let reply = [&[0; 9], bytes].concat();
    let taken: Result<(u64, Result<M, Failure>), Malformed> = decode_reply(&reply);
    assert_eq!(taken.is_ok(), M::from_bytes(bytes).is_ok());
}

fn operation<O: Operation<In: Debug + PartialEq, Out: Debug + PartialEq>>(bytes: &[u8]) {
    means_one_thing::<O::In>(bytes);
    means_one_thing::<O::Out>(bytes);
}

fn streamed<O: Streamed<In: Debug + PartialEq, Out: Debug + PartialEq, Head: Debug + PartialEq>>(
    bytes: &[u8],
) {
    operation::<O>(bytes);
    means_one_thing::<O::Head>(bytes);
}

/// Small numbers and few sorts of bytes: lengths that are believable, cases that exist.
fn likely_bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![4 => Just(0u8), 2 => 1..4u8, 1 => any::<u8>()];
    prop_oneof![vec(byte, 0..400), vec(any::<u8>(), 0..400)]
}

proptest! {
    /// DOSP-10: arbitrary bytes do no harm.
    #[test]
    fn arbitrary_bytes_mean_one_thing_or_nothing(bytes in likely_bytes()) {
        operation::<Null>(&bytes);
        operation::<Store>(&bytes);
        streamed::<Retrieve>(&bytes);
        streamed::<RetrieveRange>(&bytes);
        operation::<Delete>(&bytes);
        streamed::<GetContents>(&bytes);
        operation::<Heartbeat>(&bytes);
        operation::<GetDiskState>(&bytes);
        operation::<GetDiskStatus>(&bytes);
        operation::<Keep>(&bytes);
        operation::<Hold>(&bytes);
        operation::<Locate>(&bytes);
        operation::<Digests>(&bytes);
        operation::<References>(&bytes);
        operation::<Lacking>(&bytes);
        operation::<ReleaseOrphan>(&bytes);
        operation::<Verify>(&bytes);
        operation::<Drain>(&bytes);
        operation::<Scan>(&bytes);
        operation::<GetNodeStatus>(&bytes);
        operation::<Name>(&bytes);
        operation::<Replicate>(&bytes);
        operation::<Entitled>(&bytes);
        operation::<Restored>(&bytes);
        operation::<Access>(&bytes);
        operation::<AccessNews>(&bytes);
        operation::<DirectoryState>(&bytes);
        operation::<PullDirectory>(&bytes);
        operation::<CopyDirectory>(&bytes);
        operation::<HandOver>(&bytes);
        operation::<Forward>(&bytes);
        operation::<RenewLease>(&bytes);
        operation::<ClaimLease>(&bytes);
        operation::<Members>(&bytes);
        operation::<Find>(&bytes);
        operation::<CreateFile>(&bytes);
        operation::<GiveUp>(&bytes);
        operation::<UploadPage>(&bytes);
        operation::<CallbackHosts>(&bytes);
        operation::<StoreClientFile>(&bytes);
        operation::<FindClientFile>(&bytes);
        operation::<DeleteClientFile>(&bytes);
        means_one_thing::<New>(&bytes);
        means_one_thing::<Deleted>(&bytes);
        means_one_thing::<Updated>(&bytes);
        means_one_thing::<Failed>(&bytes);
        let _ = decode_request(&bytes);
        if let Some(header) = bytes.first_chunk().map(StoreHeader::decode).and_then(Result::ok) {
            prop_assert_eq!(StoreHeader::decode(&header.encode()), Ok(header));
        }
        if let Some(offer) = bytes.first_chunk().map(Offer::decode).and_then(Result::ok) {
            prop_assert_eq!(Offer::decode(&offer.encode()), Ok(offer));
        }
        if let Some(bytes) = bytes.first_chunk() {
            let _ = Chosen::decode(bytes, &Offer { lowest: 1, highest: 2 });
        }
        if let Ok(text) = str::from_utf8(&bytes) {
            let _ = ContentsLine::parse(text);
        }
    }

    /// DOSP-2.
    #[test]
    fn a_request_comes_back(id: u64, input in values::hold_in()) {
        let bytes = encode_request::<Hold>(id, &input);
        let head = decode_request(&bytes).unwrap();
        prop_assert_eq!((head.code, head.id), (Hold::CODE, id));
        prop_assert_eq!(head.input::<Hold>(), Ok(input));
    }

    /// DOSP-2.
    #[test]
    fn a_reply_comes_back(id: u64, out in values::heartbeat()) {
        let outcome = Ok(out);
        let taken = decode_reply::<HeartbeatOut>(&encode_reply(id, &outcome));
        prop_assert_eq!(taken, Ok((id, outcome)));
    }

    /// DOSP-2: a failure comes back, whatever the operation's Out is.
    #[test]
    fn a_failure_comes_back(
        id: u64,
        status in select(vec![
            Status::NotFound, Status::Unsupported, Status::Unavailable, Status::NoSpace, Status::Collision,
            Status::Mismatch, Status::Malformed, Status::Refused,
        ]),
        reason in "\\PC{0,100}",
    ) {
        let outcome = Err(Failure { status, reason });
        let taken = decode_reply::<StoreOut>(&encode_reply(id, &outcome));
        prop_assert_eq!(taken, Ok((id, outcome)));
    }

    /// MC-10: a datagram comes back; with any byte changed it does not.
    #[test]
    fn a_datagram_comes_back(
        (kind, numbers) in (
            select(vec![Kind::Request, Kind::Reply, Kind::Announce]), any::<(u16, u32, u64, u64, u64)>(),
        ),
        body in vec(any::<u8>(), 0..=datagram::BODY_BYTES_MAX),
        at: Index,
        flip in 1..=255u8,
    ) {
        let (code, sender, boot, sequence, sent_ms) = numbers;
        let header = Header { kind, code, sender, boot, sequence, sent_ms };
        let key = ClusterKey::new([3; 32]).datagram_key("main");
        let mut bytes = datagram::encode(&key, &header, &body).unwrap();
        prop_assert_eq!(datagram::decode(&key, &bytes), Ok((header, &body[..])));
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert!(datagram::decode(&key, &bytes).is_err());
    }

    /// DOSP-8.
    #[test]
    fn a_line_of_contents_comes_back(fingerprint in values::fingerprint(), node: u32, disk: u32, size: u64) {
        let line = ContentsLine { fingerprint, node, disk, size };
        let text = line.to_string();
        prop_assert_eq!(text.strip_suffix('\n').and_then(ContentsLine::parse), Some(line));
    }
}
