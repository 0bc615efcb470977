//! Combines concurrent calls to Google into one request: multipart/mixed in both directions, following the rules of its batch endpoints. Each call costs
//! its own quota. Pure.

use std::fmt::Write as _;
use std::ops::Range;

use url::Url;
use uuid::Uuid;

use super::Host;
use crate::http::Answer;

/// Maximum number of headers parsed per response.
const HEADERS: usize = 32;

/// An API's batch endpoint, which accepts only calls of this API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Endpoint {
    pub host: Host,
    /// `batch`, the API and its version: the path below the host's origin.
    pub path: [&'static str; 3],
}

/// Encodes a batch as content type and body: GET requests, each with its own token.
pub fn encode<'a>(calls: impl Iterator<Item = (&'a Url, Option<&'a str>)>) -> (String, String) {
    // Random, so that the source of a token or URL cannot predict it.
    let boundary = format!("syncctl_{}", Uuid::new_v4().simple());
    let mut body = String::new();
    for (index, (url, token)) in calls.enumerate() {
        let query = url.query().map_or(String::new(), |query| format!("?{query}"));
        let _ = write!(
            body,
            "--{boundary}\r\nContent-Type: application/http\r\nContent-ID: <{index}>\r\n\r\nGET {}{query} HTTP/1.1\r\n",
            url.path()
        );
        if let Some(token) = token {
            let _ = write!(body, "Authorization: Bearer {token}\r\n");
        }
        body.push_str("\r\n\r\n");
    }
    let _ = write!(body, "--{boundary}--\r\n");
    (format!("multipart/mixed; boundary={boundary}"), body)
}

/// Decodes a batch's response into `count` responses, in the order of the calls; `None` if one is missing or occurs twice.
///
/// # Errors
/// Returns what is wrong with the response as a whole.
pub fn decode(content_type: &str, body: &[u8], count: usize) -> Result<Vec<Option<Answer>>, &'static str> {
    let boundary = boundary(content_type).ok_or("the response is not multipart/mixed")?;
    let (mut answers, mut seen): (Vec<Option<Answer>>, _) = (vec![None; count], vec![false; count]);
    let parts = parts(body, boundary);
    for (index, range) in parts.into_iter().enumerate() {
        let part = &body[range];
        let Some((index, answer)) = answer(part, index) else { continue };
        if let (Some(slot), Some(known)) = (answers.get_mut(index), seen.get_mut(index)) {
            *slot = (!std::mem::replace(known, true)).then_some(answer);
        }
    }
    Ok(answers)
}

fn boundary(content_type: &str) -> Option<&str> {
    let parameters = content_type.strip_prefix("multipart/mixed")?;
    let value = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("boundary="))?;
    Some(value.trim_matches('"')).filter(|boundary| !boundary.is_empty())
}

/// Ranges of the parts of a multipart body. Delimiters are at the start of a line; a truncated body ends with its last complete part.
fn parts(body: &[u8], boundary: &str) -> Vec<Range<usize>> {
    let delimiter = format!("--{boundary}");
    let delimiter = delimiter.as_bytes();
    let (mut parts, mut start) = (Vec::new(), None);
    let mut at = 0;
    while let Some(position) = memchr::memmem::find(&body[at..], delimiter).map(|offset| at + offset) {
        at = position + delimiter.len();
        if position > 0 && body[position - 1] != b'\n' {
            continue;
        }
        if let Some(start) = start {
            parts.push(start..position);
        }
        start = Some(at);
        if body[at..].starts_with(b"--") {
            break;
        }
    }
    parts
}

/// The response in a part, with the index of its call: from its Content-ID, or else the index of the part.
fn answer(part: &[u8], index: usize) -> Option<(usize, Answer)> {
    let part = part.trim_ascii_start();
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let httparse::Status::Complete((length, outer)) = httparse::parse_headers(part, &mut headers).ok()? else { return None };
    let id = header(outer, "content-id").and_then(|id| id.trim_matches(['<', '>']).strip_prefix("response-")?.parse().ok());
    let inner = &part[length..];
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = response.parse(inner).ok()? else { return None };
    let body = inner[length..].strip_suffix(b"\r\n").unwrap_or(&inner[length..]);
    // A response without its complete body is ignored.
    let promised = header(response.headers, "content-length").and_then(|length| length.parse::<usize>().ok());
    let body = match promised {
        Some(promised) => inner[length..].get(..promised)?,
        None => body,
    };
    let retry_after = header(response.headers, "retry-after").map(str::to_owned);
    Some((id.unwrap_or(index), (response.code?, retry_after, body.to_vec())))
}

fn header<'a>(headers: &'a [httparse::Header<'a>], name: &str) -> Option<&'a str> {
    let header = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(header.value).ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TYPE: &str = "multipart/mixed; boundary=\"b\"";

    fn part(id: &str, status: &str, body: &str) -> String {
        format!(
            "--b\r\nContent-Type: application/http\r\nContent-ID: <response-{id}>\r\n\r\nHTTP/1.1 {status}\r\nRetry-After: 7\r\nContent-Length: {}\r\n\r\n{body}\r\n",
            body.len()
        )
    }

    #[test]
    fn answers_match_their_calls_in_any_order() {
        let body = format!("{}{}--b--\r\n", part("1", "429 Too Many Requests", "{\"b\":\"--b\"}"), part("0", "200 OK", "{}"));
        let answers = decode(TYPE, body.as_bytes(), 3).expect("answers");
        assert_eq!(answers[0], Some((200, Some("7".into()), b"{}".to_vec())));
        assert_eq!(answers[1], Some((429, Some("7".into()), b"{\"b\":\"--b\"}".to_vec())));
        assert_eq!(answers[2], None);
    }

    #[test]
    fn a_truncated_batch_yields_only_complete_answers() {
        let body = format!("{}{}--b--\r\n", part("0", "200 OK", "{}"), part("1", "200 OK", "{\"items\":[]}"));
        for cut in 0..body.len() {
            let answers = decode(TYPE, &body.as_bytes()[..cut], 2).expect("answers");
            for (answer, complete) in answers.into_iter().zip(["{}", "{\"items\":[]}"]) {
                assert!(answer.is_none_or(|(_, _, body)| body == complete.as_bytes()), "cut at {cut}");
            }
        }
    }

    #[test]
    fn a_response_that_is_not_a_batch_is_refused() {
        assert!(decode("text/html", b"<html>", 1).is_err());
        assert!(decode("multipart/mixed", b"", 1).is_err());
        assert_eq!(decode(TYPE, b"--b--", 1).expect("answers"), [None]);
    }

    #[test]
    fn calls_are_written_with_path_query_and_token() {
        let url = Url::parse("https://www.googleapis.com/calendar/v3/calendars/a%23b/events?x=1&y=%20").expect("a URL");
        let (kind, body) = encode([(&url, Some("t0ken"))].into_iter());
        assert_ne!(kind, encode([(&url, None)].into_iter()).0, "a predictable boundary");
        assert!(
            body.contains(
                "\r\n\r\nGET /calendar/v3/calendars/a%23b/events?x=1&y=%20 HTTP/1.1\r\nAuthorization: Bearer t0ken\r\n"
            )
        );
    }

    proptest! {
        #[test]
        fn no_answer_causes_a_panic(body in proptest::collection::vec(any::<u8>(), 0..400), text in "(--b|\r\n|HTTP/1.1 200 OK|Content-ID: <response-9>|[a-z:<>]){0,40}") {
            let _ = decode(TYPE, &body, 4);
            let _ = decode(TYPE, text.as_bytes(), 4);
        }
    }
}
