//! Reads accounts from JSON lines and stores them, sealed. Bad lines are reported; the others are imported.

use std::sync::{Arc, LazyLock};

use anyhow::Context as _;
use deadpool_postgres::Transaction;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::db::{accounts, streams};
use crate::engine::Context;
use crate::engine::tokens::StoredCredentials;
use crate::google::oauth::Credentials;
use crate::seal::{Column, Vault};
use crate::services::attendee::user_settings;
use crate::services::registry;
use crate::{config, google, http};

/// One line of an import.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    email: String,
    username: Option<String>,
    credentials: serde_json::Value,
    /// User that a service account acts for; defaults to `email`.
    subject: Option<String>,
    #[serde(default = "no_settings")]
    settings: serde_json::Value,
}

impl Line {
    fn user(&self) -> New<'_> {
        let subject = self.subject.as_deref().unwrap_or(&self.email);
        New { email: &self.email, username: self.username.as_deref(), subject, settings: &self.settings }
    }
}

fn no_settings() -> serde_json::Value {
    serde_json::json!({})
}

/// The result of an import.
#[derive(Debug, Default, Serialize)]
pub struct Imported {
    /// New users.
    pub added: u64,
    /// Existing users whose credentials were replaced.
    pub renewed: u64,
    /// Line number, and what is wrong with the line.
    pub bad: Vec<(usize, String)>,
}

/// Imports every valid line of `text`.
///
/// # Errors
/// Returns an error only if the database fails; earlier lines stay stored.
pub async fn import(context: &Context, text: &str) -> anyhow::Result<Imported> {
    let mut imported = Imported::default();
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        match parse(&context.google, line) {
            Err(wrong) => imported.bad.push((number + 1, wrong)),
            Ok((line, credentials)) => match add(context, &line.user(), credentials).await {
                Ok((_, true)) => imported.added += 1,
                Ok((_, false)) => imported.renewed += 1,
                Err(error) => {
                    if taken_username(&error) {
                        imported.bad.push((number + 1, "username: another user has it already".into()))
                    } else {
                        return Err(error);
                    }
                }
            },
        }
    }
    Ok(imported)
}

fn parse(google: &google::Client, line: &str) -> Result<(Line, Credentials), String> {
    // The error's own text may quote the line, which holds secrets: report only its kind and position.
    let line: Line = serde_json::from_str(line).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => shape(&error),
        _ => format!("not JSON (column {}): write one account per line", error.column()),
    })?;
    if !is_address(&line.email) {
        return Err("email: not an address".into());
    }
    if line.username.as_deref().is_some_and(|name| name.is_empty() || name.contains(is_blank)) {
        return Err("username: must be a word".into());
    }
    if !line.settings.is_object() {
        return Err("settings: must be an object".into());
    }
    user_settings::check(&line.settings)?;
    for service in registry::registered().map(|one| one.service) {
        if line.settings.get(service).is_some_and(|value| !value.is_boolean() && !value.is_null()) {
            return Err(format!("settings.{service}: must be true or false"));
        }
    }
    match line.credentials.get("type").and_then(|kind| kind.as_str()) {
        Some("authorized_user" | "service_account") => {}
        _ => return Err("credentials.type: must be \"authorized_user\" or \"service_account\"".into()),
    }
    let credentials: Credentials =
        serde_json::from_value(line.credentials.clone()).map_err(|error| format!("credentials: {}", shape(&error)))?;
    match credentials.problem(google) {
        Some(problem) => Err(format!("credentials: {problem}")),
        None => Ok((line, credentials)),
    }
}

/// Whether a text can be an email address.
pub(super) fn is_address(text: &str) -> bool {
    text.split_once('@').is_some_and(|(name, domain)| !name.is_empty() && !domain.is_empty()) && !text.contains(is_blank)
}

/// Whitespace and control characters: they do not occur in names, and could control a terminal.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || c.is_control()
}

/// Describes serde's type error without the values it quotes.
pub(super) fn shape(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.split_once("invalid type: ") {
        Some((_, rest)) => {
            let expected = rest.split_once("expected ").map_or("another type", |(_, expected)| expected);
            format!("a value has the wrong type, expected {}", expected.split(" at line").next().unwrap_or(expected))
        }
        None => text.split(" at line").next().unwrap_or("wrong shape").to_owned(),
    }
}

/// A user to add, or to give new credentials.
pub(super) struct New<'a> {
    email: &'a str,
    username: Option<&'a str>,
    /// User that a service account acts for.
    subject: &'a str,
    settings: &'a serde_json::Value,
}

impl<'a> New<'a> {
    /// Creates a user with this address and defaults.
    pub(super) fn of(email: &'a str) -> Self {
        static NO_SETTINGS: LazyLock<serde_json::Value> = LazyLock::new(no_settings);
        Self { email, username: None, subject: email, settings: &NO_SETTINGS }
    }
}

/// Stores one account. Returns the user, and whether it is new.
pub(super) async fn add(context: &Context, new: &New<'_>, credentials: Credentials) -> anyhow::Result<(Uuid, bool)> {
    let mut client = context.pool.get().await?;
    let tx = client.begin("beginning the import").await?;
    let added = put(&tx, &context.vault, new, credentials).await?;
    tx.commit().await.context("committing the import")?;
    Ok(added)
}

/// Like `add`, in the caller's transaction.
pub(super) async fn put(
    tx: &Transaction<'_>,
    vault: &Vault,
    new: &New<'_>,
    credentials: Credentials,
) -> anyhow::Result<(Uuid, bool)> {
    let user = accounts::NewUser { email: new.email, username: new.username, settings: new.settings };
    let (user, added) = accounts::upsert_user(tx, &user).await?;
    let (kind, project, client_id) = (credentials.kind(), credentials.project(), credentials.client_id());
    let plain = serde_json::to_vec(&StoredCredentials { credentials, subject: new.subject.to_owned() })?;
    let sealed = vault.seal(user, Column::Credentials, &plain)?;
    let sealed = accounts::Sealed { kind, project: &project, client_id: client_id.as_deref(), credentials: &sealed };
    accounts::store_credentials(tx, user, &sealed).await?;
    for service in registry::registered() {
        streams::ensure(tx, user, service.service, service.root_kind, &[""]).await?;
    }
    if new.settings.as_object().is_some_and(|settings| !settings.is_empty()) {
        accounts::apply_switches(tx, user).await?;
    }
    Ok((user, added))
}

fn taken_username(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<tokio_postgres::Error>()
            .and_then(|error| error.as_db_error())
            .is_some_and(|error| error.constraint() == Some("users_username"))
    })
}

/// Reads bytes as a line of an import, for `crate::fuzz`.
pub(crate) fn read_any(input: &[u8]) {
    static GOOGLE: LazyLock<google::Client> = LazyLock::new(|| {
        let settings = config::Google::default();
        let http = http::Client::new(&settings, &config::Engine::default());
        google::Client::new(&settings, Arc::new(http)).unwrap_or_else(|error| panic!("the default settings are refused: {error}"))
    });
    if let Ok((_, credentials)) = parse(&GOOGLE, &String::from_utf8_lossy(input)) {
        std::hint::black_box((credentials.project(), credentials.client_id()));
    }
}
