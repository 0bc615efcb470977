//! Meeting links in addresses and prose. Pure.

use url::{Host, Url};

/// Whose link it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    GoogleMeet,
    Zoom,
    Teams,
    Webex,
    Jitsi,
    Whereby,
    Discord,
    /// A video entry point of a conference that Google vouches for, of a provider not known here.
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

    /// Whether Attendee's bots can join.
    pub fn is_bot_capable(self) -> bool {
        matches!(self, Self::GoogleMeet | Self::Zoom | Self::Teams)
    }
}

/// What kind of meeting an address leads to.
pub fn kind(link: &str) -> Option<Kind> {
    let url = Url::parse(link).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let Some(Host::Domain(host)) = url.host() else { return None };
    let host = host.trim_start_matches("www.");
    let path = url.path();
    let under = |domain: &str| host == domain || host.ends_with(&format!(".{domain}"));
    let opens = |prefixes: &[&str]| prefixes.iter().any(|prefix| path.len() > prefix.len() && path.starts_with(prefix));
    if host == "meet.google.com" && path.len() > 1 {
        return Some(Kind::GoogleMeet);
    }
    // Zoom lets customers use a host of their own; its paths are what stays.
    let says_zoom = under("zoom.us") || under("zoomgov.com") || host.split('.').any(|label| label == "zoom");
    if says_zoom && opens(&["/j/", "/my/", "/w/"]) {
        return Some(Kind::Zoom);
    }
    if (host == "teams.microsoft.com" && opens(&["/l/meetup-join/", "/meet/"]))
        || (host == "teams.live.com" && opens(&["/meet/"]))
    {
        return Some(Kind::Teams);
    }
    if under("webex.com") && path.len() > 1 {
        return Some(Kind::Webex);
    }
    if (host == "meet.jit.si" || host == "8x8.vc") && path.len() > 1 {
        return Some(Kind::Jitsi);
    }
    if under("whereby.com") && path.len() > 1 {
        return Some(Kind::Whereby);
    }
    if (host == "discord.gg" && path.len() > 1) || (under("discord.com") && opens(&["/invite/", "/channels/"])) {
        return Some(Kind::Discord);
    }
    None
}

/// The first meeting link in a text or in HTML.
pub fn find(text: &str) -> Option<(String, Kind)> {
    let mut rest = text;
    while let Some(at) = rest.find("http") {
        let tail = &rest[at..];
        let end = tail.find(|c: char| c.is_whitespace() || "\"'<>()[]{}|\\^`".contains(c)).unwrap_or(tail.len());
        let link = tail[..end].trim_end_matches(['.', ',', ';', ':', '!', '?', '*', '_']).replace("&amp;", "&");
        if let Some(kind) = kind(&link) {
            return Some((link, kind));
        }
        rest = &tail["http".len()..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_provider_is_known_by_its_links() {
        let table = [
            ("https://meet.google.com/abc-defg-hij", Some(Kind::GoogleMeet)),
            ("https://zoom.us/j/123456789", Some(Kind::Zoom)),
            ("https://acme.zoom.us/my/ann", Some(Kind::Zoom)),
            ("https://zoom.acme.example/w/99", Some(Kind::Zoom)),
            ("https://zoom.us/pricing", None),
            ("https://teams.microsoft.com/l/meetup-join/19%3ameeting", Some(Kind::Teams)),
            ("https://teams.live.com/meet/934", Some(Kind::Teams)),
            ("https://teams.microsoft.com/downloads", None),
            ("https://acme.webex.com/meet/ann", Some(Kind::Webex)),
            ("https://meet.jit.si/Standup", Some(Kind::Jitsi)),
            ("https://whereby.com/acme", Some(Kind::Whereby)),
            ("https://discord.gg/abc", Some(Kind::Discord)),
            ("https://example.com/zoom.us/j/1", None),
            ("https://notzoom.us/j/1", None),
        ];
        for (link, expected) in table {
            assert_eq!(kind(link), expected, "{link}");
        }
    }

    #[test]
    fn a_link_is_found_in_prose_and_in_html() {
        let prose = "Notes: https://example.com. Join at https://acme.zoom.us/j/42?pwd=x, please.";
        assert_eq!(find(prose), Some(("https://acme.zoom.us/j/42?pwd=x".into(), Kind::Zoom)));
        let html = r#"<a href="https://teams.live.com/meet/9?a=1&amp;b=2">Join</a>"#;
        assert_eq!(find(html), Some(("https://teams.live.com/meet/9?a=1&b=2".into(), Kind::Teams)));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "(http|https://|zoom.us/j/|\\PC){0,30}") {
            let _ = find(&text);
        }
    }
}
