//! Validates token endpoints and tokens. Both come from outside: from an import, and from an endpoint's response. Pure.

use url::{Position, Url};

/// Google's hosts with token endpoints: its tools have written each of them into credentials.
const GOOGLE: [&str; 3] = ["oauth2.googleapis.com", "accounts.google.com", "www.googleapis.com"];
/// Maximum length of a token in bytes. Google's have at most 2,048; those of other servers rarely exceed the limit of a header.
const MAX_LENGTH: usize = 8 << 10;

/// Returns the URL in `token_uri` if it is allowed: https at Google or at one of the hosts in `more` (`google.token_hosts`), or the origin `root`
/// (`google.root`). Any other URL would allow anyone who supplies credentials to send requests from this machine.
///
/// # Errors
/// Returns why it is not allowed, without the URL itself, which may contain a password.
pub fn allowed(uri: &str, root: Option<&Url>, more: &[String]) -> Result<Url, String> {
    let url = Url::parse(uri).map_err(|_| "token_uri is not a valid URL")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("token_uri must not contain a user name or a password".into());
    }
    if root.is_some_and(|root| root.origin() == url.origin()) {
        return Ok(url);
    }
    if url.scheme() != "https" {
        return Err(format!("token_uri must be an https URL, not {}", url.scheme()));
    }
    let host = &url[Position::BeforeHost..Position::AfterPort];
    if GOOGLE.contains(&host) || more.iter().any(|known| known.eq_ignore_ascii_case(host)) {
        Ok(url)
    } else {
        Err(format!("token_uri points to {host}, which is not a Google host; if it is yours, add it to google.token_hosts"))
    }
}

/// Whether a URL is one of Google's own token endpoints.
pub fn is_google(uri: &str) -> bool {
    allowed(uri, None, &[]).is_ok()
}

/// Whether a text is a bearer token according to RFC 6750 (`b64token`): it cannot end the line or the batch part in which it is sent.
pub fn is_token(text: &str) -> bool {
    let letters = text.trim_end_matches('=');
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    text.len() <= MAX_LENGTH && !letters.is_empty() && letters.bytes().all(is_letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_requested_only_from_google_and_configured_hosts() {
        let more = ["sts.example.com".to_owned(), "Proxy.Example.com:8443".to_owned()];
        let root = Url::parse("http://127.0.0.1:8080").expect("a URL");
        let good = [
            "https://oauth2.googleapis.com/token",
            "https://accounts.google.com/o/oauth2/token",
            "https://www.googleapis.com/oauth2/v4/token",
            "https://OAUTH2.googleapis.com:443/token",
            "https://sts.example.com/token",
            "https://proxy.example.com:8443/token",
            "http://127.0.0.1:8080/token",
        ];
        for uri in good {
            assert!(allowed(uri, Some(&root), &more).is_ok(), "{uri}");
        }
        let bad = [
            "http://oauth2.googleapis.com/token",
            "https://oauth2.googleapis.com:8443/token",
            "https://oauth2.googleapis.com.example.org/token",
            "https://example.org/oauth2.googleapis.com/token",
            "https://oauth2.googleapis.com@example.org/token",
            "https://ann:secret@oauth2.googleapis.com/token",
            "https://oauth2.googleapis.com./token",
            "https://storage.googleapis.com/bucket/token",
            "https://169.254.169.254/token",
            "https://[::1]/token",
            "http://127.0.0.1:8081/token",
            "https://127.0.0.1:8080/token",
            "file:///etc/passwd",
            "data:,{}",
            "",
        ];
        for uri in bad {
            let why = allowed(uri, Some(&root), &more).expect_err(uri);
            assert!(!why.contains("secret"), "{why}");
        }
    }

    #[test]
    fn tokens_contain_only_rfc_6750_characters() {
        assert!(["ya29.c.b0Aa-_~+/......", "eyJ0.e30.c2ln", "x=", "x=="].into_iter().all(is_token));
        for bad in
            ["", "=", "a=b", "a b", "a\r\nb", "a\n", "ä", "a\0", "a,b", "a\"", "a;b", "Bearer:x", &"a".repeat(MAX_LENGTH + 1)]
        {
            assert!(!is_token(bad), "{bad:?}");
        }
    }
}
