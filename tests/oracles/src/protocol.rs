//! What port and center say to each other, as either might get it from somebody else.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use protocol::digest::{BlockDigests, Content, Digest, Fingerprint};
use protocol::id::Token;
use protocol::metadata::UnixMetadata;
use protocol::name::Name;
use protocol::srl::{Secret, SignedSrl, SrlKind};
use protocol::vfs::xml::{
    decode_error, decode_replies, decode_requests, decode_stored, encode_error, encode_replies,
    encode_requests, encode_stored,
};

use crate::input::Input;

/// A document of requests.
pub fn requests(data: &[u8]) {
    if let Ok(asked) = decode_requests(data) {
        let again = encode_requests(&asked.requests, asked.stamp.as_ref());
        assert_eq!(decode_requests(&again).as_ref(), Ok(&asked), "{}", String::from_utf8_lossy(&again));
    }
}

/// A document of replies. The control characters that XML does have (line ends, for one) are not written again: there
/// the first document may differ.
pub fn replies(data: &[u8]) {
    if let Ok(replies) = decode_replies(data) {
        let document = encode_replies(&replies);
        let again = decode_replies(&document);
        let text = String::from_utf8_lossy(&document);
        assert!(again.as_ref() == Ok(&replies) || text.contains(char::REPLACEMENT_CHARACTER), "{text}");
        assert!(again.is_ok_and(|again| encode_replies(&again) == document), "{text}");
    }
}

/// The small documents that HTTP answers carry.
pub fn documents(data: &[u8]) {
    if let Ok(stored) = decode_stored(data) {
        assert_eq!(decode_stored(&encode_stored(&stored)), Ok(stored));
    }
    if let Ok(error) = decode_error(data) {
        let document = encode_error(&error.code, error.generation, &error.message);
        let again = decode_error(&document).unwrap();
        let text = String::from_utf8_lossy(&document);
        assert!(again == error || text.contains(char::REPLACEMENT_CHARACTER), "{text}");
        assert_eq!(encode_error(&again.code, again.generation, &again.message), document);
    }
}

/// The path of an SRL, or what its base64 says: what is parsed is written and parsed to the same, and is authentic for
/// nobody who did not sign it.
pub fn srl(data: &[u8]) {
    if let Ok(path) = str::from_utf8(data) {
        check_srl(path);
    }
    check_srl(&format!("/{}/00/name", URL_SAFE_NO_PAD.encode(data)));
}

fn check_srl(path: &str) {
    let Ok((srl, uri)) = SignedSrl::parse(path) else { return };
    let written = srl.path(uri.as_bytes());
    let (again, _) = SignedSrl::parse(&written).unwrap_or_else(|error| panic!("{written}: {error}"));
    assert_eq!(again.request(), srl.request());
    let secrets = [Secret::new(b"0123456789abcdef".to_vec()).unwrap(), Secret::new(vec![7; 64]).unwrap()];
    let (right, wrong) = secrets.split_at(1);
    let Ok(request) = srl.request() else {
        assert!(srl.authenticate(right, 0).is_err());
        return;
    };
    assert!(srl.authenticate(wrong, 0).is_err(), "nobody signed with this");
    if request.kind == SrlKind::Cdn {
        // It says more than the request does: the file id itself, of which the request has the digest.
        return;
    }
    let signed = request.sign(&right[0]);
    assert_eq!(signed.request().as_ref(), Ok(&request), "what was understood can be said again");
    assert!(signed.authenticate(wrong, 0).is_err());
    if let Ok(granted) = signed.authenticate(right, 0) {
        assert_eq!(granted, request);
    }
}

/// A row's metadata, names, and numbers in hex.
pub fn metadata(data: &[u8]) {
    if let Ok(metadata) = UnixMetadata::decode(data, 0o644) {
        assert_eq!(UnixMetadata::decode(&metadata.encode(), 0o755), Ok(metadata));
    }
    if let Ok(name) = Name::new(data) {
        assert_eq!(name.as_bytes(), data);
    }
    if let Ok(text) = str::from_utf8(data) {
        let hex = text.to_ascii_lowercase();
        for again in [
            Fingerprint::parse(text).map(|value| value.to_string()),
            Digest::parse(text).map(|value| value.to_string()),
            Token::parse(text).map(|value| value.to_string()),
        ]
        .into_iter()
        .flatten()
        {
            assert_eq!(again, hex);
        }
    }
}

/// A list of block digests from a stranger, for an object of any size.
pub fn block_digests(data: &[u8]) {
    let mut input = Input::new(data);
    let size = input.u64() >> (input.byte() % 64);
    let block = input.u64() >> (input.byte() % 64);
    let content = Content { fingerprint: Fingerprint([0; 16]), size, digest: Digest(input.array()) };
    let list = input.rest();
    if let Ok(digests) = BlockDigests::from_bytes(&content, list) {
        assert_eq!(digests.as_bytes(), list);
        assert!(content.blocks() <= 1 || list.len() as u64 == 32 * content.blocks());
        assert!(digests.verify(&content, block, list).is_err() || size <= list.len() as u64);
    }
}
