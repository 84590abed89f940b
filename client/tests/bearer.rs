//! What the holder of an SRL does with it, against a fake center on the real wire.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod fake;

use std::time::Duration;

use bytes::Bytes;
use client::{Bearer, ClientError, Found, Source};
use futures::TryStreamExt;
use http::{Method, StatusCode};
use protocol::digest::{Content, ObjectHasher};
use protocol::id::{CustomerId, ObjectId, Token};
use protocol::srl::{AccessMethod, ObjectName, SrlKind, SrlOperation, SrlRequest, SrlVersion};
use protocol::vfs::xml::{Stored, encode_error, encode_stored};

use fake::{Answer, Asked, Fake, NOW, secret, status};

const TOKEN: Token = Token([7; 16]);

fn bearer() -> Bearer {
    Bearer::new(Duration::from_secs(4), None).unwrap()
}

fn object() -> (Bytes, Content) {
    let bytes: Vec<u8> = (0..9_000_000_u32).map(|i| (i / 7) as u8 ^ (i >> 16) as u8).collect();
    let mut hasher = ObjectHasher::new();
    hasher.update(&bytes);
    (bytes.into(), hasher.finish().0)
}

fn url(fake: &Fake, operation: SrlOperation) -> String {
    let request = SrlRequest {
        kind: SrlKind::Standard,
        version: SrlVersion::Md5,
        expires: NOW + 60,
        access: AccessMethod::EndUser,
        customer: CustomerId(3),
        operation,
    };
    format!("{}{}", fake.url, request.sign(&secret()).path(b"clip.mp4"))
}

fn fetch_url(fake: &Fake, content: &Content) -> String {
    url(fake, SrlOperation::Fetch { object: ObjectName::Content(content.fingerprint) })
}

/// Gives these bytes, whatever they are, under this fingerprint.
fn serve(bytes: &Bytes, content: &Content, asked: &Asked) -> Option<Answer> {
    let etag = format!("\"{}\"", content.fingerprint);
    let mut answer = match asked.headers.get("range") {
        None => status(200, bytes.clone())?,
        Some(_) if asked.headers["if-match"] != etag => {
            return status(412, encode_error("precondition", None, "no"));
        }
        Some(range) => {
            let (first, last) = range.to_str().unwrap()["bytes=".len()..].split_once('-').unwrap();
            let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
            let mut part = status(206, bytes.slice(first..=last))?;
            let told = format!("bytes {first}-{last}/{}", bytes.len());
            part.headers_mut().insert("content-range", told.parse().unwrap());
            part
        }
    };
    answer.headers_mut().insert("etag", etag.parse().unwrap());
    Some(answer)
}

/// LIB-2: download(SRL) gives the object, in pieces; without a secret.
#[tokio::test]
async fn an_srl_is_enough_to_download() {
    let (bytes, content) = object();
    let served = bytes.clone();
    // The second piece breaks off once.
    let fake =
        Fake::start(move |asked| if asked.number == 2 { None } else { serve(&served, &content, asked) });
    let fake = fake.await;
    let url = fetch_url(&fake, &content);
    let found = bearer().look(&url).await.unwrap();
    assert_eq!(found, Found { fingerprint: content.fingerprint, size: 9_000_000 });
    assert_eq!(fake.log()[0].method, Method::HEAD);
    let pieces: Vec<Bytes> = bearer().download(&url, found).try_collect().await.unwrap();
    assert!(pieces.len() == 3 && pieces.concat() == bytes);
}

/// LIB-2: the stream of bytes that are not those of the SRL's object does not end well.
#[tokio::test]
async fn wrong_bytes_are_told_behind_the_last() {
    let (bytes, content) = object();
    let mut wrong = bytes.to_vec();
    wrong[8_999_999] ^= 1;
    let wrong = Bytes::from(wrong);
    let fake = Fake::start(move |asked| serve(&wrong, &content, asked)).await;
    let url = fetch_url(&fake, &content);
    let found = bearer().look(&url).await.unwrap();
    let downloaded: Result<Vec<Bytes>, _> = bearer().download(&url, found).try_collect().await;
    assert!(matches!(downloaded, Err(ClientError::Corrupt(_))), "{downloaded:?}");

    let other = Found { size: 10, ..found };
    let downloaded: Result<Vec<Bytes>, _> = bearer().download(&url, other).try_collect().await;
    assert!(matches!(downloaded, Err(ClientError::Protocol { .. })), "{downloaded:?}");
}

/// LIB-2: an upload's answer is believed if it names what was sent, also where an end user is sent on to a page.
#[tokio::test]
async fn an_srl_is_enough_to_upload() {
    let (bytes, content) = object();
    let file = Some(ObjectId(7));
    for (code, is_taken) in [(201, false), (303, false), (409, true)] {
        let fake = Fake::start(move |_| match is_taken {
            true => status(code, encode_error("exists", None, "the name is taken")),
            false => status(code, encode_stored(&Stored { content, token: TOKEN, file })),
        });
        let fake = fake.await;
        let url = url(&fake, SrlOperation::Store { parent: ObjectId(5) });
        let stored = bearer().upload(&url, TOKEN, &content, Source::bytes(bytes.clone())).await;
        match stored {
            Ok(stored) => assert_eq!((stored.file, is_taken), (file, false)),
            Err(ClientError::Refused { status, code, .. }) => {
                assert_eq!((status, code.as_str(), is_taken), (StatusCode::CONFLICT, "exists", true));
            }
            Err(error) => panic!("{error}"),
        }
        let log = fake.log();
        assert!(log[0].body == bytes && log[0].headers["x-upload-token"] == TOKEN.to_string());
    }
}

/// LIB-2: why an SRL is refused is told, though the answer to HEAD cannot say it.
#[tokio::test]
async fn a_refusal_has_words() {
    let (_, content) = object();
    let fake = Fake::start(|_| status(403, encode_error("expired", None, "the SRL has expired"))).await;
    let refused = bearer().look(&fetch_url(&fake, &content)).await.unwrap_err();
    assert!(matches!(&refused, ClientError::Refused { code, .. } if code == "expired"), "{refused}");
    let methods: Vec<Method> = fake.log().iter().map(|asked| asked.method.clone()).collect();
    assert_eq!(methods, [Method::HEAD, Method::GET]);
}

/// LIB-2: what is no URL is refused without being told again: it may be an SRL with a slip of the pen.
#[tokio::test]
async fn what_is_no_url_is_not_told() {
    for wrong in ["", "MS8xLzA/abc", "ftp://center/MS8xLzA/abc", "http:///MS8xLzA/abc"] {
        let error = bearer().look(wrong).await.unwrap_err();
        assert!(matches!(error, ClientError::Invalid(_)) && !error.to_string().contains("MS8x"), "{error}");
    }
}
