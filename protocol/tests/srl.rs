//! SRLs: the published vectors, what is refused and why, and that nothing forged gets through.

#![allow(clippy::unwrap_used, reason = "a test may")]

use proptest::prelude::*;

use protocol::digest::Fingerprint;
use protocol::id::{ClientFile, CustomerId, ObjectId};
use protocol::srl::{
    AccessMethod, ObjectName, Secret, SignedSrl, SrlError, SrlKind, SrlOperation, SrlRequest, SrlVersion,
    check_control_ticket, control_ticket,
};

const FINGERPRINT: Fingerprint = Fingerprint([
    0x6f, 0x59, 0x02, 0xac, 0x23, 0x70, 0x24, 0xbd, 0xd0, 0xc1, 0x76, 0xcb, 0x93, 0x06, 0x3d, 0xc4,
]);
const FILE: ClientFile = ClientFile([0x0f; 16]);
const EXPIRES: u64 = 1_800_000_000;

fn secret() -> Secret {
    Secret::new(b"0123456789abcdef".to_vec()).unwrap()
}

fn other_secret() -> Secret {
    Secret::new(b"fedcba9876543210".to_vec()).unwrap()
}

fn request(operation: SrlOperation) -> SrlRequest {
    SrlRequest {
        kind: SrlKind::Standard,
        version: SrlVersion::HmacSha256,
        expires: EXPIRES,
        access: AccessMethod::StoragePort,
        customer: CustomerId(3),
        operation,
    }
}

fn fetch() -> SrlRequest {
    request(SrlOperation::Fetch { object: ObjectName::Content(FINGERPRINT) })
}

/// An SRL of this payload with a good certificate, whatever the payload is.
fn signed(payload: &str) -> SignedSrl {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(payload);
    let certificate = control_ticket(SrlVersion::Md5, &secret(), encoded.as_bytes());
    SignedSrl { encoded, certificate }
}

/// SRL-13, SRL-16: `vectors/srl.txt`, for others to check their programs by.
#[test]
fn the_published_vectors_hold() {
    let vectors = include_str!("../vectors/srl.txt");
    let mut checked = 0;
    for vector in vectors.split("\n\n").filter(|vector| vector.starts_with("secret")) {
        let field = |name: &str| {
            let line = vector.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.unwrap_or_else(|| panic!("no {name} in {vector}")).trim().to_owned()
        };
        let secret = Secret::new(field("secret").into_bytes()).unwrap();
        let srl = SignedSrl { encoded: field("encoded"), certificate: field("certificate") };
        let request = srl.authenticate(std::slice::from_ref(&secret), 0).unwrap();
        assert_eq!(request.sign(&secret), srl, "{vector}");
        assert_eq!(signed(&field("payload")).encoded, srl.encoded, "{vector}");
        checked += 1;
    }
    assert!(checked >= 6, "only {checked} vectors");
}

/// SRL-1, SRL-2: emitted text is plain in a URL; percent-encoded standard base64 with padding is the same request.
#[test]
fn both_alphabets_are_read() {
    let callback = "https://a.example/?q=ÿþ~".to_owned();
    let request = request(SrlOperation::FetchAuth { object: ObjectName::Content(FINGERPRINT), callback });
    let srl = request.sign(&secret());
    let path = srl.path(b"dir/a b%.jpg");
    assert_eq!(path, format!("/{}/{}/dir/a%20b%25.jpg", srl.encoded, srl.certificate));
    assert_eq!(SignedSrl::parse(&path), Ok((srl.clone(), "dir/a%20b%25.jpg")));

    let standard = "MS8xLzAvMS8zLzMyLzZmNTkwMmFjMjM3MDI0YmRkMGMxNzZjYjkzMDYzZGM0";
    for odd in ["==", "", "="] {
        let encoded = format!("{standard}{odd}");
        let certificate = control_ticket(SrlVersion::Md5, &secret(), encoded.as_bytes());
        let (srl, _) = SignedSrl::parse(&format!("/{}/{certificate}", encoded.replace('=', "%3D"))).unwrap();
        assert_eq!(srl.encoded, encoded);
        let taken = srl.authenticate(&[secret()], 0);
        // Padding is needless for 45 bytes; base64 does not allow it there.
        assert_eq!(taken.is_ok(), odd.is_empty(), "{odd}");
    }
    let with_slashes = SignedSrl { encoded: "a+/b".into(), certificate: "c".into() };
    assert_eq!(with_slashes.path(b""), "/a%2B%2Fb/c/");
    assert_eq!(SignedSrl::parse("/a%2B%2Fb/c/"), Ok((with_slashes, "")));
}

