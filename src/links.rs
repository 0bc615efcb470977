//! Meeting links: their provider, whether a bot can join them, and how to find them in addresses and text. Pure.

mod find;
mod wrapped;

use url::{Host, Url};

pub use find::{find, of};

/// The provider of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    GoogleMeet,
    Zoom,
    Teams,
    Webex,
    Jitsi,
    Whereby,
    Discord,
    /// A video entry point in Google's conference data, from an unknown provider.
    Other,
}

impl Kind {
    /// `meetings.link_kind`
    pub fn name(self) -> &'static str {
        match self {
            Self::GoogleMeet => "google_meet",
            Self::Zoom => "zoom",
            Self::Teams => "teams",
            Self::Webex => "webex",
            Self::Jitsi => "jitsi",
            Self::Whereby => "whereby",
            Self::Discord => "discord",
            Self::Other => "other",
        }
    }

    /// Whether its links are pure ASCII, so that other letters belong to the following text.
    fn is_ascii(self) -> bool {
        matches!(self, Self::GoogleMeet | Self::Zoom | Self::Teams)
    }
}

/// A link to a meeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// As written, without wrappers; scheme and host in lower case.
    pub url: String,
    pub kind: Kind,
}

impl Link {
    /// How well a bot can join: 0, it cannot; 1, the link lacks a passcode that Attendee needs; 2, it can.
    pub fn rank(&self) -> u8 {
        match (refusal(&self.url, self.kind), self.kind) {
            (Some(_), _) => 0,
            (None, Kind::Teams) if !self.has_passcode() => 1,
            (None, _) => 2,
        }
    }

    /// Whether the link contains a passcode or token that admits guests.
    pub fn has_passcode(&self) -> bool {
        let is_passcode = |name: &str| matches!(name, "pwd" | "tk" | "p" | "context" | "passcode" | "password");
        Url::parse(&self.url).is_ok_and(|url| url.query_pairs().any(|(name, value)| is_passcode(&name) && !value.is_empty()))
    }
}

/// Why Attendee's bots cannot join, by the rules of its server (`bots/meeting_url_utils.py`); `None`: they can.
pub fn refusal(link: &str, kind: Kind) -> Option<&'static str> {
    let url = Url::parse(link).ok();
    let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
    let path = url.as_ref().map_or("", Url::path);
    match kind {
        Kind::GoogleMeet if is_lookup(path) => Some("Attendee loses the code of a meet.google.com/lookup/ link"),
        Kind::GoogleMeet if !is_code(path) => Some("the link has no meeting code"),
        Kind::Zoom if is_under(host, "zoomgov.com") => Some("Attendee does not join Zoom for Government (zoomgov.com)"),
        Kind::Zoom if !is_zoom(host) => Some("Attendee joins Zoom only on zoom.us and zoom.com"),
        Kind::Zoom if path.to_ascii_lowercase().starts_with("/my/") || number(path).is_none() => {
            Some("Attendee does not join personal Zoom links (zoom.us/my/NAME): it needs the meeting number")
        }
        Kind::Teams if !matches!(host, "teams.microsoft.com" | "teams.live.com") => {
            Some("Attendee joins Teams only on teams.microsoft.com and teams.live.com")
        }
        Kind::GoogleMeet | Kind::Zoom | Kind::Teams => None,
        Kind::Webex => Some("bots cannot join webex"),
        Kind::Jitsi => Some("bots cannot join jitsi"),
        Kind::Whereby => Some("bots cannot join whereby"),
        Kind::Discord => Some("bots cannot join discord"),
        Kind::Other => Some("bots cannot join this kind of link"),
    }
}

/// A key that is the same for all links to a room: without the scheme and the parameters of an invitation. Zoom's web client (`/wc/`) leads to
/// the room of `/j/`.
pub fn room(link: &str) -> String {
    let Ok(url) = Url::parse(link) else { return link.to_owned() };
    let host = url.host_str().unwrap_or_default().trim_start_matches("www.");
    let path = url.path().trim_end_matches('/');
    match number(path).filter(|_| is_zoom(host) && path.to_ascii_lowercase().starts_with("/wc/")) {
        Some(number) => format!("{host}/j/{number}"),
        None => format!("{host}{path}"),
    }
}

/// The kind of meeting that an address leads to, without looking into wrappers.
fn kind(url: &Url) -> Option<Kind> {
    if !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    let Some(Host::Domain(host)) = url.host() else { return None };
    let path = url.path().to_ascii_lowercase();
    let opens = |prefixes: &[&str]| prefixes.iter().any(|prefix| path.len() > prefix.len() && path.starts_with(prefix));
    let kind = provider(host)?;
    let leads = match kind {
        Kind::GoogleMeet => is_code(&path) || is_lookup(&path),
        Kind::Zoom => opens(&["/j/", "/my/", "/w/"]) || (opens(&["/wc/", "/s/"]) && number(&path).is_some()),
        Kind::Teams => opens(&["/l/meetup-join/", "/meet/"]),
        Kind::Discord if is_under(host, "discord.com") => opens(&["/invite/", "/channels/"]),
        Kind::Webex | Kind::Jitsi | Kind::Whereby | Kind::Discord => path.len() > 1,
        Kind::Other => false,
    };
    leads.then_some(kind)
}

