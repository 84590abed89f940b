//! The VFS's XML: every value survives the way through a document, and no document does harm (VFS-3, VFS-19, VFS-20).

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use protocol::digest::{Content, Digest, Fingerprint};
use protocol::id::{FeedPosition, ObjectId, Timestamp, Token, VersionId};
use protocol::name::Name;
use protocol::pair::{Generation, LeaseAnswer, LeaseQuestion, Member, PairName, Stamp};
use protocol::vfs::xml::{
    ErrorDocument, Stored, XmlError, decode_error, decode_replies, decode_requests, decode_stored,
    encode_error, encode_replies, encode_requests, encode_stored,
};
use protocol::vfs::{
    Answer, Answered, Before, Body, Change, Changed, Document, Existing, FolderChange, Kind, OPERATIONS_MAX,
    Operation, REQUEST_BYTES_MAX, Reply, Request, Row, Target, Upload, Usage, Version, Versioned, VfsError,
    VfsErrorCode, Why,
};

fn id() -> impl Strategy<Value = ObjectId> {
    any::<u64>().prop_map(ObjectId)
}

fn time() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp)
}

fn token() -> impl Strategy<Value = Token> {
    any::<[u8; 16]>().prop_map(Token)
}

fn name() -> impl Strategy<Value = Name> {
    let bytes =
        prop_oneof![vec(any::<u8>(), 1..64), "[ -~äß€\u{85}\u{2028}]{1,20}".prop_map(String::into_bytes)];
    bytes.prop_filter_map("not a name", |bytes| Name::new(&bytes).ok())
}

fn content() -> impl Strategy<Value = Content> {
    (any::<[u8; 16]>(), any::<u64>(), any::<[u8; 32]>()).prop_map(|(fingerprint, size, digest)| Content {
        fingerprint: Fingerprint(fingerprint),
        size,
        digest: Digest(digest),
    })
}

fn upload() -> impl Strategy<Value = Upload> {
    (content(), token()).prop_map(|(content, token)| Upload { content, token })
}

fn metadata() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..80)
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![
        id().prop_map(Target::Id),
        (id(), name()).prop_map(|(parent, name)| Target::Name(parent, name))
    ]
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Folder), Just(Kind::File)]
}

fn operation() -> impl Strategy<Value = Operation> {
    let existing = prop_oneof![Just(Existing::Refuse), Just(Existing::Open), Just(Existing::Replace)];
    prop_oneof![
        Just(Operation::OpenRoot),
        (id(), option::of(id()), any::<u32>(), any::<Option<u64>>()).prop_map(
            |(folder, after, limit, srl_expires)| Operation::OpenFolder { folder, after, limit, srl_expires }
        ),
        (target(), any::<Option<u64>>())
            .prop_map(|(target, srl_expires)| Operation::Open { target, srl_expires }),
        (id(), name(), metadata()).prop_map(|(parent, name, metadata)| Operation::CreateFolder {
            parent,
            name,
            metadata
        }),
        (id(), name(), metadata(), option::of(upload()), existing).prop_map(
            |(parent, name, metadata, upload, existing)| Operation::CreateFile {
                parent,
                name,
                metadata,
                upload,
                existing
            }
        ),
        (target(), option::of(kind()), id(), name(), any::<bool>()).prop_map(
            |(target, kind, parent, name, replace)| Operation::Move { target, kind, parent, name, replace }
        ),
        (target(), kind(), any::<bool>()).prop_map(|(target, kind, recursive)| Operation::Delete {
            target,
            kind,
            recursive
        }),
        (
            id(),
            any::<Option<u64>>(),
            option::of(metadata()),
            option::of(time()),
            option::of(time()),
            option::of(upload())
        )
            .prop_map(|(id, if_version, metadata, modified, changed, upload)| Operation::Update {
                id,
                if_version,
                metadata,
                modified,
                changed,
                upload
            }),
        (versioned(), option::of(version_id()), any::<u32>())
            .prop_map(|(of, after, limit)| Operation::Versions { of, after, limit }),
        (version_id(), option::of(id()), option::of(name()), any::<bool>()).prop_map(
            |(version, parent, name, replace)| Operation::Restore { version, parent, name, replace }
        ),
        Just(Operation::Usage),
        (any::<u64>(), any::<u32>())
            .prop_map(|(since, wait_ms)| Operation::Changes { since: FeedPosition(since), wait_ms }),
        (pair(), prop_oneof![Just(Member::A), Just(Member::B)], question())
            .prop_map(|(pair, member, question)| Operation::PortLease { pair, member, question }),
    ]
}

fn version_id() -> impl Strategy<Value = VersionId> {
    any::<u64>().prop_map(VersionId)
}

