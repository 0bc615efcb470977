//! Extracts addresses from wrappers: those of mail filters, chats and search engines, and the launchers of Teams. Uses only the address itself;
//! makes no requests.

use std::borrow::Cow;

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Deserialize;
use url::Url;

use super::{is_teams, is_under};

/// Maximum number of times that an address may be escaped.
const MAX_ESCAPES: usize = 3;

/// The addresses that an address contains. `written`: the address as written.
pub fn targets(url: &Url, written: &str) -> Vec<String> {
    let host = url.host_str().unwrap_or_default();
    if is_teams(host) {
        return launched(url, host).into_iter().collect();
    }
    let mut targets: Vec<String> = Vec::new();
    if is_url_defense(host) {
        targets.extend(defended(url, written));
    }
    for (_, value) in parameters(url) {
        targets.extend(address(&value));
        // Sophos encodes its targets in base64.
        if is_under(host, "protection.sophos.com") {
            targets.extend(base64(&value).and_then(|text| address(&text)));
        }
    }
    targets.extend(embedded(url));
    targets
}

/// Decoded query parameters; a plus is kept, as it may be part of an address.
fn parameters(url: &Url) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
    let pairs = url.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name, percent_decode_str(value).decode_utf8_lossy()))
}

/// The address that a text is, after up to `MAX_ESCAPES` rounds of unescaping.
fn address(text: &str) -> Option<String> {
    let mut text = text.trim().to_owned();
    for _ in 0..MAX_ESCAPES {
        if begins(&text, "http://") || begins(&text, "https://") {
            return Some(text);
        }
        if !begins(&text, "http%") && !begins(&text, "https%") && !begins(&text, "http:%") && !begins(&text, "https:%") {
            return None;
        }
        text = percent_decode_str(&text).decode_utf8_lossy().into_owned();
    }
    None
}

fn begins(text: &str, with: &str) -> bool {
    text.as_bytes().get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()))
}

/// An address in a path: `https://secure-web.cisco.com/1abc/https%3A%2F%2Fzoom.us%2Fj%2F1`.
fn embedded(url: &Url) -> Option<String> {
    let path = url.path();
    let at = path.match_indices("http").map(|(at, _)| at).find(|at| address(&path[*at..]).is_some())?;
    let mut target = address(&path[at..])?;
    // If the address was not escaped, the query belongs to it.
    if let Some(query) = url.query() {
        target.push('?');
        target.push_str(query);
    }
    Some(target)
}

fn is_url_defense(host: &str) -> bool {
    ["urldefense.com", "urldefense.us", "urldefense.proofpoint.com"].iter().any(|domain| is_under(host, domain))
}

/// Proofpoint's URL Defense, versions 1 to 3.
fn defended(url: &Url, written: &str) -> Option<String> {
    if let Some((_, rest)) = written.split_once("/v3/__") {
        return Some(third(rest));
    }
    let (_, target) = parameters(url).find(|(name, _)| *name == "u")?;
    match url.path() {
        path if path.starts_with("/v2/") => {
            let escaped = target.replace('-', "%").replace('_', "/");
            Some(percent_decode_str(&escaped).decode_utf8_lossy().into_owned())
        }
        _ => Some(target.into_owned()),
    }
}

/// Version 3: `TARGET__;BYTES!…`. Each `*` in the target represents the next of the bytes (base64), and `**X` the number of bytes
/// that X encodes.
fn third(rest: &str) -> String {
    let (target, tail) = rest.split_once("__;").unwrap_or((rest, ""));
    let bytes = tail.split('!').next().and_then(base64).unwrap_or_default();
    let mut letters = bytes.chars();
    let mut text = String::with_capacity(target.len());
    let mut remaining = target.chars();
    while let Some(letter) = remaining.next() {
        match letter {
            '*' if remaining.as_str().starts_with('*') => {
                let run = remaining.nth(1).and_then(run_of).unwrap_or(1);
                text.extend(letters.by_ref().take(run));
            }
            '*' => text.push(letters.next().unwrap_or('*')),
            _ => text.push(letter),
        }
    }
    // Some relays collapse `//` to `/`.
    match text.split_once(":/") {
        Some((scheme, rest)) if !rest.starts_with('/') => format!("{scheme}://{rest}"),
        _ => text,
    }
}

