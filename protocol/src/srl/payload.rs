//! The encoded request: base64 of the `/`-delimited payload (SRL-2 to SRL-11, SRL-15).

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::{AccessMethod, ObjectName, SrlError, SrlKind, SrlOperation, SrlRequest, SrlVersion};
use crate::digest::{Fingerprint, parse_hex};
use crate::id::{ClientFile, CustomerId, ObjectId};

/// Most bytes of an encoded request (SRL-3).
const ENCODED_BYTES_MAX: usize = 2 << 10;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_encode_padding(false)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);
/// What we write: `/` and `+` would have to be percent-encoded in a URL.
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);
/// What the founding document's plain `base64` may also mean.
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);

const NO_OP: u64 = 0x0000;
const STORE: u64 = 0x0010;
const FETCH: u64 = 0x0020;
const FETCH_AUTH: u64 = 0x0021;
const FETCH_DIGESTS: u64 = 0x0022;
const DELETE: u64 = 0x0050;
const CONTROL: u64 = 0x1000;

const CLIENT_FILE_SUFFIX: &str = ".UFID";
const REPLACE: &str = "replace";

pub(super) fn encode(request: &SrlRequest) -> String {
    URL_SAFE.encode(payload(request))
}

fn payload(request: &SrlRequest) -> String {
    let kind = match request.kind {
        SrlKind::Standard => 1,
        SrlKind::Cdn => 2,
    };
    let version = match request.version {
        SrlVersion::Md5 => 1,
        SrlVersion::HmacSha256 => 2,
    };
    let access = match request.access {
        AccessMethod::EndUser => 1,
        AccessMethod::StoragePort => 2,
    };
    let (code, arguments) = operation(&request.operation);
    let SrlRequest { expires, customer, .. } = request;
    format!("{kind}/{version}/{expires}/{access}/{customer}/{code}{arguments}")
}

/// Op code and arguments, each with its `/` in front.
fn operation(operation: &SrlOperation) -> (u64, String) {
    match operation {
        SrlOperation::NoOp => (NO_OP, String::new()),
        SrlOperation::Store { parent } => (STORE, format!("/{parent}")),
        SrlOperation::StoreClientFile { file, replace } => {
            let replace = if *replace { format!("/{REPLACE}") } else { String::new() };
            (STORE, format!("/{file}{CLIENT_FILE_SUFFIX}{replace}"))
        }
        SrlOperation::Fetch { object } => (FETCH, object_argument(object)),
        SrlOperation::FetchAuth { object, callback } => {
            let callback = utf8_percent_encode(callback, NON_ALPHANUMERIC);
            (FETCH_AUTH, format!("{}/{callback}", object_argument(object)))
        }
        SrlOperation::FetchDigests { fingerprint } => (FETCH_DIGESTS, format!("/{fingerprint}")),
        SrlOperation::Delete { object } => (DELETE, object_argument(object)),
        SrlOperation::Control { ticket } => (CONTROL, format!("/{ticket}")),
    }
}

fn object_argument(object: &ObjectName) -> String {
    match object {
        ObjectName::Content(fingerprint) => format!("/{fingerprint}"),
        ObjectName::ClientFile(file) => format!("/{file}{CLIENT_FILE_SUFFIX}"),
    }
}

/// The encoded request of a CDN SRL that fetches a file by the customer's own id for it (SRL-15).
pub(super) fn encode_cdn_fetch(request: &SrlRequest, unique_file_id: &str) -> String {
    let by_nothing = SrlRequest { kind: SrlKind::Cdn, operation: SrlOperation::NoOp, ..request.clone() };
    let prefix = payload(&by_nothing);
    let head = prefix.strip_suffix('0').unwrap_or(&prefix);
    URL_SAFE.encode(format!("{head}{FETCH}/{}", utf8_percent_encode(unique_file_id, NON_ALPHANUMERIC)))
}

