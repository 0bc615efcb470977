//! The token endpoint: refresh tokens, codes of the consent page, and assertions of a service account that acts for people.

mod consent;
mod grants;

use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use axum::extract::{Form, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router, response::IntoResponse as _};
use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::errors;
use crate::latency;
use crate::reply;
use crate::state::{AccessToken, PROJECT, User, World, lock};

pub use grants::{Grants, end};

pub const CLIENT_ID: &str = "123456789012-sim.apps.example.com";
pub const CLIENT_SECRET: &str = "sim-client-secret";
pub const SERVICE_ACCOUNT: &str = "sync@sim-project.iam.example.com";
/// A key pair that is valid only for this simulator.
pub const SERVICE_ACCOUNT_KEY: &str = include_str!("../data/service-account.pem");
const SERVICE_ACCOUNT_PUBLIC: &[u8] = include_bytes!("../data/service-account.der");
/// The audience that assertions for Google's token endpoint use.
const AUDIENCE: &str = "https://oauth2.googleapis.com/token";
/// Lifetime of a token in seconds, like Google's.
const LIVES: i64 = 3_599;

pub fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/token", post(token))
        .route("/oauth2/token", post(token))
        .route("/o/oauth2/v2/auth", get(consent::show).post(consent::decide))
        .route("/revoke", post(grants::revoke))
}

#[derive(Deserialize)]
struct Request {
    grant_type: String,
    client_id: Option<String>,
    client_secret: Option<String>,
    refresh_token: Option<String>,
    assertion: Option<String>,
    code: Option<String>,
    code_verifier: Option<String>,
    redirect_uri: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    scope: String,
    aud: String,
    iat: i64,
    exp: i64,
    sub: Option<String>,
}

async fn token(State(world): State<Arc<World>>, headers: HeaderMap, Form(request): Form<Request>) -> Response {
    let user = if world.faults.any() { named(&world, &request) } else { None };
    let fault = world.faults.strike("token", user.as_deref(), false);
    let struck = fault.is_some();
    let answered = Arc::clone(&world);
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let response =
        reply::with_fault(&world, fault, async || grant(&answered, &request, host).unwrap_or_else(|refusal| *refusal)).await;
    latency::wait(&world, "token").await;
    world.ledger.token(!struck && response.status().is_success());
    response
}

/// The user for whom a token is requested, if the request names one: faults are matched against it.
fn named(world: &World, request: &Request) -> Option<String> {
    if let Some(assertion) = &request.assertion {
        let claims = BASE64URL_NOPAD.decode(assertion.split('.').nth(1)?.trim_end_matches('=').as_bytes()).ok()?;
        return serde_json::from_slice::<Claims>(&claims).ok()?.sub;
    }
    let given = request.refresh_token.as_deref()?;
    world.all_users().into_iter().find(|user| user.refresh_token == given).map(|user| user.email.clone())
}

fn grant(world: &World, request: &Request, host: &str) -> Result<Response, Box<Response>> {
    let (user, scopes, refresh) = match request.grant_type.as_str() {
        "refresh_token" => {
            of_the_client(request)?;
            let grant = grants::by_refresh_token(world, request.refresh_token.as_deref().unwrap_or_default());
            let (user, scopes) = grant.ok_or_else(|| refuse(400, "invalid_grant", "Token has been expired or revoked."))?;
            (user, scopes, None)
        }
        "authorization_code" => {
            of_the_client(request)?;
            grants::by_code(world, request)?
        }
        "urn:ietf:params:oauth:grant-type:jwt-bearer" => {
            let (user, scopes) = by_assertion(world, request, host)?;
            (user, scopes, None)
        }
        _ => return Err(refuse(400, "unsupported_grant_type", "Invalid grant_type")),
    };
    let secret = format!("ya29.sim-{}-{:016x}", world.serial(), rand::random::<u64>());
    let expires = world.now() + chrono::Duration::seconds(LIVES);
    let scope = scopes.join(" ");
    let token = AccessToken { email: user.email.clone(), scopes, expires };
    world.tokens.write().unwrap_or_else(PoisonError::into_inner).insert(secret.clone(), token);
    let mut answer = json!({ "access_token": secret, "expires_in": LIVES, "scope": scope, "token_type": "Bearer" });
    if let Some(token) = refresh {
        answer["refresh_token"] = json!(token);
    }
    Ok(Json(answer).into_response())
}

