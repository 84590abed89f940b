//! Bytes to be stored, readable again from the start for every attempt.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, BoxStream, Stream, StreamExt, TryStreamExt};
use tokio::fs::File;
use tokio_util::io::ReaderStream;

/// Bytes read from a file at a time.
const READ_BYTES: usize = 256 << 10;

/// Bytes to be stored, readable again from the start for every attempt.
#[derive(Clone)]
pub struct Source(Arc<dyn Fn() -> BoxStream<'static, io::Result<Bytes>> + Send + Sync>);

impl Source {
    /// Bytes that `open` gives anew each time. They must be the same each time, and as many as the content says.
    ///
    /// ```
    /// let source = client::Source::new(|| futures::stream::iter([Ok("Hello, ".into()), Ok("world.".into())]));
    /// ```
    pub fn new<S>(open: impl Fn() -> S + Send + Sync + 'static) -> Self
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        Self(Arc::new(move || open().boxed()))
    }

    /// These bytes.
    ///
    /// ```
    /// let source = client::Source::bytes("Hello.".into());
    /// ```
    pub fn bytes(bytes: Bytes) -> Self {
        Self::new(move || stream::iter([Ok(bytes.clone())]))
    }

    /// The bytes of a file, which nobody changes meanwhile (else the center refuses them by their digest).
    ///
    /// ```
    /// let source = client::Source::file("film.mp4".into());
    /// ```
    pub fn file(path: PathBuf) -> Self {
        Self::new(move || {
            let opened = stream::once(File::open(path.clone()));
            opened.map_ok(|file| ReaderStream::with_capacity(file, READ_BYTES)).try_flatten()
        })
    }

    /// The same bytes; `seen` is told of the length of each piece as it is sent.
    ///
    /// ```
    /// let source = client::Source::file("film.mp4".into());
    /// let source = source.inspected(|bytes| println!("{bytes} bytes more"));
    /// ```
    pub fn inspected(self, seen: impl Fn(usize) + Send + Sync + 'static) -> Self {
        let seen = Arc::new(seen);
        Self::new(move || {
            let seen = seen.clone();
            self.open().inspect_ok(move |piece| seen(piece.len()))
        })
    }

    /// The same bytes; `opened` is told of each attempt as it begins.
    ///
    /// ```
    /// let source = client::Source::file("film.mp4".into());
    /// let source = source.on_open(|| println!("from the start"));
    /// ```
    pub fn on_open(self, opened: impl Fn() + Send + Sync + 'static) -> Self {
        Self::new(move || {
            opened();
            self.open()
        })
    }

    /// The same bytes, from the start.
    ///
    /// ```
    /// use futures::TryStreamExt;
    ///
    /// # async fn example() -> std::io::Result<()> {
    /// let pieces: Vec<bytes::Bytes> = client::Source::bytes("Hello.".into()).open().try_collect().await?;
    /// assert_eq!(pieces.concat(), b"Hello.");
    /// # Ok(())
    /// # }
    /// ```
    pub fn open(&self) -> BoxStream<'static, io::Result<Bytes>> {
        (self.0)()
    }
}

impl From<Arc<dyn Fn() -> BoxStream<'static, io::Result<Bytes>> + Send + Sync>> for Source {
    fn from(open: Arc<dyn Fn() -> BoxStream<'static, io::Result<Bytes>> + Send + Sync>) -> Self {
        Self(open)
    }
}
