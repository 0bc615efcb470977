//! Where tokens may be asked for, and what a token looks like. Both come from outside: from an import, and from an endpoint's answer. Pure.

use url::{Position, Url};

/// Google's hosts that have token endpoints: its tools have written each of them into credentials.
const GOOGLE: [&str; 3] = ["oauth2.googleapis.com", "accounts.google.com", "www.googleapis.com"];
/// Most bytes of a token. Google's have 2,048 at most, those of other servers rarely more than a header may have.
const LONGEST: usize = 8 << 10;

/// The address in `token_uri`, if it may be asked: by https at Google or at one of the hosts in `more` (`google.token_hosts`), or at the
/// origin `root` (`google.root`). Any other address would let whoever hands in credentials send requests from this machine.
///
/// # Errors
/// Why it is not asked, without the address itself, which may hold a password.
pub fn allowed(uri: &str, root: Option<&Url>, more: &[String]) -> Result<Url, String> {
    let url = Url::parse(uri).map_err(|_| "token_uri is not an address")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("token_uri must not hold a user name or a password".into());
    }
    if root.is_some_and(|root| root.origin() == url.origin()) {
        return Ok(url);
    }
    if url.scheme() != "https" {
        return Err(format!("token_uri must be an https address, not {}", url.scheme()));
    }
    let place = &url[Position::BeforeHost..Position::AfterPort];
    match GOOGLE.contains(&place) || more.iter().any(|known| known.eq_ignore_ascii_case(place)) {
        true => Ok(url),
        false => Err(format!("token_uri leads to {place}, which is not Google's: if it is yours, add it to google.token_hosts")),
    }
}

/// Whether a text is a bearer token by RFC 6750 (`b64token`): nothing in it can end the line or the part of a batch in which it is sent.
pub fn is_token(text: &str) -> bool {
    let letters = text.trim_end_matches('=');
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    text.len() <= LONGEST && !letters.is_empty() && letters.bytes().all(is_letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_google_and_what_the_settings_name_is_asked_for_tokens() {
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
    fn a_token_has_the_characters_of_rfc_6750_and_no_others() {
        assert!(["ya29.c.b0Aa-_~+/......", "eyJ0.e30.c2ln", "x=", "x=="].into_iter().all(is_token));
        for bad in ["", "=", "a=b", "a b", "a\r\nb", "a\n", "ä", "a\0", "a,b", "a\"", "a;b", "Bearer:x", &"a".repeat(LONGEST + 1)]
        {
            assert!(!is_token(bad), "{bad:?}");
        }
    }
}