fn versioned() -> impl Strategy<Value = Versioned> {
    prop_oneof![
        id().prop_map(Versioned::Id),
        id().prop_map(Versioned::Folder),
        (id(), name()).prop_map(|(folder, name)| Versioned::Name(folder, name)),
    ]
}

fn version() -> impl Strategy<Value = Version> {
    let why = prop_oneof![Just(Why::Deleted), Just(Why::Overwritten)];
    (version_id(), why, time(), row()).prop_map(|(id, why, at, row)| Version { id, why, at, row })
}

fn pair() -> impl Strategy<Value = PairName> {
    "[a-z0-9-]{1,64}".prop_filter_map("not a pair's name", |text| PairName::parse(&text))
}

fn generation() -> impl Strategy<Value = Generation> {
    any::<u64>().prop_map(Generation)
}

fn question() -> impl Strategy<Value = LeaseQuestion> {
    prop_oneof![
        (generation(), any::<Option<u64>>(), any::<u32>())
            .prop_map(|(from, renewals, lease_ms)| LeaseQuestion::Acquire { from, renewals, lease_ms }),
        (generation(), any::<u32>())
            .prop_map(|(generation, lease_ms)| LeaseQuestion::Renew { generation, lease_ms }),
        (generation(), prop::option::of(any::<u64>()))
            .prop_map(|(generation, renewals)| LeaseQuestion::Release { generation, renewals }),
        Just(LeaseQuestion::Ping),
    ]
}

fn lease() -> impl Strategy<Value = LeaseAnswer> {
    prop_oneof![
        (generation(), any::<u32>(), any::<u64>()).prop_map(|(generation, lease_ms, renewals)| {
            LeaseAnswer::Granted { generation, lease_ms, renewals }
        }),
        (generation(), any::<u64>(), any::<u32>()).prop_map(|(generation, renewals, lease_ms)| {
            LeaseAnswer::Held { generation, renewals, lease_ms }
        }),
        generation().prop_map(|generation| LeaseAnswer::Superseded { generation }),
        Just(LeaseAnswer::Released),
        generation().prop_map(|generation| LeaseAnswer::InForce { generation }),
    ]
}

fn document() -> impl Strategy<Value = Document> {
    let request = (option::of(token()), operation()).prop_map(|(key, operation)| Request { key, operation });
    let stamp = (pair(), generation()).prop_map(|(pair, generation)| Stamp { pair, generation });
    (option::of(stamp), vec(request, 1..8)).prop_map(|(stamp, requests)| Document { stamp, requests })
}

fn row() -> impl Strategy<Value = Row> {
    let body = prop_oneof![
        any::<u32>().prop_map(|subfolders| Body::Folder { subfolders }),
        content().prop_map(|content| Body::File { content }),
    ];
    let times = (time(), time(), time());
    let place = (id(), option::of(id()), option::of(name()), any::<u64>());
    (place, times, metadata(), body, option::of("[!-~]{1,40}")).prop_map(
        |((id, parent, name, version), (created, modified, changed), metadata, body, srl)| Row {
            id,
            parent,
            name,
            version,
            created,
            modified,
            changed,
            metadata,
            body,
            srl,
        },
    )
}

fn before() -> impl Strategy<Value = Before> {
    (any::<u64>(), any::<u64>(), time(), time()).prop_map(|(version, size, modified, changed)| Before {
        version,
        size,
        modified,
        changed,
    })
}

fn answer() -> impl Strategy<Value = Answer> {
    let around = (before(), row()).prop_map(|(before, after)| FolderChange { before, after });
    let change = (any::<u64>(), id(), any::<Option<u64>>()).prop_map(|(position, id, version)| Change {
        position: FeedPosition(position),
        id,
        version,
    });
    prop_oneof![
        row().prop_map(Answer::Row),
        (row(), vec(row(), 0..4), any::<bool>()).prop_map(|(folder, entries, more)| Answer::Folder {
            folder,
            entries,
            more
        }),
        (option::of(row()), option::of(before()), any::<bool>(), option::of(id()), vec(around, 0..3))
            .prop_map(|(row, before, created, removed, folders)| Answer::Changed(Changed {
                row,
                before,
                created,
                removed,
                folders
            })),
        (vec(version(), 0..4), any::<bool>())
            .prop_map(|(versions, more)| Answer::Versions { versions, more }),
        (any::<[u64; 3]>(), any::<[Option<u64>; 2]>()).prop_map(|(used, quota)| Answer::Usage(Usage {
            bytes_used: used[0],
            files_used: used[1],
            bytes_quota: quota[0],
            files_quota: quota[1],
            bytes_free: used[2],
        })),
        (vec(change, 0..4), any::<u64>(), any::<bool>()).prop_map(|(changes, position, reset)| {
            Answer::Changes { changes, position: FeedPosition(position), reset }
        }),
        lease().prop_map(Answer::Lease),
    ]
}

