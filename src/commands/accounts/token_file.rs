//! `accounts import` of one user's token, from the file that Google's own tools write: `token.json` of google-auth (Python), and
//! `application_default_credentials.json` of gcloud. Whose token it is, and what it allows, only Google knows.

use anyhow::Context as _;
use google_apis_common::GetToken;
use secrecy::ExposeSecret as _;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use uuid::Uuid;

use super::{ImportArgs, failed, login};
use crate::commands::{Output, complain, import};
use crate::engine::Context;
use crate::engine::retry::with_backoff;
use crate::error::{Class, Exit, Failure, Fault};
use crate::google::oauth::{self, AccessToken, Credentials};
use crate::google::verdict::GrantHistory;
use crate::google::{self, endpoint};
use crate::services::{Registered, registry};

const NO_REFRESH_TOKEN: &str = "no refresh_token, which syncs need once the access token has expired. Google sends one only with a new consent: log in \
    with `syncctl accounts login`, or remove the app at https://myaccount.google.com/connections and let your program ask for access_type=offline again";

/// A token file. `token` and `expiry` are ignored: an access token lasts an hour. So are `scopes` and `account`, which may be outdated.
#[derive(Deserialize)]
struct TokenFile {
    /// Absent from google-auth's files.
    #[serde(rename = "type")]
    kind: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
    refresh_token: Option<String>,
    token_uri: Option<String>,
    /// The files that are mistaken for it: an OAuth client of either kind, and an account of JSON lines.
    installed: Option<IgnoredAny>,
    web: Option<IgnoredAny>,
    credentials: Option<IgnoredAny>,
}

/// The result of an import.
#[derive(Serialize)]
struct Imported {
    user_id: Uuid,
    email: String,
    /// False if the user existed and has new credentials.
    added: bool,
    services: Vec<&'static str>,
    /// Enabled services that cannot be synced with this token.
    missing: Vec<&'static str>,
}

/// Whether a text is one token file rather than accounts in JSON lines: a single object without an account's fields, or the start of one over several lines.
pub(super) fn is_one(text: &str) -> bool {
    match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text) {
        Ok(object) => !object.contains_key("credentials") && !object.contains_key("email"),
        Err(_) => text.trim_start().lines().next().is_some_and(|line| line.trim_end() == "{"),
    }
}

/// Adds or renews the user whom the token belongs to.
pub(super) async fn import(context: &Context, args: &ImportArgs, text: &str, output: Output) -> anyhow::Result<Exit> {
    let credentials = parse(&context.google, text)
        .map_err(|wrong| Fault::usage(format!("{}: {wrong}; nothing was stored", args.file.display())))?;
    check_client(context, &credentials)?;
    context.vault.writing_key()?;
    let token = exchange(context, &credentials).await.map_err(failed).context("nothing was stored")?;
    let access = Access::of(context, &token).await?;
    let email = access.owner(&token)?;
    if let Some(expected) = args.email.as_ref().filter(|expected| !expected.eq_ignore_ascii_case(email)) {
        return Err(Fault::refused(format!("the token belongs to {email}, not to {expected}; nothing was stored")).into());
    }
    let (user_id, added) = import::add(context, &import::New::of(email), credentials).await?;
    let imported = Imported {
        user_id,
        email: email.to_owned(),
        added,
        services: access.allowed.iter().map(|(service, _)| service.service).collect(),
        missing: access.missing.iter().map(|(service, _)| service.service).collect(),
    };
    output
        .print(&imported, || format!("{} {email}: {}", if added { "added" } else { "renewed" }, imported.services.join(", ")))?;
    for (service, failure) in &access.missing {
        complain(access.explained(service, failure, email));
    }
    Ok(Exit::Done)
}

/// Reads a token file. An error describes the shape and quotes no value.
fn parse(google: &google::Client, text: &str) -> Result<Credentials, String> {
    let read: TokenFile = serde_json::from_str(text).map_err(|error| match error.classify() {
        Category::Data => import::shape(&error),
        _ => format!("not the JSON of a token (line {}, column {})", error.line(), error.column()),
    })?;
    if read.installed.is_some() || read.web.is_some() {
        return Err("this is an OAuth client, not a user's token; log in with `syncctl accounts login --client FILE`".into());
    }
    if read.credentials.is_some() {
        return Err("this is an account that names its own user; leave out --email".into());
    }
    match read.kind.as_deref() {
        None | Some("authorized_user") => {}
        Some("service_account") => {
            return Err(
                "this is the key of a service account, not a user's token; use `syncctl accounts add-domain --key FILE`".into()
            );
        }
        Some(_) => return Err("type: must be \"authorized_user\", or absent as in google-auth's token.json".into()),
    }
    let required = |name: &'static str, value: Option<String>| value.filter(|value| !value.is_empty()).ok_or(name);
    let fields = (
        required("client_id", read.client_id),
        required("client_secret", read.client_secret),
        required("refresh_token", read.refresh_token),
    );
    let (client_id, client_secret, refresh_token) = match fields {
        (Ok(id), Ok(secret), Ok(token)) => (id, secret, token),
        (Ok(_), Ok(_), Err(_)) => return Err(NO_REFRESH_TOKEN.into()),
        (id, secret, token) => {
            let missing: Vec<&str> = [id.err(), secret.err(), token.err()].into_iter().flatten().collect();
            return Err(format!("no {}; write the file with `credentials.to_json()` of google-auth", missing.join(", ")));
        }
    };
    // google-auth ignores this field, too: several of Google's addresses have been current.
    let token_uri = read.token_uri.filter(|uri| !uri.is_empty() && !endpoint::is_google(uri));
    let credentials = Credentials::AuthorizedUser { client_id, client_secret, refresh_token, token_uri };
    credentials.problem(google).map_or(Ok(credentials), Err)
}

