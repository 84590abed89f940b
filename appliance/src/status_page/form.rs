//! What a browser sends of a form (URL Standard, "application/x-www-form-urlencoded"). Pure.

use percent_encoding::percent_decode;

/// The first field of this name.
pub fn field(body: &[u8], name: &str) -> Option<Vec<u8>> {
    let mut fields = body.split(|byte| *byte == b'&').map(|field| {
        let (name, value) = match field.iter().position(|byte| *byte == b'=') {
            Some(place) => (&field[..place], &field[place + 1..]),
            None => (field, &[][..]),
        };
        (decoded(name), value)
    });
    fields.find(|(found, _)| found == name.as_bytes()).map(|(_, value)| decoded(value))
}

fn decoded(text: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_decode(&spaced).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_read_as_a_browser_writes_it() {
        let body = b"a=1&password=a+b%2B%26%3D%C3%A4&password=other&empty";
        assert_eq!(field(body, "password").unwrap(), "a b+&=ä".as_bytes());
        assert_eq!(field(body, "empty").unwrap(), b"");
        assert_eq!((field(body, "b"), field(b"", "password")), (None, None));
        assert_eq!(field(b"password=%", "password").unwrap(), b"%", "what is no escape stays");
    }
}
