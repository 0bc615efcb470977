//! Admin SDK, Directory: the users of the domain, for its administrators.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Json, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::admin::{Answer, Shared, user};
use crate::call::{Method, call};
use crate::errors;
use crate::fields::selection;
use crate::place::{Params, Refusal, bad};
use crate::reply;
use crate::schema;
use crate::state::{World, lock};

const SCOPE: &str = "https://www.googleapis.com/auth/admin.directory.user.readonly";

/// The directory's data about a user in addition to the address; without an entry: an active user of the top unit.
#[derive(Default)]
pub struct Entry {
    admin: bool,
    suspended: bool,
    archived: bool,
    org_unit: Option<String>,
}

pub fn routes() -> Router<Arc<World>> {
    Router::new().route("/admin/directory/v1/users", get(list))
}

/// The test's side, under `/admin`.
pub fn admin_routes() -> Router<Arc<World>> {
    Router::new().route("/directory", post(change))
}

async fn list(State(world): State<Arc<World>>, Query(params): Query<Params>, headers: HeaderMap) -> Response {
    let method = Method {
        name: "directory.users.list",
        scopes: &[SCOPE],
        service: "directory",
        units: 1,
        stream: None,
        follows: false,
        id: None,
        of_mailbox: false,
    };
    call(&world, &headers, &method, |caller| {
        if !lock(&world.directory).get(&caller.email).is_some_and(|entry| entry.admin) {
            return Err(Box::new(errors::google(403, "forbidden", "Not Authorized to access this resource/api")));
        }
        let selector = selection(params.get("fields").map(String::as_str), "*", &schema::DIRECTORY)?;
        page(&world, &params).map(|body| reply::json(selector.of(body).to_string(), &headers))
    })
    .await
}

fn page(world: &World, params: &Params) -> Result<Value, Refusal> {
    let domain = params.get("domain").map(|domain| format!("@{domain}"));
    if domain.is_none() && params.get("customer").is_none_or(|customer| customer != "my_customer") {
        return Err(bad("customer", "either domain or customer=my_customer"));
    }
    let most = match params.get("maxResults").map(|most| most.parse()) {
        None => 100,
        Some(Ok(most @ 1..=500)) => most,
        Some(_) => return Err(bad("maxResults", "1 to 500")),
    };
    let expected = params.get("query").map(|query| clause(query)).transpose()?;
    let directory = lock(&world.directory);
    let nobody = Entry::default();
    let known = world.all_users();
    let mut users = known
        .iter()
        .map(|user| (&user.email, directory.get(&user.email).unwrap_or(&nobody)))
        .filter(|(email, _)| domain.as_ref().is_none_or(|domain| email.ends_with(domain)))
        .filter(|(_, entry)| expected.as_ref().is_none_or(|expected| expected.matches(entry)))
        // A token is the last address of the previous page.
        .filter(|(email, _)| params.get("pageToken").is_none_or(|after| *email > after));
    let shown: Vec<Value> = users.by_ref().take(most).map(|(email, entry)| shown_as(email, entry)).collect();
    let mut body = json!({ "kind": "admin#directory#users", "etag": "\"sim/users\"", "users": shown });
    // The last page has none.
    if users.next().is_some() {
        body["nextPageToken"] = shown.last().map_or(Value::Null, |user| user["primaryEmail"].clone());
    }
    Ok(body)
}

fn shown_as(email: &str, entry: &Entry) -> Value {
    let name = email.split('@').next().unwrap_or(email);
    json!({ "kind": "admin#directory#user", "id": format!("sim-{email}"), "etag": format!("\"sim/{email}\""), "primaryEmail": email,
        "name": { "givenName": name, "familyName": "Sim", "fullName": format!("{name} Sim") }, "isAdmin": entry.admin,
        "isDelegatedAdmin": false, "creationTime": "2020-01-01T00:00:00.000Z", "lastLoginTime": "2026-01-01T00:00:00.000Z",
        "agreedToTerms": true, "suspended": entry.suspended, "archived": entry.archived, "changePasswordAtNextLogin": false,
        "ipWhitelisted": false, "emails": [{ "address": email, "primary": true }], "customerId": "C0sim",
        "orgUnitPath": entry.org_unit.as_deref().unwrap_or("/"), "isMailboxSetup": true, "isEnrolledIn2Sv": false,
        "isEnforcedIn2Sv": false, "includeInGlobalAddressList": true })
}

enum Clause {
    /// The unit and those below it.
    Unit(String),
    Admin(bool),
}

impl Clause {
    fn matches(&self, entry: &Entry) -> bool {
        match self {
            Self::Admin(expected) => entry.admin == *expected,
            Self::Unit(unit) => {
                let own = entry.org_unit.as_deref().unwrap_or("/");
                own.strip_prefix(unit.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || unit == "/")
            }
        }
    }
}

fn clause(query: &str) -> Result<Clause, Refusal> {
    if let Some(unit) = query.strip_prefix("orgUnitPath='").and_then(|rest| rest.strip_suffix('\'')) {
        return Ok(Clause::Unit(unit.to_owned()));
    }
    match query {
        "isAdmin=true" => Ok(Clause::Admin(true)),
        "isAdmin=false" => Ok(Clause::Admin(false)),
        _ => Err(bad("query", "malformed, or not simulated")),
    }
}

#[derive(Deserialize)]
struct Change {
    user: String,
    admin: Option<bool>,
    suspended: Option<bool>,
    archived: Option<bool>,
    org_unit: Option<String>,
}

/// Changes a directory entry; the token of an administrator may read the directory.
async fn change(State(world): Shared, Json(change): Json<Change>) -> Answer {
    let user = user(&world, &change.user)?;
    let mut directory = lock(&world.directory);
    let entry = directory.entry(user.email.clone()).or_default();
    entry.suspended = change.suspended.unwrap_or(entry.suspended);
    entry.archived = change.archived.unwrap_or(entry.archived);
    entry.org_unit = change.org_unit.or(entry.org_unit.take());
    if let Some(admin) = change.admin {
        entry.admin = admin;
        let mut scopes = lock(&user.scopes);
        scopes.retain(|scope| scope != SCOPE);
        scopes.extend(admin.then(|| SCOPE.to_owned()));
    }
    Ok(Json(json!({ "user": change.user })))
}

/// By address.
pub type Directory = BTreeMap<String, Entry>;