/// Fails if the settings name another OAuth client: the user's consent to that one would be a second grant, with another project's quota.
fn check_client(context: &Context, credentials: &Credentials) -> anyhow::Result<()> {
    let setting = &context.settings.google.client_file;
    let Credentials::AuthorizedUser { client_id, .. } = credentials else { return Ok(()) };
    if setting.as_os_str().is_empty() {
        return Ok(());
    }
    let app = login::app(None, setting)?;
    if app.id() == client_id {
        return Ok(());
    }
    let what = format!(
        "the token belongs to the OAuth client {client_id}, not to {} of google.client_file; nothing was stored. Log in with `syncctl accounts \
         login`, or add `--set google.client_file=` to import it with its own client",
        app.id()
    );
    Err(Fault::usage(what).into())
}

/// Requests an access token.
async fn exchange(context: &Context, credentials: &Credentials) -> Result<AccessToken, Failure> {
    // The age of the consent is unknown.
    let history = GrantHistory { age: std::time::Duration::MAX, ..GrantHistory::default() };
    let ask = || oauth::refresh(&context.google, credentials, "", &[], history);
    with_backoff(&context.settings.engine, ask, |_| {}).await.map_err(|failure| match failure.class {
        Class::AuthRevoked => {
            let message =
                format!("{}. A consent screen in \"Testing\" ends every grant after 7 days: publish it first", failure.message);
            Failure { message, ..failure }
        }
        _ => failure,
    })
}

/// What a token allows.
struct Access {
    /// Services, each with the address of the token's owner.
    allowed: Vec<(&'static Registered, String)>,
    missing: Vec<(&'static Registered, Failure)>,
}

impl Access {
    /// Makes one call to each enabled service: a token may have a wider scope than the one that the service needs.
    async fn of(context: &Context, token: &AccessToken) -> anyhow::Result<Self> {
        let (mut allowed, mut missing) = (Vec::new(), Vec::new());
        let secret = token.secret.expose_secret().to_owned();
        let token: &dyn GetToken = &secret;
        for service in registry::enabled(&context.settings) {
            let ask = || service.probe.probe(&context.google, token, service.scope);
            match with_backoff(&context.settings.engine, ask, |_| {}).await {
                Ok(address) => allowed.push((service, address)),
                // Says nothing about the token.
                Err(failure) if matches!(failure.class, Class::Transient | Class::RateLimited | Class::DailyQuota) => {
                    return Err(failed(failure)).context("nothing was stored");
                }
                Err(failure) => missing.push((service, failure)),
            }
        }
        Ok(Self { allowed, missing })
    }

    /// The address of the token's owner.
    fn owner(&self, token: &AccessToken) -> anyhow::Result<&str> {
        if let Some((_, address)) = self.allowed.first() {
            return Ok(address);
        }
        match self.missing.iter().find(|(_, failure)| failure.class != Class::ScopeMissing) {
            Some((service, failure)) => {
                let message = format!(
                    "{}: {}; nothing was stored. What to do: {}",
                    service.service,
                    failure.message,
                    failure.class.remedy()
                );
                Err(failed(Failure { message, ..failure.clone() }))
            }
            None => {
                let needed: Vec<&str> = self.missing.iter().map(|(service, _)| service.scope).collect();
                let granted = token.granted.as_deref().unwrap_or("unknown");
                let what = format!(
                    "the token's scopes suffice for no enabled service; nothing was stored. Needed: {}. Granted: {granted}. Log in with `syncctl \
                     accounts login`, or request these scopes in your program",
                    needed.join(", ")
                );
                Err(Fault::refused(what).into())
            }
        }
    }

    /// Why a service is not synced.
    fn explained(&self, service: &Registered, failure: &Failure, email: &str) -> String {
        let name = service.service;
        match failure.class {
            Class::ScopeMissing => format!(
                "{name} is not synced for this user: the token lacks the scope {}; `syncctl accounts login --email {email}` asks for it",
                service.scope
            ),
            class => format!("{name} is not synced for this user yet: {}. What to do: {}", failure.message, class.remedy()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config;

    fn client() -> google::Client {
        let settings = config::Google::default();
        let http = crate::http::Client::new(&settings, &config::Engine::default());
        google::Client::new(&settings, Arc::new(http)).expect("a client")
    }

    #[test]
    fn a_token_file_is_distinguished_from_accounts_in_lines() {
        for one in [r#"{"token":"t","refresh_token":"r"}"#, "{\n  \"token\": \"t\"\n}\n", "{}", "\n{\n  \"refresh_token\":"] {
            assert!(is_one(one), "{one}");
        }
        for lines in [
            "",
            r#"{"email":"a@x.org","credentials":{}}"#,
            "{\"email\":\"a@x.org\"}\n{\"email\":\"b@x.org\"}",
            "[]",
            r#"{"email":"#,
        ] {
            assert!(!is_one(lines), "{lines}");
        }
    }

    #[test]
    fn googles_own_endpoints_are_not_stored_and_others_are_refused() {
        let google = client();
        let file = |uri: &str| {
            let file = serde_json::json!({ "client_id": "1-a", "client_secret": "s", "refresh_token": "r", "token_uri": uri });
            parse(&google, &file.to_string())
        };
        for uri in ["", "https://oauth2.googleapis.com/token", "https://accounts.google.com/o/oauth2/token"] {
            let read = file(uri);
            assert!(matches!(read, Ok(Credentials::AuthorizedUser { token_uri: None, .. })), "{uri}");
        }
        for uri in ["https://example.org/token", "http://oauth2.googleapis.com/token", "nonsense"] {
            assert!(file(uri).is_err_and(|wrong| wrong.contains("token_uri")), "{uri}");
        }
    }
}
