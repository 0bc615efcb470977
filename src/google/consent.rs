//! A user's consent to an OAuth client: the page they are sent to, the response they come back with, and its exchange for tokens (RFC 6749, 7636, 8252).
//! Independent of browser and terminal.

use oauth2::basic::{BasicClient, BasicErrorResponse};
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet, EndpointSet, HttpRequest,
    HttpResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope, TokenResponse as _, TokenUrl, http,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use subtle::ConstantTimeEq as _;
use url::Url;

use super::oauth::Credentials;
use super::{Client, Host, verdict};
use crate::error::{Class, Failure};
use crate::http::without_addresses;

/// How to get an OAuth client.
const HOW: &str =
    "create an OAuth client of type \"Desktop app\" at https://console.cloud.google.com/auth/clients and download its JSON";

/// An OAuth client, as downloaded from Google's console.
pub struct App {
    id: String,
    secret: SecretString,
}

#[derive(Deserialize)]
struct Download {
    installed: Option<Installed>,
    web: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Installed {
    client_id: String,
    client_secret: SecretString,
}

impl App {
    /// Parses the JSON downloaded from the console. Its URLs are Google's own and are ignored.
    ///
    /// # Errors
    /// Returns what is wrong with it, without the secret.
    pub fn parse(text: &str) -> Result<Self, String> {
        let read: Download = serde_json::from_str(text).map_err(|_| format!("not the JSON of an OAuth client; {HOW}"))?;
        match read {
            Download { installed: Some(Installed { client_id, client_secret }), .. } if !client_id.is_empty() => {
                Ok(Self { id: client_id, secret: client_secret })
            }
            Download { web: Some(_), .. } => Err(format!(
                "this client is of type \"Web application\", for which Google does not redirect back to this machine; {HOW}"
            )),
            Download { .. } => Err(format!("no client under \"installed\"; {HOW}")),
        }
    }

    /// The client id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The message if no client is configured.
    pub fn missing() -> String {
        format!("no OAuth client: {HOW}; name the file with --client or in google.client_file (SYNCCTL_GOOGLE_CLIENT_FILE)")
    }
}

/// A consent that was requested and not yet given.
pub struct Consent {
    app: App,
    oauth: BasicClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>,
    state: CsrfToken,
    verifier: PkceCodeVerifier,
    url: Url,
}

/// The result with which the browser came back.
pub enum Answer {
    /// A code, to be exchanged once.
    Code(String),
    /// Google's name for the reason.
    Refused(String),
    /// It belongs to another request, or to none.
    Foreign,
}

/// A granted consent.
pub struct Granted {
    /// The credentials to store.
    pub credentials: Credentials,
    /// Valid for an hour.
    pub access_token: SecretString,
    /// The scopes that the user selected.
    pub scopes: Vec<String>,
}

impl Consent {
    /// Prepares the request. `back`: the URL to which Google redirects the browser afterwards.
    ///
    /// # Errors
    /// Returns an error if a URL is invalid.
    pub fn new(google: &Client, app: App, back: &str, scopes: &[&str], hint: Option<&str>) -> anyhow::Result<Self> {
        let page = google.url(Host::Accounts, &["o", "oauth2", "v2", "auth"])?;
        let oauth = BasicClient::new(ClientId::new(app.id.clone()))
            .set_client_secret(ClientSecret::new(app.secret.expose_secret().to_owned()))
            .set_auth_uri(AuthUrl::from_url(page))
            .set_token_uri(TokenUrl::from_url(google.url(Host::OAuth, &["token"])?))
            .set_redirect_uri(RedirectUrl::new(back.to_owned())?)
            .set_auth_type(AuthType::RequestBody);
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let request = oauth
            .authorize_url(CsrfToken::new_random)
            .add_scopes(scopes.iter().map(|scope| Scope::new((*scope).to_owned())))
            // Google returns a refresh token reliably only for a newly given consent.
            .add_extra_param("access_type", "offline")
            .add_extra_param("prompt", "consent")
            .set_pkce_challenge(challenge);
        let request = match hint {
            Some(address) => request.add_extra_param("login_hint", address.to_owned()),
            None => request,
        };
        let (url, state) = request.url();
        Ok(Self { app, oauth, state, verifier, url })
    }

    /// The URL of the consent page.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Interprets the query of the URL to which Google redirected the browser.
    pub fn answer(&self, query: &str) -> Answer {
        let find = |key: &str| {
            url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == key).map(|(_, value)| value.into_owned())
        };
        let ours = find("state").is_some_and(|state| bool::from(state.as_bytes().ct_eq(self.state.secret().as_bytes())));
        match (find("error"), find("code").filter(|code| !code.is_empty())) {
            _ if !ours => Answer::Foreign,
            (Some(error), _) => Answer::Refused(error),
            (None, Some(code)) => Answer::Code(code),
            (None, None) => Answer::Foreign,
        }
    }