pub(super) fn decode(encoded: &str) -> Result<SrlRequest, SrlError> {
    if encoded.len() > ENCODED_BYTES_MAX {
        return malformed("the encoded request is longer than 2 KiB");
    }
    let engine = if encoded.contains(['+', '/']) { STANDARD } else { URL_SAFE };
    let payload =
        engine.decode(encoded).map_err(|_| SrlError::Malformed("the encoded request is no base64"))?;
    let payload = str::from_utf8(&payload).map_err(|_| SrlError::Malformed("the payload is no text"))?;
    let mut fields = Fields(payload.split('/'));

    let kind = match fields.number("the type is no number")? {
        1 => SrlKind::Standard,
        2 => SrlKind::Cdn,
        _ => return malformed("unknown type"),
    };
    let version = match fields.number("the version is no number")? {
        1 => SrlVersion::Md5,
        2 => SrlVersion::HmacSha256,
        _ => return malformed("unknown version"),
    };
    let expires = fields.number("the expiry is no number")?;
    let access = match fields.number("the access method is no number")? {
        1 => AccessMethod::EndUser,
        2 => AccessMethod::StoragePort,
        _ => return malformed("unknown access method"),
    };
    let customer = u32::try_from(fields.number("the client id is no number")?);
    let customer = CustomerId(customer.map_err(|_| SrlError::Malformed("the client id is too large"))?);
    let code = fields.number("the op code is no number")?;
    if kind == SrlKind::Cdn && !matches!(code, NO_OP | FETCH | FETCH_AUTH) {
        return malformed("an SRL of type CDN only reads");
    }
    let operation = match code {
        NO_OP => SrlOperation::NoOp,
        STORE => match fields.client_file() {
            Some(file) => SrlOperation::StoreClientFile { file, replace: fields.replace() },
            None => SrlOperation::Store { parent: ObjectId(fields.number("the folder id is no number")?) },
        },
        FETCH => SrlOperation::Fetch { object: fields.object(kind, customer)? },
        FETCH_AUTH => {
            SrlOperation::FetchAuth { object: fields.object(kind, customer)?, callback: fields.callback()? }
        }
        FETCH_DIGESTS => SrlOperation::FetchDigests { fingerprint: fields.fingerprint()? },
        DELETE => SrlOperation::Delete { object: fields.object(kind, customer)? },
        CONTROL => SrlOperation::Control { ticket: fields.next("there is no ticket")?.to_owned() },
        _ => return malformed("unknown op code"),
    };
    match fields.0.next() {
        None => Ok(SrlRequest { kind, version, expires, access, customer, operation }),
        Some(_) => malformed("too many fields"),
    }
}

fn malformed<T>(why: &'static str) -> Result<T, SrlError> {
    Err(SrlError::Malformed(why))
}

struct Fields<'a>(std::str::Split<'a, char>);

impl<'a> Fields<'a> {
    /// A field; an empty one is as bad as none.
    fn next(&mut self, otherwise: &'static str) -> Result<&'a str, SrlError> {
        self.0.next().filter(|field| !field.is_empty()).ok_or(SrlError::Malformed(otherwise))
    }

    /// Decimal, or hexadecimal with `0x`.
    fn number(&mut self, otherwise: &'static str) -> Result<u64, SrlError> {
        let field = self.next(otherwise)?;
        let (digits, radix) = field.strip_prefix("0x").map_or((field, 10), |digits| (digits, 16));
        // `from_str_radix` would also take a sign.
        let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let value = if plain { u64::from_str_radix(digits, radix).ok() } else { None };
        value.ok_or(SrlError::Malformed(otherwise))
    }

    fn fingerprint(&mut self) -> Result<Fingerprint, SrlError> {
        let field = self.next("there is no MD5")?;
        let digits = field.strip_suffix(".MD5").unwrap_or(field);
        parse_hex(digits).map(Fingerprint).ok_or(SrlError::Malformed("the MD5 is not 32 hex digits"))
    }

    fn object(&mut self, kind: SrlKind, customer: CustomerId) -> Result<ObjectName, SrlError> {
        match (kind, self.client_file()) {
            (_, Some(file)) => Ok(ObjectName::ClientFile(file)),
            (SrlKind::Standard, None) => Ok(ObjectName::Content(self.fingerprint()?)),
            (SrlKind::Cdn, None) => {
                let name: Vec<u8> = percent_decode_str(self.next("there is no file name")?).collect();
                Ok(ObjectName::ClientFile(ClientFile::named(customer, &name)))
            }
        }
    }

    /// The next field if it is a file of the customer's own naming; else it stays.
    fn client_file(&mut self) -> Option<ClientFile> {
        let field = self.0.clone().next()?;
        let file = field.strip_suffix(CLIENT_FILE_SUFFIX).and_then(parse_hex).map(ClientFile);
        if file.is_some() {
            self.0.next();
        }
        file
    }

    fn replace(&mut self) -> bool {
        let is_said = self.0.clone().next() == Some(REPLACE);
        if is_said {
            self.0.next();
        }
        is_said
    }

    fn callback(&mut self) -> Result<String, SrlError> {
        let field = self.next("there is no callback")?;
        let callback = percent_decode_str(field).decode_utf8();
        callback.map(Into::into).map_err(|_| SrlError::Malformed("the callback is no text"))
    }
}