/// The provider of a host.
fn provider(host: &str) -> Option<Kind> {
    let host = host.trim_start_matches("www.");
    let one_of = |domains: &[&str]| domains.iter().any(|domain| is_under(host, domain));
    Some(match host {
        "meet.google.com" => Kind::GoogleMeet,
        "meet.jit.si" | "8x8.vc" => Kind::Jitsi,
        "discord.gg" => Kind::Discord,
        _ if is_teams(host) => Kind::Teams,
        _ if one_of(&["zoom.us", "zoom.com", "zoomgov.com"]) => Kind::Zoom,
        _ if one_of(&["webex.com"]) => Kind::Webex,
        _ if one_of(&["whereby.com"]) => Kind::Whereby,
        _ if one_of(&["discord.com"]) => Kind::Discord,
        _ => return None,
    })
}

/// Teams for the public, for government clouds (`gov.`, `dod.`), and for China.
fn is_teams(host: &str) -> bool {
    let is_exact =
        matches!(host, "teams.microsoft.com" | "teams.live.com" | "teams.cloud.microsoft" | "teams.microsoftonline.cn");
    is_exact || is_under(host, "teams.microsoft.us")
}

fn is_zoom(host: &str) -> bool {
    is_under(host, "zoom.us") || is_under(host, "zoom.com")
}

fn is_under(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The meeting number in a Zoom path.
fn number(path: &str) -> Option<&str> {
    path.split('/').find(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_lookup(path: &str) -> bool {
    path.strip_prefix("/lookup/").is_some_and(|code| !code.is_empty())
}

/// Whether a path of Meet starts with a meeting code, not with one of Meet's own pages.
fn is_code(path: &str) -> bool {
    let first = path.split('/').nth(1).unwrap_or_default();
    let pages = ["about", "getalink", "home", "landing", "linkredirect", "lookup", "new", "tel", "whoops"];
    !first.is_empty() && !pages.contains(&first) && first.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_provider_is_known_by_its_links() {
        let table = [
            ("https://meet.google.com/abc-defg-hij", Some(Kind::GoogleMeet)),
            ("https://meet.google.com/lookup/abc123", Some(Kind::GoogleMeet)),
            ("https://meet.google.com/landing", None),
            ("https://zoom.us/j/123456789", Some(Kind::Zoom)),
            ("https://us02web.zoom.com/j/123456789", Some(Kind::Zoom)),
            ("https://acme.zoom.us/my/ann", Some(Kind::Zoom)),
            ("https://app.zoom.us/wc/123456789/join", Some(Kind::Zoom)),
            ("https://zoom.us/wc/join/123456789", Some(Kind::Zoom)),
            ("https://zoom.us/wc/home", None),
            ("https://www.zoomgov.com/j/16012345", Some(Kind::Zoom)),
            // Anyone can have such a host.
            ("https://zoom.acme.example/w/99", None),
            ("https://zoom.169.254.169.254.nip.io/j/1", None),
            ("https://zoom.us.evil.example/j/1", None),
            ("https://zoom.us@evil.example/j/1", None),
            ("https://meet.google.com.evil.example/abc-defg-hij", None),
            ("https://teams.microsoft.com.evil.example/l/meetup-join/x/0", None),
            ("https://zoom.us/pricing", None),
            ("https://teams.microsoft.com/l/meetup-join/19%3ameeting", Some(Kind::Teams)),
            ("https://teams.microsoft.com/meet/2345?p=x", Some(Kind::Teams)),
            ("https://teams.live.com/meet/934", Some(Kind::Teams)),
            ("https://dod.teams.microsoft.us/l/meetup-join/x/0", Some(Kind::Teams)),
            ("https://teams.microsoftonline.cn/l/meetup-join/x/0", Some(Kind::Teams)),
            ("https://teams.cloud.microsoft/l/meetup-join/x/0", Some(Kind::Teams)),
            ("https://teams.microsoft.com/downloads", None),
            ("https://acme.webex.com/meet/ann", Some(Kind::Webex)),
            ("https://meet.jit.si/Standup", Some(Kind::Jitsi)),
            ("https://whereby.com/acme", Some(Kind::Whereby)),
            ("https://discord.gg/abc", Some(Kind::Discord)),
            ("https://discord.com/app", None),
            ("https://example.com/zoom.us/j/1", None),
            ("https://notzoom.us/j/1", None),
        ];
        for (link, expected) in table {
            assert_eq!(kind(&Url::parse(link).expect("an address")), expected, "{link}");
        }
    }

    #[test]
    fn bots_join_the_providers_that_attendee_supports() {
        let table = [
            ("https://meet.google.com/abc-defg-hij", 2),
            ("https://meet.google.com/lookup/abc123", 0),
            ("https://us02web.zoom.us/j/123456789", 2),
            ("https://zoom.us/wc/join/123456789", 2),
            ("https://acme.zoom.us/my/ann", 0),
            ("https://acme.zoom.us/my/ann2", 0),
            ("https://www.zoomgov.com/j/16012345", 0),
            ("https://teams.microsoft.com/meet/2345?p=x", 2),
            ("https://teams.microsoft.com/meet/2345", 1),
            ("https://teams.cloud.microsoft/meet/2345?p=x", 0),
            ("https://acme.webex.com/meet/ann", 0),
        ];
        for (url, rank) in table {
            assert_eq!(of(url).expect("a link").rank(), rank, "{url}");
        }
    }

    #[test]
    fn links_to_the_same_room_are_recognized() {
        assert_eq!(room("https://www.zoom.us/wc/join/42?pwd=x"), "zoom.us/j/42");
        assert_eq!(room("http://zoom.us/wc/42/join"), room("https://zoom.us/j/42/"));
        assert_ne!(room("https://zoom.us/j/42"), room("https://zoom.us/j/43"));
        assert_eq!(room("no address"), "no address");
    }
}