/// Decodes a number of bytes: A to Z, a to z, 0 to 9, `-` and `_` count from 2.
fn run_of(letter: char) -> Option<usize> {
    let alphabet = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['-', '_']);
    alphabet.zip(2..).find(|(known, _)| *known == letter).map(|(_, run)| run)
}

fn base64(text: &str) -> Option<String> {
    let text = text.trim_end_matches('=').as_bytes();
    let bytes = BASE64URL_NOPAD.decode(text).or_else(|_| BASE64_NOPAD.decode(text)).ok()?;
    String::from_utf8(bytes).ok()
}

/// The meeting that a launcher of Teams opens.
fn launched(url: &Url, host: &str) -> Option<String> {
    if let Some(coords) = parameters(url).find(|(name, _)| *name == "coords").and_then(|(_, value)| base64(&value)) {
        return light(host, &coords);
    }
    let inner = parameters(url).find(|(name, _)| *name == "url").map(|(_, value)| value.into_owned());
    let inner = inner.filter(|inner| inner.contains('#'));
    let fragment = match &inner {
        Some(inner) => inner.split_once('#')?.1,
        None => url.fragment()?,
    };
    let path = fragment.trim_start_matches('/');
    (path.starts_with("l/meetup-join/") || path.starts_with("meet/")).then(|| format!("https://{host}/{path}"))
}

/// The coordinates of a meeting in a link to Teams' page for guests without an account.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Coordinates {
    conversation_id: String,
    tenant_id: String,
    organizer_id: String,
    message_id: Option<String>,
}

