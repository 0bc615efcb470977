//! The consent page: a user chooses an account, ticks scopes, and is redirected to the client with a code.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Form, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse as _, Response};

use super::CLIENT_ID;
use super::grants::Code;
use crate::state::{World, lock};

type Params = BTreeMap<String, String>;

/// Accounts on the page: a real user has a few, a simulated world may have thousands.
const SHOWN: usize = 10;

/// Shows the page, or an error about the request: an unknown client gets no redirect.
pub async fn show(State(world): State<Arc<World>>, Query(params): Query<Params>) -> Response {
    match wrong(&params) {
        Some(what) => (StatusCode::BAD_REQUEST, Html(page("Access blocked: Authorization Error", &what))).into_response(),
        None => Html(page("Choose what this app may do", &form(&world, &params))).into_response(),
    }
}

/// The user has decided.
pub async fn decide(
    State(world): State<Arc<World>>,
    Query(params): Query<Params>,
    Form(fields): Form<Vec<(String, String)>>,
) -> Response {
    if let Some(what) = wrong(&params) {
        return (StatusCode::BAD_REQUEST, Html(page("Access blocked: Authorization Error", &what))).into_response();
    }
    let all = |name: &str| -> Vec<String> {
        fields.iter().filter(|(known, _)| known == name).map(|(_, value)| value.clone()).collect()
    };
    let get = |name: &str| params.get(name).cloned().unwrap_or_default();
    let mut back = vec![("state", get("state"))];
    let scopes: Vec<String> = all("scope").into_iter().filter(|scope| scopes_of(&params).contains(&scope.as_str())).collect();
    let account = all("account").pop().and_then(|email| world.user(&email));
    match account.filter(|_| all("decision") == ["allow"]) {
        None => back.push(("error", "access_denied".into())),
        Some(user) => {
            let code = format!("4/0sim-{}-{:016x}", world.serial(), rand::random::<u64>());
            back.push(("code", code.clone()));
            back.push(("scope", scopes.join(" ")));
            let made = Code {
                email: user.email.clone(),
                scopes,
                redirect_uri: get("redirect_uri"),
                challenge: get("code_challenge"),
                // Without `prompt=consent`, only the first consent returns one.
                offline: get("access_type") == "offline" && get("prompt") == "consent",
                until: world.now() + chrono::Duration::minutes(10),
            };
            lock(&world.grants).codes.insert(code, made);
        }
    }
    let query: Vec<String> = back.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    let to = format!("{}/?{}", get("redirect_uri").trim_end_matches('/'), query.join("&"));
    (StatusCode::FOUND, [(header::LOCATION, to)]).into_response()
}

fn scopes_of(params: &Params) -> Vec<&str> {
    params.get("scope").map(String::as_str).unwrap_or_default().split_whitespace().collect()
}

/// Why Google would refuse to show the page.
fn wrong(params: &Params) -> Option<String> {
    let get = |name: &str| params.get(name).map(String::as_str).unwrap_or_default();
    let loopback = ["http://127.0.0.1", "http://[::1]", "http://localhost"];
    let to = get("redirect_uri");
    let loops =
        loopback.iter().any(|origin| to.strip_prefix(origin).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/'])));
    if get("client_id") != CLIENT_ID {
        Some("Error 401: invalid_client. The OAuth client was not found.".into())
    } else if !loops {
        Some("Error 400: redirect_uri_mismatch".into())
    } else if get("response_type") != "code" {
        Some("Error 400: unsupported_response_type".into())
    } else if scopes_of(params).is_empty() {
        Some("Error 400: invalid_request. Missing required parameter: scope".into())
    } else if get("code_challenge_method") != "S256" || get("code_challenge").len() != 43 {
        Some("Error 400: invalid_request. The client must send a code_challenge by S256.".into())
    } else {
        None
    }
}

/// Accounts, scopes and two buttons. Several scopes are ticked individually, as on Google's page; a single one is granted as a whole.
fn form(world: &World, params: &Params) -> String {
    let hint = params.get("login_hint").map(String::as_str).unwrap_or_default();
    let mut users = world.all_users();
    users.sort_by_key(|user| user.email != hint);
    let mut html = String::from("<form method=post>");
    for (at, user) in users.iter().take(SHOWN).enumerate() {
        let (email, checked) = (escaped(&user.email), if at == 0 { " checked" } else { "" });
        html.push_str(&format!("<p><label><input type=radio name=account value=\"{email}\"{checked}> {email}</label>"));
    }
    let scopes = scopes_of(params);
    if scopes.len() > 1 {
        html.push_str(
            "<p><label><input type=checkbox id=all onchange=\"document.querySelectorAll('[name=scope]').forEach(s => s.checked = this.checked)\"> Select all</label>",
        );
    }
    for scope in &scopes {
        let kind = if scopes.len() > 1 { "checkbox" } else { "hidden" };
        let scope = escaped(scope);
        html.push_str(&format!("<p><label><input type={kind} name=scope value=\"{scope}\"> {scope}</label>"));
    }
    html.push_str(
        "<p><button name=decision value=cancel>Cancel</button> <button name=decision value=allow>Allow</button></form>",
    );
    html
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html><html lang=en><meta charset=utf-8><title>{title}</title><h1>{title}</h1><div id=body>{body}</div></html>"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