/// SRL-3, SRL-5, SRL-6: fields are numbers, all there and none too many.
#[test]
fn a_payload_has_one_form() {
    let hex = "6f5902ac237024bdd0c176cb93063dc4";
    for good in [
        format!("1/1/0/1/3/32/{hex}"),
        format!("0x1/0x0001/0x0/0x1/0x3/0x20/{hex}"),
        format!("1/1/0/1/3/32/{hex}.MD5"),
        format!("1/1/0/1/3/32/{}", hex.to_uppercase()),
    ] {
        let request = signed(&good).authenticate(&[secret()], 0).unwrap();
        assert_eq!(
            request.operation,
            SrlOperation::Fetch { object: ObjectName::Content(FINGERPRINT) },
            "{good}"
        );
    }
    for bad in [
        "",
        "/",
        "1/1/0/1/3",
        "1/1/0/1/3/32",
        "1/1/0/1/3/32/",
        "1/1//1/3/0",
        "1/1/0/1/3/0/",
        "1/1/0/1/3/0/1",
        "1/1/+0/1/3/0",
        "1/1/-1/1/3/0",
        "1/1/0x/1/3/0",
        "1/1/18446744073709551616/1/3/0",
        "1/1/0/1/4294967296/0",
        "3/1/0/1/3/0",
        "0/1/0/1/3/0",
        "1/3/0/1/3/0",
        "1/1/0/3/3/0",
        "1/1/0/0/3/0",
        "1/1/0/2/3/99",
        "1/1/0/2/3/16",
        "1/1/0/2/3/16/x",
        "1/1/0/2/3/80/6f59",
        "1/1/0/1/3/33/6f5902ac237024bdd0c176cb93063dc4",
        "2/1/0/2/3/80/6f5902ac237024bdd0c176cb93063dc4",
        "1/1/0/1/3/32/6f5902ac237024bdd0c176cb93063dc4.SHA",
        " 1/1/0/1/3/0",
    ] {
        assert!(matches!(signed(bad).request(), Err(SrlError::Malformed(_))), "{bad}");
    }
    let long = format!("1/1/0/2/3/33/{hex}/{}", "x".repeat(2_000));
    assert_eq!(signed(&long).request(), Err(SrlError::Malformed("the encoded request is longer than 2 KiB")));
    for path in ["", "x", "/", "//", "/a", "/a/", "//b", "/%ff/b/c"] {
        assert!(matches!(SignedSrl::parse(path), Err(SrlError::Malformed(_))), "{path}");
    }
}

/// SRL-4: zero is never; five seconds of skew are forgiven.
#[test]
fn an_srl_expires() {
    let srl = fetch().sign(&secret());
    assert!(srl.authenticate(&[secret()], EXPIRES + 5).is_ok());
    assert_eq!(srl.authenticate(&[secret()], EXPIRES + 6), Err(SrlError::Expired));
    let never = SrlRequest { expires: 0, ..fetch() }.sign(&secret());
    assert!(never.authenticate(&[secret()], u64::MAX).is_ok());
    let late = SrlRequest { expires: u64::MAX, ..fetch() }.sign(&secret());
    assert!(late.authenticate(&[secret()], u64::MAX).is_ok());
}

