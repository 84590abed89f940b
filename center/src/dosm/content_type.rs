//! The Content-Type of an object, by the extension its SRL carries.
//!
//! That part of an SRL is not signed, so anybody may write anything there: only types that a browser does not run as
//! a program of our site are given out (SRL-1).

/// The type for a customer's URI, as it came; what is unknown or could carry a program is plain bytes.
pub fn by_extension(uri: &str) -> &'static str {
    let name = uri.rsplit('/').next().unwrap_or(uri);
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    match extension.to_ascii_lowercase().as_str() {
        "txt" | "log" | "md" | "csv" => "text/plain; charset=utf-8",
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "ico" => "image/x-icon",
        "mp3" => "audio/mpeg",
        "ogg" | "oga" => "audio/ogg",
        "wav" => "audio/wav",
        "flac" => "audio/flac",
        "mp4" | "m4v" => "video/mp4",
        "webm" => "video/webm",
        "mpg" | "mpeg" => "video/mpeg",
        "woff2" => "font/woff2",
        "zip" => "application/zip",
        "gz" | "tgz" => "application/gzip",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SRL-1: what a browser would run is never named as such.
    #[test]
    fn only_harmless_types_are_given() {
        assert_eq!(by_extension("photos/Cat.JPG"), "image/jpeg");
        assert_eq!(by_extension("a.txt/b"), "application/octet-stream");
        for dangerous in
            ["x.html", "x.svg", "x.xhtml", "x.js", "x.xml", "x.pdf", "", ".", "html", "x.txt%00.html"]
        {
            assert_eq!(by_extension(dangerous), "application/octet-stream", "{dangerous}");
        }
    }
}
