//! Finds meeting links in text and HTML of any script: where a link starts and ends. Independent of providers.

use memchr::memchr;
use url::Url;

use super::{Link, kind, provider, wrapped};

/// Maximum length of an address.
const MAX_LENGTH: usize = 4_096;
/// Maximum length of a host.
const MAX_HOST: usize = 253;
/// Maximum number of addresses parsed in one text, including wrapped ones, to bound the time.
const MAX_ADDRESSES: u32 = 2_000;
/// Maximum number of nested wrappers.
const MAX_DEPTH: u32 = 5;

/// The meeting link that an address is or wraps.
pub fn of(address: &str) -> Option<Link> {
    resolve(address, MAX_DEPTH, &mut MAX_ADDRESSES.clone())
}

/// The meeting links in a text or in HTML, in their order. Makes no requests: a target that a wrapper does not contain remains unknown.
pub fn find(text: &str) -> Vec<Link> {
    let (mut links, mut at, mut fuel) = (Vec::new(), 0, MAX_ADDRESSES);
    while let Some(slash) = memchr(b'/', &text.as_bytes()[at..]).map(|offset| at + offset) {
        if fuel == 0 {
            break;
        }
        let (link, end) = match beginning(&text[at..slash]) {
            Some(length) => {
                let token = token(&text[slash - length..]);
                (resolve(token, MAX_DEPTH, &mut fuel), slash - length + token.len())
            }
            None => match bare(&text[..slash], slash - at) {
                Some(host) => {
                    let token = token(&text[slash - host..]);
                    (resolve(&format!("https://{token}"), 0, &mut fuel), slash - host + token.len())
                }
                None => (None, 0),
            },
        };
        // An unknown address may contain a link: `https://unknown.example/?to=https://zoom.us/j/1`.
        at = if link.is_some() { end } else { slash + 1 };
        links.extend(link);
    }
    links
}

/// The length of the scheme at the end of a text.
fn beginning(before: &str) -> Option<usize> {
    let bytes = before.as_bytes();
    ["https:", "http:"].into_iter().map(str::as_bytes).find_map(|scheme| {
        let tail = bytes.len().checked_sub(scheme.len()).and_then(|at| bytes.get(at..))?;
        tail.eq_ignore_ascii_case(scheme).then_some(scheme.len())
    })
}

/// The length of a provider's host at the end of a text, unless it is within an address. `max`: length of the part not read yet.
fn bare(before: &str, max: usize) -> Option<usize> {
    let host = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let length = before.bytes().rev().take(max.min(MAX_HOST)).take_while(host).count();
    let (around, name) = before.split_at(before.len() - length);
    let within = around.ends_with(|letter: char| "/@=&?#%_~+$".contains(letter));
    (!within && name.contains('.')).then(|| provider(&name.to_ascii_lowercase())).flatten().map(|_| length)
}

/// The start of a text, up to a character that cannot be in an address.
fn token(text: &str) -> &str {
    let end = text.char_indices().find(|(at, letter)| *at >= MAX_LENGTH || ends(*letter)).map_or(text.len(), |(at, _)| at);
    &text[..end]
}

/// Whether a character ends an address: spaces, quotes and brackets; outside ASCII also punctuation and invisible characters.
fn ends(letter: char) -> bool {
    if letter.is_ascii() {
        letter.is_ascii_whitespace() || letter.is_ascii_control() || "\"'<>()[]{}|\\^`".contains(letter)
    } else {
        !letter.is_alphanumeric()
    }
}

/// The meeting link of an address, within up to `depth` wrappers.
fn resolve(address: &str, depth: u32, fuel: &mut u32) -> Option<Link> {
    let plain = plain(token(address.trim_start()));
    let written = plain.trim_end_matches(['.', ',', ';', ':', '!', '?', '*', '_', '~']);
    let link = read(written, depth, fuel)?;
    match written.find(|letter: char| !letter.is_ascii()) {
        // "https://zoom.us/j/1请加入": the text continues.
        Some(at) if link.kind.is_ascii() => read(&written[..at], depth, fuel),
        _ => Some(link),
    }
}

fn read(written: &str, depth: u32, fuel: &mut u32) -> Option<Link> {
    *fuel = fuel.checked_sub(1)?;
    let url = Url::parse(written).ok()?;
    if let Some(kind) = kind(&url) {
        return Some(Link { url: lower(written, &url), kind });
    }
    let depth = depth.checked_sub(1)?;
    wrapped::targets(&url, written).iter().find_map(|target| resolve(target, depth, fuel))
}

/// An address with its scheme and host in lower case, otherwise unchanged.
fn lower(written: &str, url: &Url) -> String {
    let Some((scheme, rest)) = written.split_once("://") else { return url.to_string() };
    let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    format!("{}://{}{path}", scheme.to_ascii_lowercase(), host.to_ascii_lowercase())
}

