//! Reads the text of files. No database access.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{StreamExt as _, TryStreamExt as _};

use super::data_urls::{Readable, Rest};
use super::file::{Content, File};
use super::integrity::Received;
use super::{Change, Drive, SCOPE, workbook};
use crate::charset;
use crate::engine::{Calls, Item, Stream, announce};
use crate::error::{Class, Failure};
use crate::google::Host;

/// Units of `files.get` with `alt=media`, and of `files.export`.
const DOWNLOAD_COST: u64 = 200;
const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
/// Maximum number of concurrent reads per page.
const AT_ONCE: usize = 8;
/// Maximum content of a page in bytes. The next poll reads the rest.
const MAX_PAGE_BYTES: usize = 32 << 20;
/// Maximum number of bytes received of a file, pictures included. Google exports up to 10 MB.
const MAX_RECEIVED: usize = 32 << 20;

/// How to get the text of a file.
#[derive(Debug, PartialEq, Eq)]
enum TextSource {
    /// `files.export` as this type.
    Export(&'static str),
    /// All sheets of a workbook; if it cannot be read, only the first one.
    Sheets,
    Download,
    None,
}

fn text_source(mime: &str) -> TextSource {
    match mime {
        "application/vnd.google-apps.document" => TextSource::Export("text/markdown"),
        "application/vnd.google-apps.presentation" => TextSource::Export("text/plain"),
        "application/vnd.google-apps.spreadsheet" => TextSource::Sheets,
        "application/json" => TextSource::Download,
        mime if mime.starts_with("text/") => TextSource::Download,
        _ => TextSource::None,
    }
}

/// Reads the content of a page's files.
pub struct Reading<'a> {
    drive: &'a Drive,
    stream: &'a Stream,
    bytes: AtomicUsize,
}

impl<'a> Reading<'a> {
    /// Creates a reader for files of this feed.
    pub fn new(drive: &'a Drive, stream: &'a Stream) -> Self {
        Self { drive, stream, bytes: AtomicUsize::new(0) }
    }

