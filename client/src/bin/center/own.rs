//! Bytes without a folder: ufid, for files under ids of one's own, and object, for bytes without a file.

use std::path::Path;

use client::Center;
use protocol::digest::Fingerprint;
use protocol::id::Token;
use protocol::srl::{ObjectName, SrlOperation};

use crate::Outcome;
use crate::arguments::Term;
use crate::download::{found, save};
use crate::files::print;
use crate::meter::Meter;
use crate::show;
use crate::upload::{hash, metered, not_stored};
use crate::urls::print_url;

pub(crate) async fn put(center: &Center, local: &Path, id: &str, replace: bool) -> Outcome {
    let (content, _) = hash(local).await?;
    let meter = Meter::new(&show::plain(id.as_bytes()), content.size);
    let (file, source) = (center.client_file(id.as_bytes()), metered(local, &meter));
    let stored = center.store_client_file(file, replace, client::new_token(), &content, source).await;
    meter.finish();
    stored.map(drop).map_err(|error| not_stored(local, &error))
}

pub(crate) async fn get(center: &Center, id: &str, local: &Path) -> Outcome {
    let content = center.find_client_file(center.client_file(id.as_bytes())).await;
    let content = content.map_err(|error| told(id, error))?;
    save(center.fetch(&content), &show::plain(id.as_bytes()), found(&content), local, None).await
}

pub(crate) async fn stat(center: &Center, id: &str) -> Outcome {
    let file = center.client_file(id.as_bytes());
    let content = center.find_client_file(file).await.map_err(|error| told(id, error))?;
    let lines = [
        format!("id      {}", show::plain(id.as_bytes())),
        format!("ufid    {file}.UFID"),
        format!("size    {}", content.size),
        format!("md5     {}", content.fingerprint),
        format!("blake3  {}", content.digest),
    ];
    print(lines.into_iter())
}

pub(crate) async fn remove(center: &Center, id: &str) -> Outcome {
    let file = center.client_file(id.as_bytes());
    center.delete_client_file(file, client::new_token()).await.map_err(|error| told(id, error))
}

/// What a URL of a file under an id is for.
pub(crate) enum Purpose {
    Fetch,
    Store { replace: bool },
}

pub(crate) fn srl(center: &Center, id: &str, term: &Term, purpose: Purpose, name: &str) -> Outcome {
    let file = center.client_file(id.as_bytes());
    let operation = match purpose {
        Purpose::Fetch => SrlOperation::Fetch { object: ObjectName::ClientFile(file) },
        Purpose::Store { replace } => SrlOperation::StoreClientFile { file, replace },
    };
    print_url(center, operation, name.as_bytes(), term)
}

pub(crate) async fn put_object(center: &Center, local: &Path) -> Outcome {
    let (content, _) = hash(local).await?;
    let meter = Meter::new(&local.to_string_lossy(), content.size);
    let stored = center.store(client::new_token(), &content, metered(local, &meter)).await;
    meter.finish();
    let stored = stored.map_err(|error| not_stored(local, &error))?;
    print(std::iter::once(format!("{} {}", stored.content.fingerprint, stored.token)))
}

pub(crate) async fn remove_object(center: &Center, md5: &str, token: &str) -> Outcome {
    let wrong = |what: &str| format!("a {what} is 32 hex digits, as `center object put` prints it");
    let fingerprint = Fingerprint::parse(md5).ok_or_else(|| wrong("MD5"))?;
    let token = Token::parse(token).ok_or_else(|| wrong("token"))?;
    center.delete(&fingerprint, token).await.map_err(|error| error.to_string())
}

fn told(id: &str, why: impl std::fmt::Display) -> String {
    format!("{}: {why}", show::plain(id.as_bytes()))
}
