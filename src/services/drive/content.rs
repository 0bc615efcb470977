//! The text of files: which of them have one, and how it is read. Knows no database.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{StreamExt as _, TryStreamExt as _};

use super::data_urls::{Readable, Rest};
use super::file::{Content, File};
use super::integrity::Received;
use super::{Change, Drive, workbook};
use crate::charset;
use crate::engine::{Calls, Item, Stream, isolated};
use crate::error::{Class, Failure};
use crate::google::{self, Host};

/// `files.get` with `alt=media`, and `files.export`.
const DOWNLOAD_COST: u64 = 200;
const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
/// Files of one page whose content is read at once.
const AT_ONCE: usize = 8;
/// Bytes of content that a page may hold; what is beyond comes with the next poll.
const MOST_A_PAGE: usize = 32 << 20;
/// Bytes that are received of a file, most of which may be pictures. Google exports 10 MB.
const MOST_RECEIVED: usize = 32 << 20;

/// How to come to the text of a file.
#[derive(Debug, PartialEq, Eq)]
enum TextSource {
    /// `files.export` as this type.
    Export(&'static str),
    /// All sheets of a workbook; where it cannot be had, the first one alone.
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
    /// For files of this feed.
    pub fn new(drive: &'a Drive, stream: &'a Stream) -> Self {
        Self { drive, stream, bytes: AtomicUsize::new(0) }
    }

    /// Reads the content of those files that are followed and whose content is not the one that their document holds.
    ///
    /// # Errors
    /// What concerns more than one file: quota, token, scope.
    pub async fn fill(&self, calls: &Calls, items: &mut [Item<Change>]) -> Result<(), Failure> {
        let wanted = items.iter_mut().filter_map(|item| match &mut item.change {
            Change::File(file, content) if self.drive.watched.wants(self.stream, file, self.drive.settings.documents) => {
                Some((&**file, content))
            }
            _ => None,
        });
        let read = wanted.map(async |(file, content)| {
            *content = calls.on(&file.id, self.read(calls, file)).await?;
            Ok(())
        });
        // Collected first: a stream over the iterator would be bound to one lifetime of the items.
        let read: Vec<_> = read.collect();
        futures_util::stream::iter(read).buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn read(&self, calls: &Calls, file: &File) -> Result<Content, Failure> {
        let most = usize::try_from(self.drive.settings.content_max_size).unwrap_or(usize::MAX);
        let mime = file.mime_type.as_deref().unwrap_or_default();
        let way = text_source(mime);
        if way == TextSource::None {
            return Ok(Content::Absent(None));
        }
        let size = usize::try_from(file.size.unwrap_or(0)).unwrap_or(usize::MAX);
        if way == TextSource::Download && size > if holds_pictures(mime) { MOST_RECEIVED } else { most } {
            return Ok(Content::Absent(Some(format!("content not read: {size} bytes, drive.content_max_size is {most} bytes"))));
        }
        if self.bytes.load(Ordering::Relaxed) + size.min(most) > MOST_A_PAGE {
            return Ok(Content::Unread);
        }
        let answer = match way {
            TextSource::Sheets => self.sheets(calls, file, most).await,
            way => self.request_text(calls, file, &way, most).await.map(|(kind, rest)| text(kind.as_deref(), rest, most)),
        };
        match answer {
            Ok(content) => {
                if let Content::Text { body, .. } = &content {
                    self.bytes.fetch_add(body.len(), Ordering::Relaxed);
                }
                Ok(content)
            }
            // A limit that passes, such as downloadQuotaExceeded.
            Err(Failure { class: Class::Permanent, message, retry_after: Some(after), of_token: false, .. }) => {
                Ok(Content::Later { note: format!("content not read yet: {message}"), after: Some(after) })
            }
            // The verdict on one file, such as exportSizeLimitExceeded, fileNotDownloadable, notFound.
            Err(failure) if matches!(failure.class, Class::Permanent | Class::Gone) => {
                Ok(Content::Absent(Some(format!("content not read: {}", failure.message))))
            }
            // Google fails to export some files for days: the feed goes on without it.
            Err(failure) if failure.class == Class::Transient && !failure.of_token => {
                calls.digest.failed("content of a file not read, the next poll tries again", self.stream, &failure);
                Ok(Content::Later { note: "content not read yet: Google failed to send it".into(), after: None })
            }
            Err(failure) => Err(failure),
        }
    }

    /// Every sheet of a workbook.
    async fn sheets(&self, calls: &Calls, file: &File, most: usize) -> Result<Content, Failure> {
        let why = match self.workbook(calls, file, most).await {
            Ok(Ok(rest)) => return Ok(text(Some("text/csv; charset=utf-8"), rest, most)),
            Ok(Err(why)) => why,
            // The first sheet alone may be small enough.
            Err(Failure { class: Class::Permanent, message, retry_after: None, of_token: false, .. }) => message,
            Err(failure) => return Err(failure),
        };
        let (kind, rest) = self.request_text(calls, file, &TextSource::Export("text/csv"), most).await?;
        Ok(match text(kind.as_deref(), rest, most) {
            Content::Text { body, note } => {
                let cut = note.map_or_else(String::new, |note| format!("; {note}"));
                Content::Text { body, note: Some(format!("first sheet only: {why}{cut}")) }
            }
            other => other,
        })
    }

    /// The text of a workbook, or in words why it cannot be read.
    async fn workbook(&self, calls: &Calls, file: &File, most: usize) -> Result<Result<Rest, String>, Failure> {
        let google = &self.drive.google;
        let mut url = google.url(Host::Apis, &["drive", "v3", "files", &file.id, "export"])?;
        url.query_pairs_mut().append_pair("mimeType", XLSX);
        let exported = calls
            .make(DOWNLOAD_COST, async || {
                // Of all feeds together few at a time: unpacked a workbook is much larger than any text that is kept. Taken by each try
                // anew, so that one that waits for its quota or its next try keeps nobody from theirs.
                let place = self.drive.workbooks.acquire().await;
                let (mut bytes, mut more) = (Vec::new(), false);
                let take = |part: &[u8]| {
                    more = bytes.len() + part.len() > MOST_RECEIVED;
                    if !more {
                        bytes.extend_from_slice(part);
                    }
                    !more
                };
                google.download("files.export", &calls.credential, google::SCOPE_DRIVE, url.clone(), take).await?;
                Ok((bytes, more, place))
            })
            .await?;
        // Kept until it is read.
        let (bytes, more, _place) = exported;
        if more {
            return Ok(Err(format!("the workbook is larger than {MOST_RECEIVED} bytes")));
        }
        // Reading it takes long, and what another program wrote must not end this one.
        let read = isolated::blocking(move || workbook::read(&bytes, most)).await;
        Ok(read.unwrap_or_else(|| Err("the workbook cannot be read".into())))
    }

    async fn request_text(
        &self,
        calls: &Calls,
        file: &File,
        way: &TextSource,
        most: usize,
    ) -> Result<(Option<String>, Rest), Failure> {
        calls.make(DOWNLOAD_COST, || self.ask_once(calls, file, way, most)).await
    }

    async fn ask_once(
        &self,
        calls: &Calls,
        file: &File,
        way: &TextSource,
        most: usize,
    ) -> Result<(Option<String>, Rest), Failure> {
        let google = &self.drive.google;
        let (what, url) = match way {
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
        let (mut readable, mut received, mut ended) = (Readable::new(most), Received::default(), true);
        let take = |part: &[u8]| {
            received.push(part);
            ended = match received.bytes > MOST_RECEIVED {
                true => readable.end(),
                false => readable.push(part),
            };
            ended
        };
        let kind = google.download(what, &calls.credential, google::SCOPE_DRIVE, url, take).await?;
        // Of an export Google says neither size nor checksum.
        if *way == TextSource::Download && ended {
            received.check(file)?;
        }
        Ok((kind, readable.finish()))
    }
}

/// Whether files of this type may be mostly pictures.
fn holds_pictures(mime: &str) -> bool {
    matches!(mime, "text/html" | "text/markdown" | "text/x-markdown")
}

/// The text of what was kept, with a note if that is not all.
fn text(kind: Option<&str>, rest: Rest, most: usize) -> Content {
    let Rest { mut bytes, cut, left_out } = rest;
    if let Err(error) = std::str::from_utf8(&bytes)
        && cut
        && error.error_len().is_none()
    {
        // Half a character at the cut must not make another charset of it.
        bytes.truncate(error.valid_up_to());
    }
    let charset::Decoded { text, note } = text_of(kind, &bytes);
    let cut = cut.then(|| format!("content cut: there is more, drive.content_max_size is {most} bytes"));
    let notes: Vec<String> = cut.into_iter().chain(note).collect();
    Content::Text {
        body: if left_out > 0 { without_definitions(&text) } else { text },
        note: (!notes.is_empty()).then(|| notes.join("; ")),
    }
}

/// Without the lines of Markdown that define pictures, now that they are empty: `[image1]: <>`.
fn without_definitions(text: &str) -> String {
    let is_empty = |line: &str| {
        let name = line.trim_end().strip_suffix(": <>").and_then(|line| line.strip_prefix("[image"));
        name.and_then(|name| name.strip_suffix(']')).is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let kept: String = text.split_inclusive('\n').filter(|line| !is_empty(line)).collect();
    kept.trim_end().to_owned()
}

/// Text in whatever charset: a byte order mark says it, or the header; without either it is what it looks like.
fn text_of(kind: Option<&str>, bytes: &[u8]) -> charset::Decoded {
    let told = kind.and_then(|kind| kind.split(';').find_map(|part| part.trim().strip_prefix("charset=")));
    charset::decode(bytes, told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn googles_formats_are_exported_and_only_text_is_downloaded() {
        assert_eq!(text_source("application/vnd.google-apps.document"), TextSource::Export("text/markdown"));
        assert_eq!(text_source("text/csv"), TextSource::Download);
        assert_eq!(text_source("application/json"), TextSource::Download);
        assert_eq!(text_source("image/png"), TextSource::None);
        assert_eq!(text_source("application/vnd.google-apps.folder"), TextSource::None);
    }

    #[test]
    fn pictures_leave_their_places_and_no_definitions() {
        let mut readable = Readable::new(1 << 20);
        readable.push("Grüße ![][image1] ![a chart][image2]\n\n[image1]: <data:image/png;base64,AAAA>\n\n".as_bytes());
        readable.push(b"[image2]: <data:image/png;base64,AAAA>\n");
        let expected = Content::Text { body: "Grüße ![][image1] ![a chart][image2]".into(), note: None };
        assert_eq!(text(Some("text/markdown"), readable.finish(), 1 << 20), expected);
    }

    #[test]
    fn a_text_is_cut_between_characters_and_a_note_says_so() {
        let mut readable = Readable::new(4);
        readable.push("Grüße".as_bytes());
        readable.push(b" and more");
        let Content::Text { body, note } = text(None, readable.finish(), 4) else { panic!("no text") };
        assert_eq!((body.as_str(), note.is_some()), ("Grü", true));
        let mut readable = Readable::new(3);
        readable.push("Grüße".as_bytes());
        let Content::Text { body, .. } = text(None, readable.finish(), 3) else { panic!("no text") };
        assert_eq!(body, "Gr");
    }

    #[test]
    fn text_is_decoded_by_its_mark_its_header_or_as_what_it_can_be() {
        assert_eq!(text_of(None, "Grüße".as_bytes()).text, "Grüße");
        assert_eq!(text_of(None, b"Gr\xfc\xdfe").text, "Grüße");
        assert_eq!(text_of(Some("text/plain; charset=\"ISO-8859-5\""), b"\xbf\xe0\xd8").text, "При");
        assert_eq!(text_of(Some("text/plain"), b"\xff\xfeG\0r\0").text, "Gr");
        assert_eq!(text_of(Some("text/plain; charset=iso-2022-kr"), b"\x1b$)C\x0e>H3g\x0f").text, "안녕");
        assert_eq!(text_of(Some("text/plain; charset=us-ascii"), "Grüße".as_bytes()).text, "Grüße");
    }
}
