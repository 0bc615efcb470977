//! Pages of 25, and the cursor that leads to the next.

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::ask::Ask;
use super::errors::{self, Refusal};

const SIZE: usize = 25;

/// The requested page. Each entry has a fixed position, so concurrent additions and deletions do not shift pages.
pub fn page(ask: &Ask, origin: &str, all: impl Iterator<Item = (u64, Value)>) -> Result<Value, Refusal> {
    let after = match ask.get("cursor") {
        Some(cursor) => Some(position(cursor).ok_or_else(|| Box::new(errors::detail(404, "Invalid cursor")))?),
        None => None,
    };
    let mut rest = all.filter(|(position, _)| after.is_none_or(|after| *position > after));
    let page: Vec<(u64, Value)> = rest.by_ref().take(SIZE).collect();
    let last = page.last().map(|(position, _)| *position).filter(|_| rest.next().is_some());
    let link = |cursor: String| {
        let kept = ask.uri.query().unwrap_or_default().split('&').filter(|part| !part.is_empty() && !part.starts_with("cursor="));
        let query: Vec<&str> = kept.chain([cursor.as_str()]).collect();
        format!("{origin}/api/v1{}?{}", ask.uri.path(), query.join("&"))
    };
    let next = last.map(|last| link(format!("cursor={}", BASE64.encode(format!("p={last}").as_bytes()).replace('=', "%3D"))));
    let results: Vec<Value> = page.into_iter().map(|(_, value)| value).collect();
    Ok(json!({ "next": next, "previous": null, "results": results }))
}

fn position(cursor: &str) -> Option<u64> {
    let text = String::from_utf8(BASE64.decode(cursor.as_bytes()).ok()?).ok()?;
    text.strip_prefix("p=")?.parse().ok()
}
