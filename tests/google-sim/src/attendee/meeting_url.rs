//! Which links the server accepts, and how it normalises them, as in its `bots/meeting_url_utils.py`.

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use url::Url;

/// How often a link is unescaped before it is refused.
const ROUNDS: usize = 3;

/// The link in the server's normal form; `None`: refused.
pub fn normalized(given: &str) -> Option<String> {
    let mut link = given.trim().trim_end_matches('>').to_owned();
    for _ in 0..ROUNDS {
        if let Some(kept) = taken(&link).filter(|kept| !holds_another(kept)) {
            return Some(kept);
        }
        link = unescaped(&link);
    }
    None
}

fn unescaped(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn holds_another(link: &str) -> bool {
    let plain = unescaped(&unescaped(link));
    plain.matches("https://").count() + plain.matches("http://").count() > 1
}

fn taken(link: &str) -> Option<String> {
    let url = Url::parse(link).or_else(|_| Url::parse(&format!("https://{link}"))).ok()?;
    let host = url.host_str()?.to_ascii_lowercase();
    let is_under = |domain: &str| host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    match host.as_str() {
        "meet.google.com" => meet(link),
        "teams.microsoft.com" | "teams.live.com" => teams(link, &host),
        _ if is_under("zoom.us") || is_under("zoom.com") => zoom(&url, &host),
        _ => None,
    }
}

/// The first path segment after the host is the code, whatever it is.
fn meet(link: &str) -> Option<String> {
    let (_, rest) = link.split_once("meet.google.com/")?;
    let code: String = rest.chars().take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '-').collect();
    (!code.is_empty()).then(|| format!("https://meet.google.com/{code}"))
}

/// The path must contain a number; of the query only the passcode and a registrant's token stay.
fn zoom(url: &Url, host: &str) -> Option<String> {
    let host = host.strip_suffix("zoom.com").map_or(host.to_owned(), |before| format!("{before}zoom.us"));
    let valid = |letter: &char| letter.is_ascii_alphanumeric() || matches!(letter, '/' | '_' | '-');
    let path: String = url.path().chars().take_while(valid).collect();
    if !path.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    let mut kept = Vec::new();
    if let Some(passcode) = value("pwd") {
        let letters: String = passcode.chars().take_while(char::is_ascii_alphanumeric).collect();
        let rest = passcode.get(letters.len()..).and_then(|rest| rest.strip_prefix('.')).unwrap_or_default();
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        match (letters.is_empty(), digits.is_empty()) {
            (true, _) => {}
            (false, true) => kept.push(format!("pwd={letters}")),
            (false, false) => kept.push(format!("pwd={letters}.{digits}")),
        }
    }
    kept.extend(
        value("tk").map(|token| token.trim().to_owned()).filter(|token| !token.is_empty()).map(|token| format!("tk={token}")),
    );
    let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
    Some(format!("https://{host}{path}{query}"))
}

/// With a context that names tenant and organizer, or with a passcode; includes launchers.
fn teams(link: &str, host: &str) -> Option<String> {
    let joins = |link: &str| -> Option<String> {
        let (_, rest) = link.split_once("/l/meetup-join/")?;
        let (conversation, rest) = rest.split_once('/')?;
        let (message, rest) = rest.split_once('?')?;
        let context = rest.strip_prefix("context=")?;
        let named = |name: &str| Some(context.split_once(&format!("\"{name}\":\""))?.1.split_once('"')?.0.to_owned());
        Some(organized(conversation, message, &named("Tid")?, &named("Oid")?))
    };
    let meets = |link: &str| -> Option<String> {
        let (_, rest) = link.split_once("/meet/")?;
        let (number, rest) = rest.split_once("?p=")?;
        let passcode =
            rest.split(|letter: char| letter == '&' || letter.is_whitespace()).next().filter(|code| !code.is_empty())?;
        (!number.is_empty() && !number.contains('?')).then(|| format!("https://{host}/meet/{number}?p={passcode}"))
    };
    joins(link).or_else(|| light(link)).or_else(|| meets(link))
}

fn organized(conversation: &str, message: &str, tenant: &str, organizer: &str) -> String {
    format!(
        "https://teams.microsoft.com/l/meetup-join/{conversation}/{message}?context={{\"Tid\":\"{tenant}\",\"Oid\":\"{organizer}\"}}"
    )
}

/// The parameters of the guest page, in base64.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Coordinates {
    conversation_id: String,
    tenant_id: String,
    organizer_id: String,
    message_id: Option<String>,
}

fn light(link: &str) -> Option<String> {
    let (_, rest) = link.split_once("teams.microsoft.com/light-meetings/launch?")?;
    let coords = unescaped(rest.split_once("coords=")?.1.split('&').next()?);
    let at: Coordinates = serde_json::from_slice(&data_encoding::BASE64.decode(coords.as_bytes()).ok()?).ok()?;
    Some(organized(&at.conversation_id, at.message_id.as_deref().unwrap_or("0"), &at.tenant_id, &at.organizer_id))
}

#[cfg(test)]
mod tests {
    use super::normalized;

    #[test]
    fn links_are_taken_and_kept_as_by_the_server() {
        let context = r#"{"Tid":"t","Oid":"o"}"#;
        let table = [
            ("meet.google.com/abc-defg-hij?authuser=1", Some("https://meet.google.com/abc-defg-hij".to_owned())),
            ("https://meet.google.com/lookup/abc123", Some("https://meet.google.com/lookup".to_owned())),
            ("https://US02web.zoom.us/j/1?pwd=aB1.2x&uname=y", Some("https://us02web.zoom.us/j/1?pwd=aB1.2".to_owned())),
            ("https://zoom.com/wc/join/1", Some("https://zoom.us/wc/join/1".to_owned())),
            ("https://acme.zoom.us/my/ann", None),
            ("https://www.zoomgov.com/j/1", None),
            ("https://zoom.acme.example/j/1", None),
            ("https://gov.teams.microsoft.us/l/meetup-join/x/0?context=y", None),
            ("https://teams.microsoft.com/l/meetup-join/x/0", None),
            (
                "https://teams.microsoft.com/dl/launcher/launcher.html?url=%2F_%23%2Fl%2Fmeetup-join%2Fx%2F0%3Fcontext%3D%257b%2522Tid%2522%253a%2522t%2522%252c%2522Oid%2522%253a%2522o%2522%257d",
                Some(format!("https://teams.microsoft.com/l/meetup-join/x/0?context={context}")),
            ),
            ("https://teams.live.com/meet/93?p=abc&x=1", Some("https://teams.live.com/meet/93?p=abc".to_owned())),
            ("https://teams.live.com/meet/93", None),
            ("https://example.com/j/1", None),
        ];
        for (given, expected) in table {
            assert_eq!(normalized(given), expected, "{given}");
        }
    }
}