    /// Interprets text pasted by the user: the complete URL, or the code from it.
    pub fn pasted(&self, text: &str) -> Answer {
        let text = text.trim();
        match Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => self.answer(url.query().unwrap_or_default()),
            _ if text.is_empty() || text.contains(char::is_whitespace) => Answer::Foreign,
            // A code from a URL is percent-encoded, and may be followed by other parameters.
            _ => url::form_urlencoded::parse(format!("code={text}").as_bytes())
                .next()
                .map_or(Answer::Foreign, |(_, code)| Answer::Code(code.into_owned())),
        }
    }

    /// Exchanges the code for tokens.
    ///
    /// # Errors
    /// Returns `AuthRevoked` if Google refuses or sends no refresh token, and `Transient` if Google could not be reached.
    pub async fn exchange(self, google: &Client, code: String) -> Result<Granted, Failure> {
        let send = |request: HttpRequest| async {
            let url = Url::parse(&request.uri().to_string())
                .map_err(|error| Failure::new(Class::Internal, format!("token: the endpoint's address: {error}")))?;
            let (status, retry_after, body) = google.post_encoded("token", url, request.into_body()).await?;
            // A temporary problem of the endpoint says nothing about the code.
            if status != 200
                && let Some(failure) = verdict::passing(status, retry_after.as_deref(), &body, chrono::Utc::now())
            {
                return Err(failure);
            }
            let mut answer = HttpResponse::new(body);
            *answer.status_mut() =
                http::StatusCode::from_u16(status).map_err(|error| Failure::new(Class::Transient, format!("token: {error}")))?;
            // The library checks this header before it reads the body.
            answer.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
            Ok::<_, Failure>(answer)
        };
        let request = self.oauth.exchange_code(AuthorizationCode::new(code)).set_pkce_verifier(self.verifier);
        let granted = request.request_async(&send).await.map_err(refused)?;
        let refresh_token = granted.refresh_token().ok_or_else(|| {
            Failure::new(
                Class::AuthRevoked,
                "token: Google sent no refresh token, which later syncs need; remove this app at https://myaccount.google.com/connections and log in again",
            )
        })?;
        Ok(Granted {
            credentials: Credentials::AuthorizedUser {
                client_id: self.app.id,
                client_secret: self.app.secret.expose_secret().to_owned(),
                refresh_token: refresh_token.secret().clone(),
                token_uri: None,
            },
            access_token: SecretString::from(granted.access_token().secret().clone()),
            scopes: granted.scopes().into_iter().flatten().map(|scope| scope.to_string()).collect(),
        })
    }
}

fn refused(error: RequestTokenError<Failure, BasicErrorResponse>) -> Failure {
    match error {
        RequestTokenError::Request(failure) => failure,
        RequestTokenError::ServerResponse(said) => {
            let hint = match said.error().as_ref() {
                "invalid_grant" => {
                    "the code is invalid: it was used before, is older than a few minutes, or was copied incompletely; log in again"
                }
                "invalid_client" => "the OAuth client no longer exists or its secret was changed; download its JSON again",
                _ => "log in again",
            };
            let words = said.error_description().map(|text| format!(" ({})", without_addresses(text))).unwrap_or_default();
            Failure::new(Class::AuthRevoked, format!("token: {}{words}: {hint}", said.error().as_ref()))
        }
        RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
            Failure::new(Class::Transient, "token: the response was truncated or is not a token; log in again")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config;

    fn consent() -> Consent {
        let settings = config::Google::default();
        let google = Client::new(&settings, Arc::new(crate::http::Client::new(&settings, &crate::config::Engine::default())))
            .expect("a client");
        let app =
            App::parse(r#"{"installed":{"client_id":"c","client_secret":"s","token_uri":"https://x/"}}"#).expect("a client");
        Consent::new(&google, app, "http://127.0.0.1:1", &["https://s/one"], Some("ann@example.com")).expect("a question")
    }

    #[test]
    fn the_consent_url_requests_offline_access_with_pkce() {
        let consent = consent();
        let request: std::collections::BTreeMap<_, _> = consent.url().query_pairs().into_owned().collect();
        assert!(consent.url().as_str().starts_with("https://accounts.google.com/o/oauth2/v2/auth?"), "{}", consent.url());
        for (name, value) in [
            ("access_type", "offline"),
            ("prompt", "consent"),
            ("code_challenge_method", "S256"),
            ("redirect_uri", "http://127.0.0.1:1"),
            ("login_hint", "ann@example.com"),
            ("scope", "https://s/one"),
        ] {
            assert_eq!(request.get(name).map(String::as_str), Some(value), "{name}");
        }
        assert!(!consent.url().as_str().contains(consent.verifier.secret()));
    }

    #[test]
    fn only_answers_with_our_state_are_accepted() {
        let consent = consent();
        let state = consent.state.secret();
        assert!(matches!(consent.answer(&format!("state={state}&code=4%2F0a")), Answer::Code(code) if code == "4/0a"));
        assert!(matches!(consent.answer(&format!("state={state}&error=access_denied")), Answer::Refused(_)));
        for foreign in ["", "code=4", "state=&code=4", "state=x&code=4", "state=x&error=access_denied"] {
            assert!(matches!(consent.answer(foreign), Answer::Foreign), "{foreign}");
        }
    }

    #[test]
    fn a_pasted_code_is_url_decoded() {
        let consent = consent();
        let state = consent.state.secret();
        for pasted in
            ["4/0a-b", "4%2F0a-b\n", "4%2F0a-b&scope=x", &format!("http://127.0.0.1:1/?state={state}&code=4/0a-b&scope=x")]
        {
            assert!(matches!(consent.pasted(pasted), Answer::Code(code) if code == "4/0a-b"), "{pasted}");
        }
        for foreign in ["", "two words", "http://127.0.0.1:1/?code=4/0a-b", "http://127.0.0.1:1/"] {
            assert!(matches!(consent.pasted(foreign), Answer::Foreign), "{foreign}");
        }
    }

    #[test]
    fn other_client_types_are_named_without_quoting_secrets() {
        let wrong = |text: &str| App::parse(text).err().expect("refused");
        assert!(wrong(r#"{"web":{"client_id":"c","client_secret":"hunter2"}}"#).contains("Web application"));
        for text in
            ["", "{}", r#"{"installed":{"client_id":{"a":"hunter2"}}}"#, r#"{"type":"service_account","private_key":"hunter2"}"#]
        {
            assert!(wrong(text).contains("Desktop app") && !wrong(text).contains("hunter2"), "{text}");
        }
    }
}