fn reply() -> impl Strategy<Value = Reply> {
    let code = prop_oneof![
        proptest::sample::select(VfsErrorCode::ALL.to_vec()),
        generation().prop_map(VfsErrorCode::Superseded),
    ];
    let error = (code, "[!-~ä][ -~ä]{0,40}").prop_map(|(code, message)| VfsError { code, message });
    prop_oneof![
        4 => (any::<u64>(), answer())
            .prop_map(|(position, answer)| Ok(Answered { position: FeedPosition(position), answer })),
        1 => error.prop_map(Err),
    ]
}

proptest! {
    #[test]
    fn a_request_survives(document in document()) {
        let written = encode_requests(&document.requests, document.stamp.as_ref());
        prop_assert_eq!(decode_requests(&written), Ok(document));
    }

    #[test]
    fn a_reply_survives(replies in vec(reply(), 0..4)) {
        prop_assert_eq!(decode_replies(&encode_replies(&replies)), Ok(replies));
    }

    #[test]
    fn an_answer_to_store_survives(content in content(), token in token(), file in option::of(id())) {
        let stored = Stored { content, token, file };
        prop_assert_eq!(decode_stored(&encode_stored(&stored)), Ok(stored));
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in vec(any::<u8>(), 0..300)) {
        let _ = (decode_requests(&bytes), decode_replies(&bytes), decode_stored(&bytes), decode_error(&bytes));
    }

    #[test]
    fn arbitrary_markup_does_no_harm(
        words in vec(proptest::sample::select(PIECES.to_vec()), 0..30),
    ) {
        let text = words.concat();
        let _ = (decode_requests(text.as_bytes()), decode_replies(text.as_bytes()));
    }

    #[test]
    fn a_damaged_document_is_read_or_refused(
        asked in document(), replies in vec(reply(), 1..3), place in any::<prop::sample::Index>(), byte: u8,
    ) {
        let mut document = encode_requests(&asked.requests, asked.stamp.as_ref());
        let index = place.index(document.len());
        document[index] = byte;
        let _ = decode_requests(&document);
        let mut document = encode_replies(&replies);
        let index = place.index(document.len());
        document[index] = byte;
        let _ = decode_replies(&document);
        document.truncate(index.min(document.len() - 2));
        prop_assert!(decode_replies(&document).is_err());
    }
}

const PIECES: &[&str] = &[
    "<requests>",
    "</requests>",
    "<replies>",
    "</replies>",
    "<open-root/>",
    "<open ",
    "id=\"1\"",
    "/>",
    ">",
    "<",
    "</",
    "&amp;",
    "&#0;",
    "&#x110000;",
    "&x;",
    "\"",
    "<![CDATA[",
    "]]>",
    "<!--",
    "-->",
    "<?",
    "?>",
    "<!DOCTYPE a [",
    "<!ENTITY a \"b\">",
    "]>",
    "<error code=\"exists\">",
    "</error>",
    "\u{feff}",
    "é",
    "%",
];

fn refused(document: &str) -> String {
    match decode_requests(document.as_bytes()) {
        Err(error) => error.to_string(),
        Ok(requests) => panic!("taken: {requests:?}"),
    }
}

/// VFS-3: a strict schema.
#[test]
fn what_is_not_in_the_schema_is_refused_by_name() {
    assert_eq!(refused("<requests><open-all/></requests>"), "unknown element `open-all` in `requests`");
    assert_eq!(refused("<requests><usage of='me'/></requests>"), "unknown attribute `of` of `usage`");
    assert_eq!(refused("<requests><usage><x/></usage></requests>"), "unknown element `x` in `usage`");
    assert_eq!(refused("<requests><usage>x</usage></requests>"), "text in `usage`");
    assert_eq!(refused("<requests><open/></requests>"), "`open` has no `parent`");
    assert_eq!(refused("<requests xmlns='a'><usage/></requests>"), "unknown attribute `xmlns` of `requests`");
    assert_eq!(refused("<replies/>"), "unknown element `replies` in `the document`");
    assert_eq!(refused(""), "the document is empty");
    assert_eq!(refused("<requests><usage/></requests><requests/>"), "the document has more than one root");
    assert_eq!(refused("<requests><usage/></requests>tail"), "the document has more than one root");
    assert_eq!(refused("<requests><usage/>"), "the document ends too early");
    let twice = refused("<requests><open id='1' id='2'/></requests>");
    assert!(twice.contains("duplicate"), "{twice}");
    let mixed = refused("<requests><open id='1' parent='2' name='x'/></requests>");
    assert!(mixed.starts_with("unknown attribute"), "{mixed}");
}