/// SRL-14: a stranger learns nothing but that it is one; two secrets live while one replaces the other.
#[test]
fn only_a_live_secret_signs() {
    let srl = SrlRequest {
        access: AccessMethod::EndUser,
        ..request(SrlOperation::Delete { object: ObjectName::Content(FINGERPRINT) })
    };
    let srl = srl.sign(&secret());
    assert_eq!(srl.authenticate(&[other_secret()], u64::MAX), Err(SrlError::NotAuthentic));
    assert_eq!(srl.authenticate(&[], u64::MAX), Err(SrlError::NotAuthentic));
    for secrets in [[secret(), other_secret()], [other_secret(), secret()]] {
        assert!(fetch().sign(&secret()).authenticate(&secrets, 0).is_ok());
    }
    assert!(Secret::new(vec![b'x'; 15]).is_err());
    assert_eq!(Secret::from_file_content(b" 0123456789abcdef\r\n"), Ok(secret()));
    assert!(!format!("{:?}", secret()).contains("0123"));
}

/// SRL-5: Table 3.
#[test]
fn an_end_user_may_read_and_store_and_nothing_else() {
    let content = || ObjectName::Content(FINGERPRINT);
    let folder = |id| SrlOperation::Store { parent: ObjectId(id) };
    let cases = [
        (SrlOperation::NoOp, true),
        (SrlOperation::Fetch { object: content() }, true),
        (SrlOperation::FetchAuth { object: content(), callback: "http://x/".into() }, true),
        (folder(100), true),
        (folder(0), false),
        (SrlOperation::FetchDigests { fingerprint: FINGERPRINT }, false),
        (SrlOperation::StoreClientFile { file: FILE, replace: true }, true),
        (SrlOperation::Delete { object: content() }, false),
        (SrlOperation::Delete { object: ObjectName::ClientFile(FILE) }, false),
        (SrlOperation::Control { ticket: "00".into() }, false),
    ];
    for (operation, allowed) in cases {
        let port = request(operation);
        assert_eq!(port.sign(&secret()).authenticate(&[secret()], 0).as_ref(), Ok(&port));
        let user = SrlRequest { access: AccessMethod::EndUser, ..port };
        let expected = if allowed { Ok(user.clone()) } else { Err(SrlError::NotAllowed) };
        assert_eq!(user.sign(&secret()).authenticate(&[secret()], 0), expected);
    }
}

/// SRL-12: the ticket is the document's.
#[test]
fn a_ticket_signs_one_document() {
    for version in [SrlVersion::Md5, SrlVersion::HmacSha256] {
        let ticket = control_ticket(version, &secret(), b"<requests/>");
        let request = SrlRequest { version, ..request(SrlOperation::Control { ticket }) };
        assert_eq!(check_control_ticket(&request, &[other_secret(), secret()], b"<requests/>"), Ok(()));
        let refused = Err(SrlError::NotAuthentic);
        assert_eq!(check_control_ticket(&request, &[secret()], b"<requests />"), refused);
        assert_eq!(check_control_ticket(&request, &[other_secret()], b"<requests/>"), refused);
        assert_eq!(check_control_ticket(&request, &[], b"<requests/>"), refused);
    }
    assert_eq!(check_control_ticket(&fetch(), &[secret()], b""), Err(SrlError::NotAllowed));
}

/// SRL-15, PRIV-4: a CDN's SRL carries the customer's own name of the file.
#[test]
fn a_cdn_names_files_by_the_customers_ids() {
    let file = ClientFile::named(CustomerId(3), "bild/ä 1.jpg".as_bytes());
    assert_eq!(file.to_string(), "088e5bd11d1bfb534f2a4cc3969a12cd");
    let object = ObjectName::ClientFile(file);
    let srl = fetch().sign_cdn_fetch("bild/ä 1.jpg", &secret());
    let expected = SrlRequest { kind: SrlKind::Cdn, operation: SrlOperation::Fetch { object }, ..fetch() };
    assert_eq!(srl.authenticate(&[secret()], 0), Ok(expected.clone()));
    // Without the name at hand, its hash will do.
    assert_eq!(expected.sign(&secret()).authenticate(&[secret()], 0), Ok(expected.clone()));
}