/// Decodes the HTML entities of an address, up to one that cannot be part of it.
fn plain(token: &str) -> String {
    let mut text = String::with_capacity(token.len());
    let mut rest = token;
    while let Some(at) = memchr(b'&', rest.as_bytes()) {
        text.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let Some((letter, length)) = entity(rest) else {
            text.push('&');
            continue;
        };
        rest = &rest[length..];
        // Escaped twice.
        while let Some(after) = rest.strip_prefix("amp;").filter(|_| letter == '&') {
            rest = after;
        }
        if ends(letter) {
            return text;
        }
        text.push(letter);
    }
    text + rest
}

/// The character represented by an entity after an ampersand, and the length of the entity.
fn entity(text: &str) -> Option<(char, usize)> {
    let length = text.bytes().take(10).position(|byte| byte == b';')?;
    let letter = match &text[..length] {
        "amp" => '&',
        "quot" => '"',
        "lt" => '<',
        "gt" => '>',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        name => {
            let number = name.strip_prefix('#')?;
            let hex = number.strip_prefix(['x', 'X']).map(|digits| u32::from_str_radix(digits, 16));
            char::from_u32(hex.unwrap_or_else(|| number.parse()).ok()?)?
        }
    };
    Some((letter, length + 1))
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;
    use proptest::prelude::*;

    fn first(text: &str) -> Option<(String, Kind)> {
        find(text).into_iter().next().map(|link| (link.url, link.kind))
    }

    #[test]
    fn a_link_is_found_in_prose_and_in_html() {
        let zoom = "https://acme.zoom.us/j/42?pwd=x";
        let table = [
            "Notes: https://example.com. Join at https://acme.zoom.us/j/42?pwd=x, please.",
            "HTTPS://ACME.ZOOM.US/j/42?pwd=x",
            "Zoom: acme.zoom.us/j/42?pwd=x!",
            "加入会议：https://acme.zoom.us/j/42?pwd=x。谢谢",
            "（https://acme.zoom.us/j/42?pwd=x）",
            "加入acme.zoom.us/j/42?pwd=x請加入",
            "«https://acme.zoom.us/j/42?pwd=x»",
            "“https://acme.zoom.us/j/42?pwd=x”…",
            "https://acme.zoom.us/j/42?pwd=x\u{200b}\u{feff}",
            "https://acme.zoom.us/j/42?pwd=x\u{a0}now",
            "【https://acme.zoom.us/j/42?pwd=x】",
            r#"<a href="https://acme.zoom.us/j/42?pwd=x">Join</a>"#,
            "<p>https://acme.zoom.us/j/42?pwd=x&nbsp;</p>",
            "https://acme.zoom.us/j/42?pwd=x&#8203;&lt;br&gt;",
            "[https://acme.zoom.us/j/42?pwd=x](https://acme.zoom.us/j/42?pwd=x)",
            "**https://acme.zoom.us/j/42?pwd=x**",
        ];
        for text in table {
            assert_eq!(first(text), Some((zoom.into(), Kind::Zoom)), "{text}");
        }
        for html in [
            r#"<a href="https://teams.live.com/meet/9?a=1&amp;b=2">Join</a>"#,
            r#"<a href="https://teams.live.com/meet/9?a=1&#38;b=2">Join</a>"#,
            r#"&lt;a href=&quot;https://teams.live.com/meet/9?a=1&amp;amp;b=2&quot;&gt;"#,
        ] {
            assert_eq!(first(html), Some(("https://teams.live.com/meet/9?a=1&b=2".into(), Kind::Teams)));
        }
        assert_eq!(first("https://meet.jit.si/Große"), Some(("https://meet.jit.si/Große".into(), Kind::Jitsi)));
    }

    #[test]
    fn text_that_resembles_a_link_is_not_one() {
        for text in [
            "ann@zoom.us/j/1",
            "zoom.us",
            "meet.google.com/",
            "see a/b/c, and/or zoom/j/1",
            "ftp://zoom.us/j/1",
            "https://example.com/zoom.us/j/1",
        ] {
            assert_eq!(first(text), None, "{text}");
        }
    }

    #[test]
    fn megabytes_of_any_text_are_read_in_bounded_steps() {
        let parts = [
            "https://",
            "http",
            "/",
            "zoom.us/",
            "&amp;",
            "a.zoom/j",
            "https://a.b/?u=https%3A%2F%2Fa.b%2F%3Fu%3D",
            "。",
            "&#x26;",
            "%2525",
            "https://urldefense.com/v3/__https:",
        ];
        for part in parts {
            let text = part.repeat(1_000_000 / part.len());
            find(&text);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(
            text in "(http|https://|zoom.us/j/|google.com/url\\?q=|%3A%2F%2F|&amp;|/v3/__|__;|!|\\?u=|-3A_|#/|\\PC){0,30}"
        ) {
            let _ = find(&text);
        }

        #[test]
        fn a_link_is_found_within_any_text(before in "[^/@A-Za-z0-9.-]{0,20}", after in "[\\s。、）】”’»\u{200b}\u{a0}\"'<>]\\PC{0,20}") {
            let text = format!("{before}https://us02web.zoom.us/j/81234567890?pwd=QWJj{after}");
            prop_assert_eq!(first(&text), Some(("https://us02web.zoom.us/j/81234567890?pwd=QWJj".to_owned(), Kind::Zoom)));
        }
    }
}