/// VFS-3: no DTD, no entities, no processing instructions.
#[test]
fn nothing_of_xml_is_taken_but_elements() {
    let bomb = "<!DOCTYPE r [<!ENTITY a 'aaaa'>]><requests><usage/></requests>";
    assert_eq!(refused(bomb), "a DTD is refused");
    let entity = refused("<requests><create-folder parent='1' name='&a;'/></requests>");
    assert!(entity.contains("`a`"), "{entity}");
    assert_eq!(refused("<requests>&a;<usage/></requests>"), "unknown entity `a`");
    assert_eq!(refused("<?php x?><requests><usage/></requests>"), "processing instructions are refused");
    assert_eq!(refused("<requests><![CDATA[x]]><usage/></requests>"), "CDATA is refused");
    let deep = format!("<requests>{}", "<usage>".repeat(100_000));
    assert!(refused(&deep).contains("deeper"));
    let wide = (0..50_000).map(|i| format!(" a{i}='1'")).collect::<String>();
    assert!(refused(&format!("<requests><usage{wide}/></requests>")).contains("more than 16 attributes"));
}

/// VFS-3: numbers and names have one form each.
#[test]
fn values_are_strict() {
    for bad in ["", "+1", "01", " 1", "1 ", "0x1", "-1", "18446744073709551616", "١"] {
        assert_eq!(
            refused(&format!("<requests><open id='{bad}'/></requests>")),
            "attribute `id` of `open` has a bad value"
        );
    }
    for bad in ["", ".", "..", "a/b", "%2F", "%", "%4", "%zz", "%00"] {
        let document = format!("<requests><create-folder parent='1' name='{bad}'/></requests>");
        assert_eq!(refused(&document), "attribute `name` of `create-folder` has a bad value", "{bad}");
    }
    let same =
        "<requests><!-- why --><create-folder parent='1' name='&#x61;%62&amp;'></create-folder></requests>";
    let Operation::CreateFolder { name, .. } =
        decode_requests(same.as_bytes()).unwrap().requests.remove(0).operation
    else {
        panic!("another operation")
    };
    assert_eq!(name.as_bytes(), b"ab&");
}

#[test]
fn the_form_is_readable() {
    let operation = Operation::Move {
        target: Target::Name(ObjectId(100), Name::new(b"50% <caf\xc3\xa9>\xff\n").unwrap()),
        kind: Some(Kind::File),
        parent: ObjectId(7),
        name: Name::new(b"x").unwrap(),
        replace: true,
    };
    let document = encode_requests(&[Request { key: Some(Token([0xab; 16])), operation }], None);
    assert_eq!(
        String::from_utf8(document).unwrap(),
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<requests><move-file key=\"abababababababababababababababab\" \
         parent=\"100\" name=\"50%25 &lt;café&gt;%FF%0A\" to-parent=\"7\" to-name=\"x\" replace=\"true\"/></requests>\n"
    );
}

/// VFS-3: bounds.
#[test]
fn a_document_has_bounds() {
    let usage = Request { key: None, operation: Operation::Usage };
    assert!(decode_requests(&encode_requests(&vec![usage.clone(); OPERATIONS_MAX], None)).is_ok());
    let more = encode_requests(&vec![usage; OPERATIONS_MAX + 1], None);
    assert_eq!(decode_requests(&more), Err(XmlError::OperationCount));
    assert_eq!(decode_requests(&encode_requests(&[], None)), Err(XmlError::OperationCount));
    let long = vec![b' '; REQUEST_BYTES_MAX + 1];
    assert_eq!(decode_requests(&long), Err(XmlError::TooLong { bytes_max: REQUEST_BYTES_MAX }));
}

/// XML 1.0 §2.2: neither as they are nor escaped.
#[test]
fn characters_that_xml_does_not_have_are_refused() {
    for character in ["\0", "\u{1}", "\u{1b}", "\u{fffe}", "&#1;", "&#x1b;", "&#xffff;"] {
        for document in [
            format!("<error code=\"x\">a{character}b</error>"),
            format!("<error code=\"a{character}b\">x</error>"),
        ] {
            assert!(matches!(decode_error(document.as_bytes()), Err(XmlError::Malformed(_))), "{document:?}");
        }
    }
    assert_eq!(decode_error(b"<error code=\"x\">a&#10;b\tc</error>").unwrap().message, "a\nb\tc");
}

#[test]
fn an_error_survives_and_control_characters_do_not() {
    let error = decode_error(&encode_error("expired", None, "gone <since> \"1970\" & 'before'")).unwrap();
    let expected = ErrorDocument {
        code: "expired".into(),
        generation: None,
        message: "gone <since> \"1970\" & 'before'".into(),
    };
    assert_eq!(error, expected);
    assert_eq!(
        decode_error(&encode_error("x", None, "a\u{1b}[31m\n")).unwrap().message,
        "a\u{fffd}[31m\u{fffd}"
    );
}