/// PRIV-4: an SRL says which file it stores, and whether it may take another's place; the two kinds of names never mix.
#[test]
fn an_upload_is_signed_for_one_file() {
    let hex = "0f".repeat(16);
    let decoded =
        |arguments: &str| signed(&format!("1/2/0/1/3/16/{arguments}")).request().map(|srl| srl.operation);
    let store = |replace| Ok(SrlOperation::StoreClientFile { file: FILE, replace });
    assert_eq!(decoded(&format!("{hex}.UFID")), store(false));
    assert_eq!(decoded(&format!("{hex}.UFID/replace")), store(true));
    for bad in [
        "{hex}",
        "{hex}.MD5",
        "{hex}.ufid",
        "{hex}.UFID/",
        "{hex}.UFID/1",
        "{hex}.UFID/replace/",
        "100/replace",
    ] {
        assert!(matches!(decoded(&bad.replace("{hex}", &hex)), Err(SrlError::Malformed(_))), "{bad}");
    }
}

fn object() -> impl Strategy<Value = ObjectName> {
    any::<([u8; 16], bool)>().prop_map(|(bytes, content)| {
        let fingerprint = Fingerprint(bytes);
        if content { ObjectName::Content(fingerprint) } else { ObjectName::ClientFile(ClientFile(bytes)) }
    })
}

fn operation() -> impl Strategy<Value = SrlOperation> {
    let fingerprint = || any::<[u8; 16]>().prop_map(Fingerprint);
    prop_oneof![
        Just(SrlOperation::NoOp),
        any::<u64>().prop_map(|parent| SrlOperation::Store { parent: ObjectId(parent) }),
        object().prop_map(|object| SrlOperation::Fetch { object }),
        (object(), "\\PC{1,60}").prop_map(|(object, callback)| SrlOperation::FetchAuth { object, callback }),
        fingerprint().prop_map(|fingerprint| SrlOperation::FetchDigests { fingerprint }),
        any::<([u8; 16], bool)>()
            .prop_map(|(file, replace)| SrlOperation::StoreClientFile { file: ClientFile(file), replace }),
        object().prop_map(|object| SrlOperation::Delete { object }),
        "[0-9a-f]{32}".prop_map(|ticket| SrlOperation::Control { ticket }),
    ]
}

fn any_request() -> impl Strategy<Value = SrlRequest> {
    (operation(), any::<(bool, bool)>(), any::<(u64, u32)>()).prop_map(
        |(operation, (first, port), (expires, customer))| SrlRequest {
            kind: SrlKind::Standard,
            version: if first { SrlVersion::Md5 } else { SrlVersion::HmacSha256 },
            expires,
            access: if port { AccessMethod::StoragePort } else { AccessMethod::EndUser },
            customer: CustomerId(customer),
            operation,
        },
    )
}

proptest! {
    #[test]
    fn a_request_survives(request in any_request(), uri: Vec<u8>) {
        let srl = request.sign(&secret());
        prop_assert_eq!(srl.request(), Ok(request));
        let path = srl.path(&uri);
        let (parsed, _) = SignedSrl::parse(&path).unwrap();
        prop_assert_eq!(parsed, srl);
    }

    /// SRL-14: changing any byte of an SRL to any other makes it worthless.
    #[test]
    fn no_byte_can_be_changed(request in any_request(), place: prop::sample::Index, byte in 0_u8..0x80) {
        let secret = secret();
        let path = SrlRequest { expires: 0, access: AccessMethod::StoragePort, ..request }.sign(&secret).path(b"");
        prop_assert!(SignedSrl::parse(&path).unwrap().0.authenticate(std::slice::from_ref(&secret), 0).is_ok());
        let mut bytes = path.into_bytes();
        // The last byte is the `/` before the customer's part, which is not signed.
        let index = place.index(bytes.len() - 1);
        prop_assume!(bytes[index] != byte);
        bytes[index] = byte;
        let forged = String::from_utf8(bytes).unwrap();
        let verdict = SignedSrl::parse(&forged).and_then(|(srl, _)| srl.authenticate(&[secret], 0));
        prop_assert!(matches!(verdict, Err(SrlError::NotAuthentic | SrlError::Malformed(_))), "{}", forged);
    }

    #[test]
    fn arbitrary_text_does_no_harm(path in "/?[ -~é/%]{0,80}", payload in "[0-9a-fx./%]{0,60}") {
        if let Ok((srl, _)) = SignedSrl::parse(&path) {
            prop_assert!(srl.authenticate(&[secret()], 0).is_err());
        }
        let _ = signed(&payload).authenticate(&[secret()], 0);
    }
}