    /// Reads the content of the followed files whose documents do not hold it yet.
    ///
    /// # Errors
    /// Returns failures that concern more than one file: quota, token, scope.
    pub async fn fill(&self, calls: &Calls, items: &mut [Item<Change>]) -> Result<(), Failure> {
        let outdated = items.iter_mut().filter_map(|item| match &mut item.change {
            Change::File(file, content) if self.drive.watched.wants(self.stream, file, self.drive.settings.documents) => {
                Some((&**file, content))
            }
            _ => None,
        });
        let read = outdated.map(async |(file, content)| {
            *content = calls.on(&file.id, self.read(calls, file)).await?;
            Ok(())
        });
        // Collect first: a stream over the iterator would tie all futures to one lifetime of the items.
        let read: Vec<_> = read.collect();
        futures_util::stream::iter(read).buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn read(&self, calls: &Calls, file: &File) -> Result<Content, Failure> {
        let max = usize::try_from(self.drive.settings.content_max_size).unwrap_or(usize::MAX);
        let mime = file.mime_type.as_deref().unwrap_or_default();
        let source = text_source(mime);
        if source == TextSource::None {
            return Ok(Content::Absent(None));
        }
        let size = usize::try_from(file.size.unwrap_or(0)).unwrap_or(usize::MAX);
        if source == TextSource::Download && size > if holds_pictures(mime) { MAX_RECEIVED } else { max } {
            return Ok(Content::Absent(Some(format!("content not read: {size} bytes, drive.content_max_size is {max} bytes"))));
        }
        if self.bytes.load(Ordering::Relaxed) + size.min(max) > MAX_PAGE_BYTES {
            return Ok(Content::Unread);
        }
        let answer = match source {
            TextSource::Sheets => self.sheets(calls, file, max).await,
            source => self.request_text(calls, file, &source, max).await.map(|(kind, rest)| text(kind.as_deref(), rest, max)),
        };
        match answer {
            Ok(content) => {
                if let Content::Text { body, .. } = &content {
                    self.bytes.fetch_add(body.len(), Ordering::Relaxed);
                }
                Ok(content)
            }
            // A temporary limit, such as downloadQuotaExceeded.
            Err(Failure { class: Class::Permanent, message, retry_after: Some(after), of_token: false, .. }) => {
                Ok(Content::Later { note: format!("content not read yet: {message}"), after: Some(after) })
            }
            // A permanent error of one file, such as exportSizeLimitExceeded, fileNotDownloadable, notFound.
            Err(failure) if matches!(failure.class, Class::Permanent | Class::Gone) => {
                Ok(Content::Absent(Some(format!("content not read: {}", failure.message))))
            }
            // Google can fail to export a file for days; the feed must go on without it.
            Err(failure) if failure.class == Class::Transient && !failure.of_token => {
                calls.digest.failed("content of a file not read, the next poll tries again", self.stream, &failure);
                Ok(Content::Later { note: "content not read yet: Google failed to send it".into(), after: None })
            }
            Err(failure) => Err(failure),
        }
    }

    /// Reads every sheet of a workbook, or else the first one.
    async fn sheets(&self, calls: &Calls, file: &File, max: usize) -> Result<Content, Failure> {
        let why = match self.workbook(calls, file, max).await {
            Ok(Ok(rest)) => return Ok(text(Some("text/csv; charset=utf-8"), rest, max)),
            Ok(Err(why)) => why,
            // The first sheet alone may be small enough.
            Err(Failure { class: Class::Permanent, message, retry_after: None, of_token: false, .. }) => message,
            Err(failure) => return Err(failure),
        };
        let (kind, rest) = self.request_text(calls, file, &TextSource::Export("text/csv"), max).await?;
        Ok(match text(kind.as_deref(), rest, max) {
            Content::Text { body, note } => {
                let cut = note.map_or_else(String::new, |note| format!("; {note}"));
                Content::Text { body, note: Some(format!("first sheet only: {why}{cut}")) }
            }
            other => other,
        })
    }

    /// Reads the text of a workbook. The inner error explains why it cannot be read.
    async fn workbook(&self, calls: &Calls, file: &File, max: usize) -> Result<Result<Rest, String>, Failure> {
        let google = &self.drive.google;
        let mut url = google.url(Host::Apis, &["drive", "v3", "files", &file.id, "export"])?;
        url.query_pairs_mut().append_pair("mimeType", XLSX);
        let exported = calls
            .make(DOWNLOAD_COST, async || {
                // Limit the workbooks over all feeds: unpacked, they are much larger than the text that is kept. Each attempt takes its own
                // permit, so that waiting for quota or the next attempt does not block others.
                let permit = self.drive.workbooks.acquire().await;
                let (mut bytes, mut too_large) = (Vec::new(), false);
                let take = |part: &[u8]| {
                    too_large = bytes.len() + part.len() > MAX_RECEIVED;
                    if !too_large {
                        bytes.extend_from_slice(part);
                    }
                    !too_large
                };
                google.download("files.export", &calls.credential, SCOPE, url.clone(), take).await?;
                Ok((bytes, too_large, permit))
            })
            .await?;
        // Keep the permit until the workbook has been read.
        let (bytes, too_large, _permit) = exported;
        if too_large {
            return Ok(Err(format!("the workbook is larger than {MAX_RECEIVED} bytes")));
        }
        // Reading is slow, and a malformed file must not bring down the process.
        let read = announce::blocking(move || workbook::read(&bytes, max)).await;
        Ok(read.unwrap_or_else(|| Err("the workbook cannot be read".into())))
    }

    async fn request_text(
        &self,
        calls: &Calls,
        file: &File,
        source: &TextSource,
        max: usize,
    ) -> Result<(Option<String>, Rest), Failure> {
        calls.make(DOWNLOAD_COST, || self.request_once(calls, file, source, max)).await
    }

    async fn request_once(
        &self,
        calls: &Calls,
        file: &File,
        source: &TextSource,
        max: usize,
    ) -> Result<(Option<String>, Rest), Failure> {
        let google = &self.drive.google;
        let (what, url) = match source {
            TextSource::Export(kind) => {
                let mut url = google.url(Host::Apis, &["drive", "v3", "files", &file.id, "export"])?;
                url.query_pairs_mut().append_pair("mimeType", kind);
                ("files.export", url)
            }
            TextSource::Download | TextSource::Sheets | TextSource::None => {
                let mut url = google.url(Host::Apis, &["drive", "v3", "files", &file.id])?;
                url.query_pairs_mut().append_pair("alt", "media").append_pair("supportsAllDrives", "true");
                ("files.get", url)
            }
        };
        let (mut readable, mut received, mut ended) = (Readable::new(max), Received::default(), true);
        let take = |part: &[u8]| {
            received.push(part);
            ended = if received.bytes > MAX_RECEIVED { readable.end() } else { readable.push(part) };
            ended
        };
        let kind = google.download(what, &calls.credential, SCOPE, url, take).await?;
        // Google gives neither size nor checksum of an export.
        if *source == TextSource::Download && ended {
            received.check(file)?;
        }
        Ok((kind, readable.finish()))
    }
}

/// Whether files of this type may consist mostly of pictures.
fn holds_pictures(mime: &str) -> bool {
    matches!(mime, "text/html" | "text/markdown" | "text/x-markdown")
}

/// Decodes the kept bytes, with a note if they are not the complete text.
fn text(kind: Option<&str>, rest: Rest, max: usize) -> Content {
    let Rest { mut bytes, cut, left_out } = rest;
    if let Err(error) = std::str::from_utf8(&bytes)
        && cut
        && error.error_len().is_none()
    {
        // A character split at the cut must not change the detected charset.
        bytes.truncate(error.valid_up_to());
    }
    let charset::Decoded { text, note } = text_of(kind, &bytes);
    let cut = cut.then(|| format!("content cut at drive.content_max_size, {max} bytes"));
    let notes: Vec<String> = cut.into_iter().chain(note).collect();
    Content::Text {
        body: if left_out > 0 { without_definitions(&text) } else { text },
        note: (!notes.is_empty()).then(|| notes.join("; ")),
    }
}

/// Removes the Markdown lines that define pictures, which are empty now: `[image1]: <>`.
fn without_definitions(text: &str) -> String {
    let is_empty = |line: &str| {
        let name = line.trim_end().strip_suffix(": <>").and_then(|line| line.strip_prefix("[image"));
        name.and_then(|name| name.strip_suffix(']')).is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let kept: String = text.split_inclusive('\n').filter(|line| !is_empty(line)).collect();
    kept.trim_end().to_owned()
}

/// Decodes text by its byte order mark, the charset of the header, or else a guess.
fn text_of(kind: Option<&str>, bytes: &[u8]) -> charset::Decoded {
    let charset = kind.and_then(|kind| kind.split(';').find_map(|part| part.trim().strip_prefix("charset=")));
    charset::decode(bytes, charset)
}

#[cfg(test)]
mod tests;
