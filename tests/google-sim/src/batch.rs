//! The batch endpoint: calls of one API in one request, each answered as if it were sent separately.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Request, Response, header};
use futures_util::future::join_all;
use tower::ServiceExt as _;

use crate::state::World;
use crate::{concurrency, errors, latency, reply};

const BOUNDARY: &str = "batch_sim";

/// Answers a batch of at most this many calls of `api`, in order; a fault may strike the batch as a whole (method `batch`), or single
/// calls.
pub async fn serve(
    State(world): State<Arc<World>>,
    (api, most): (Router, usize),
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    world.ledger.batch();
    let fault = world.faults.strike("batch", None, false);
    let answered = reply::with_fault(&world, fault, async || answers(&api, most, &headers, &body).await);
    // Its calls are in flight until the batch is answered, including the wait.
    concurrency::together(latency::batch(&world, answered)).await
}

async fn answers(api: &Router, most: usize, headers: &HeaderMap, body: &Bytes) -> Response<Body> {
    let bad = |why: &str| errors::google(400, "badRequest", &format!("Failed to parse batch request: {why}"));
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(boundary) = boundary(kind) else { return bad("the content type is not multipart/mixed with a boundary") };
    let Ok(text) = std::str::from_utf8(body) else { return bad("not UTF-8") };
    // Clients choose the line ending: Python's client uses a bare line feed.
    let text = text.replace("\r\n", "\n");
    let delimiter = format!("--{boundary}");
    let parts: Vec<&str> = text.split(delimiter.as_str()).skip(1).take_while(|part| !part.starts_with("--")).collect();
    if parts.is_empty() || parts.len() > most {
        return bad(&format!("it holds no calls, or more than {most}"));
    }
    let outer = headers.get(header::AUTHORIZATION);
    let Some(calls) = parts.iter().map(|part| call(part, outer)).collect::<Option<Vec<_>>>() else {
        return bad("a part is not an application/http call with its own path");
    };
    let answers = join_all(calls.into_iter().map(|(id, request)| answer(api.clone(), id, request))).await;
    let mut bytes = Vec::new();
    for part in answers {
        bytes.extend_from_slice(format!("--{BOUNDARY}\r\n").as_bytes());
        match part {
            Ok(part) => bytes.extend_from_slice(&part),
            // The connection broke within this answer, and with it the rest of the batch.
            Err(part) => {
                bytes.extend_from_slice(&part);
                let promised = bytes.len() + 1_000;
                return reply::broken(bytes.into(), promised);
            }
        }
    }
    bytes.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    let kind = format!("multipart/mixed; boundary={BOUNDARY}");
    reply::whole_as(bytes, HeaderValue::from_str(&kind).unwrap_or(HeaderValue::from_static("multipart/mixed")), headers)
}

fn boundary(kind: &str) -> Option<&str> {
    let parameters = kind.strip_prefix("multipart/mixed")?;
    let value = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("boundary="))?;
    Some(value.trim_matches('"')).filter(|boundary| !boundary.is_empty())
}

/// The call in a part, and the part's Content-ID. The part's own authorization overrides the batch's.
fn call(part: &str, outer: Option<&HeaderValue>) -> Option<(Option<String>, Request<Body>)> {
    let (head, inner) = part.trim_start().split_once("\n\n")?;
    // A long header continues in the next line.
    let head = head.replace("\n ", " ").replace("\n\t", " ");
    let field = |name: &str| {
        head.lines().find_map(|line| {
            line.split_once(':').filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
        })
    };
    field("content-type").filter(|kind| kind.starts_with("application/http"))?;
    let id = field("content-id").map(|id| id.trim_matches(['<', '>']).to_owned());
    let (inner, body) = inner.trim_start().split_once("\n\n").unwrap_or((inner, ""));
    let mut lines = inner.lines();
    let mut words = lines.next()?.split_whitespace();
    let (method, path) = (words.next()?, words.next().filter(|path| path.starts_with('/'))?);
    let mut request = Request::builder().method(method).uri(path);
    if let Some(value) = outer {
        request = request.header(header::AUTHORIZATION, value);
    }
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("authorization")
            && let Some(headers) = request.headers_mut()
        {
            headers.remove(header::AUTHORIZATION);
        }
        // The batch is compressed as a whole: clients do not decompress single answers, although each call requests it.
        if !name.eq_ignore_ascii_case("accept-encoding") {
            request = request.header(name.trim(), value.trim());
        }
    }
    Some((id, request.body(Body::from(body.trim_end().to_owned())).ok()?))
}

/// The part that answers a call; an error holds the bytes before the answer broke.
async fn answer(api: Router, id: Option<String>, request: Request<Body>) -> Result<Vec<u8>, Vec<u8>> {
    let Ok(response) = api.oneshot(request).await;
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await;
    let id = id.map_or(String::new(), |id| format!("Content-ID: <response-{id}>\r\n"));
    let mut head = format!("Content-Type: application/http\r\n{id}\r\nHTTP/1.1 {}\r\n", parts.status);
    for (name, value) in parts.headers.iter().filter(|(name, _)| **name != header::CONTENT_LENGTH) {
        let _ = write!(head, "{name}: {}\r\n", value.to_str().unwrap_or_default());
    }
    let Ok(body) = body else { return Err(head.into_bytes()) };
    let _ = write!(head, "Content-Length: {}\r\n\r\n", body.len());
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(&body);
    bytes.extend_from_slice(b"\r\n");
    Ok(bytes)
}