fn light(host: &str, coords: &str) -> Option<String> {
    let meeting: Coordinates = serde_json::from_str(coords).ok()?;
    let context = serde_json::json!({ "Tid": meeting.tenant_id, "Oid": meeting.organizer_id }).to_string();
    let escaped = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let (conversation, message) = (escaped(&meeting.conversation_id), escaped(meeting.message_id.as_deref().unwrap_or("0")));
    Some(format!("https://{host}/l/meetup-join/{conversation}/{message}?context={}", escaped(&context)))
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, of};
    use data_encoding::BASE64;

    const ZOOM: &str = "https://us02web.zoom.us/j/81234567890?pwd=QWJjRGVm";
    const ESCAPED: &str = "https%3A%2F%2Fus02web.zoom.us%2Fj%2F81234567890%3Fpwd%3DQWJjRGVm";

    #[track_caller]
    fn leads(wrapped: &str, to: &str) {
        let link = of(wrapped).unwrap_or_else(|| panic!("no link in {wrapped}"));
        assert_eq!(link.url, to, "{wrapped}");
    }

    #[test]
    fn wrappers_are_removed() {
        let defended = "https-3A__us02web.zoom.us_j_81234567890-3Fpwd-3DQWJjRGVm";
        let sophos = BASE64.encode(ZOOM.as_bytes());
        for wrapped in [
            format!("https://eur03.safelinks.protection.outlook.com/?url={ESCAPED}&data=05%7C01&sdata=x%3D&reserved=0"),
            format!("https://gcc02.safelinks.protection.outlook.com/ap/t-59584e83/?url={ESCAPED}&data=05"),
            format!(
                "https://statics.teams.cdn.office.net/evergreen-assets/safelinks/1/atp-safelinks.html?url={ESCAPED}&locale=en"
            ),
            format!("https://www.google.com/url?q={ESCAPED}&sa=D&source=calendar&usg=AOv"),
            format!("https://www.google.de/url?sa=t&url={ESCAPED}"),
            "https://www.google.com/url?q=https://us02web.zoom.us/j/81234567890?pwd%3DQWJjRGVm&sa=D".to_owned(),
            format!("https://urldefense.proofpoint.com/v1/url?u={ESCAPED}&k=oIvRg"),
            format!("https://urldefense.proofpoint.com/v2/url?u={defended}&d=DwMFaQ&c=x"),
            format!("https://urldefense.com/v3/__{ZOOM}__;!!AbC123!xyz-_$"),
            "https://urldefense.com/v3/__https:/us02web.zoom.us/j/81234567890*pwd=QWJjRGVm__;Pw!!AbC!x$".to_owned(),
            "https://urldefense.us/v3/__https://us02web.zoom.us/j/81234567890**DQWJjRGVm__;P3B3ZD0!!AbC!x$".to_owned(),
            format!("https://linkprotect.cudasvc.com/url?a={ESCAPED}&c=E,1,x&typo=1"),
            format!("https://secure-web.cisco.com/1AbC-xyz/{ESCAPED}"),
            format!("https://slack-redir.net/link?url={ESCAPED}"),
            format!("https://www.linkedin.com/safety/go?url={ESCAPED}&trk=x"),
            format!("https://eu1.protection.sophos.com/?d=zoom.us&u={sophos}&i=x"),
            format!("https://protect2.fireeye.com/v1/url?k=1-2-3&q=1&e=x&u={ESCAPED}"),
            format!("https://meet.google.com/linkredirect?authuser=0&dest={ESCAPED}"),
        ] {
            leads(&wrapped, ZOOM);
        }
    }

    #[test]
    fn nested_wrappers_are_removed_up_to_a_limit() {
        let wrap = |inner: &str| {
            let escaped: String = url::form_urlencoded::byte_serialize(inner.as_bytes()).collect();
            format!("https://nam12.safelinks.protection.outlook.com/?url={escaped}&data=1")
        };
        let google = format!("https://www.google.com/url?q={ESCAPED}&sa=D");
        leads(&wrap(&google), ZOOM);
        leads(&wrap(&wrap(&google)), ZOOM);
        let deep = (0..8).fold(ZOOM.to_owned(), |inner, _| wrap(&inner));
        assert_eq!(of(&deep), None);
    }

    #[test]
    fn teams_launcher_links_lead_to_their_meetings() {
        let context = "context=%7b%22Tid%22%3a%22t%22%2c%22Oid%22%3a%22o%22%7d";
        let direct = format!("https://teams.microsoft.com/l/meetup-join/19:meeting_x@thread.v2/0?{context}");
        leads(
            &format!(
                "https://teams.microsoft.com/dl/launcher/launcher.html?url=/_#/l/meetup-join/19:meeting_x@thread.v2/0?{context}"
            ),
            &direct,
        );
        let escaped = format!("%2F_%23%2Fl%2Fmeetup-join%2F19:meeting_x@thread.v2%2F0%3F{}", context.replace('%', "%25"));
        leads(
            &format!("https://teams.microsoft.com/dl/launcher/launcher.html?url={escaped}&type=meetup-join&directDl=true"),
            &direct,
        );
        leads(
            &format!("https://teams.microsoft.com/v2/?meetingjoin=true#/l/meetup-join/19:meeting_x@thread.v2/0?{context}"),
            &direct,
        );
        leads(
            "https://teams.live.com/dl/launcher/launcher.html?url=%2F_%23%2Fmeet%2F93%3Fp%3Dabc",
            "https://teams.live.com/meet/93?p=abc",
        );
        let coords = BASE64.encode(br#"{"conversationId":"19:x@thread.v2","tenantId":"t","organizerId":"o","messageId":"0"}"#);
        let light =
            of(&format!("https://teams.microsoft.com/light-meetings/launch?agent=web&coords={coords}&x=1")).expect("a link");
        assert_eq!((light.kind, light.rank()), (Kind::Teams, 2), "{light:?}");
        assert_eq!(of("https://teams.microsoft.com/dl/launcher/launcher.html?url=/_#/downloads"), None);
    }
}