fn of_the_client(request: &Request) -> Result<(), Box<Response>> {
    if request.client_id.as_deref() == Some(CLIENT_ID) && request.client_secret.as_deref() == Some(CLIENT_SECRET) {
        Ok(())
    } else {
        Err(refuse(401, "invalid_client", "The OAuth client was not found."))
    }
}

fn by_assertion(world: &World, request: &Request, host: &str) -> Result<(Arc<User>, Vec<String>), Box<Response>> {
    let invalid = |why: &str| refuse(400, "invalid_grant", why);
    let assertion = request.assertion.as_deref().unwrap_or_default();
    let (signed, signature) = assertion.rsplit_once('.').ok_or_else(|| invalid("Invalid JWT: not three parts."))?;
    let (head, claims) = signed.split_once('.').ok_or_else(|| invalid("Invalid JWT: not three parts."))?;
    // Padding is not in the standard, but Google accepts it.
    let decode = |part: &str| {
        BASE64URL_NOPAD.decode(part.trim_end_matches('=').as_bytes()).map_err(|_| invalid("Invalid JWT: not base64url."))
    };
    let head: Value = serde_json::from_slice(&decode(head)?).map_err(|_| invalid("Invalid JWT header."))?;
    if head["alg"] != "RS256" {
        return Err(invalid("Invalid JWT: alg must be RS256."));
    }
    let key = ring::signature::UnparsedPublicKey::new(&ring::signature::RSA_PKCS1_2048_8192_SHA256, SERVICE_ACCOUNT_PUBLIC);
    key.verify(signed.as_bytes(), &decode(signature)?).map_err(|_| invalid("Invalid JWT Signature."))?;
    let claims: Claims = serde_json::from_slice(&decode(claims)?).map_err(|_| invalid("Invalid JWT claims."))?;
    let now = world.now().timestamp();
    // The simulator's own URL by which it was called, whatever proxy is in between; Google's own clients always name Google's endpoint.
    let is_asked =
        |uri: &str| uri.split_once("://").and_then(|(_, rest)| rest.split('/').next()).is_some_and(|name| name == host);
    let audience = claims.aud.starts_with(&world.origin) || claims.aud == AUDIENCE || is_asked(&claims.aud);
    if claims.iss != SERVICE_ACCOUNT || !audience {
        return Err(invalid("Invalid JWT: iss or aud."));
    }
    if claims.exp < now - 60 || claims.iat > now + 60 || claims.exp - claims.iat > 3_600 {
        return Err(invalid("Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."));
    }
    let user = claims.sub.as_deref().and_then(|email| world.user(email)).filter(|user| !user.revoked.load(Ordering::Relaxed));
    let user = user.ok_or_else(|| {
        refuse(401, "unauthorized_client", "Client is unauthorized to retrieve access tokens using this method.")
    })?;
    let scopes: Vec<String> = claims.scope.split_whitespace().map(str::to_owned).collect();
    let delegated = lock(&user.scopes).clone();
    if scopes.iter().all(|scope| delegated.contains(scope)) {
        Ok((user, scopes))
    } else {
        Err(refuse(
            401,
            "unauthorized_client",
            "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested.",
        ))
    }
}

fn refuse(status: u16, error: &str, description: &str) -> Box<Response> {
    Box::new(errors::oauth(status, error, description))
}

/// The account of a user in the format of `syncctl accounts import`.
pub fn account_line(world: &World, user: &User, service_account: bool) -> Value {
    let token_uri = format!("{}/token", world.origin);
    let username = user.email.split('@').next().unwrap_or(&user.email);
    if service_account {
        return json!({ "email": user.email, "username": username, "subject": user.email, "credentials": {
            "type": "service_account", "project_id": PROJECT, "private_key_id": "sim", "private_key": SERVICE_ACCOUNT_KEY,
            "client_email": SERVICE_ACCOUNT, "client_id": "1", "token_uri": token_uri } });
    }
    json!({ "email": user.email, "username": username, "credentials": { "type": "authorized_user", "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET, "refresh_token": user.refresh_token, "token_uri": token_uri } })
}
