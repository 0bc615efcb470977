//! Grants from the consent page: codes that are exchanged once, the resulting grants, and their revocation.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use axum::extract::{Form, State};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, http::StatusCode};
use chrono::{DateTime, Utc};
use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use serde_json::json;

use super::{Request, refuse};
use crate::errors;
use crate::reply;
use crate::state::{User, World, lock};

#[derive(Default)]
pub struct Grants {
    pub codes: HashMap<String, Code>,
    /// By refresh token. In addition, each user has an initial one.
    granted: HashMap<String, Grant>,
    /// Whether exchanges omit the refresh token, as Google does for a client that had consent before.
    pub without_refresh_token: bool,
}

/// The meaning of a code until it is exchanged.
pub struct Code {
    pub email: String,
    pub scopes: Vec<String>,
    pub redirect_uri: String,
    pub challenge: String,
    pub offline: bool,
    pub until: DateTime<Utc>,
}

struct Grant {
    email: String,
    scopes: Vec<String>,
}

impl Grants {
    /// Revokes the grants of this user.
    pub fn end(&mut self, email: &str) {
        self.granted.retain(|_, grant| grant.email != email);
    }
}

/// The user, the scopes, and the refresh token if one is due.
pub type Allowed = (Arc<User>, Vec<String>, Option<String>);

/// Exchanges a code; returns the user, the granted scopes, and a refresh token if one is due.
pub fn by_code(world: &World, request: &Request) -> Result<Allowed, Box<Response>> {
    let refused = |why: &str| refuse(400, "invalid_grant", why);
    let mut grants = lock(&world.grants);
    // A code is valid once, whatever the result.
    let code = grants.codes.remove(request.code.as_deref().unwrap_or_default());
    let code = code.filter(|code| code.until > world.now()).ok_or_else(|| refused("Malformed auth code."))?;
    if request.redirect_uri.as_deref() != Some(&code.redirect_uri) {
        return Err(refuse(400, "redirect_uri_mismatch", "Bad Request"));
    }
    let verifier = request.code_verifier.as_deref().unwrap_or_default();
    let digest = ring::digest::digest(&ring::digest::SHA256, verifier.as_bytes());
    if !(43..=128).contains(&verifier.len()) || BASE64URL_NOPAD.encode(digest.as_ref()) != code.challenge {
        return Err(refused("Invalid code verifier."));
    }
    let user = world.user(&code.email).ok_or_else(|| refused("Account has been deleted"))?;
    let refresh = (code.offline && !grants.without_refresh_token)
        .then(|| format!("1//sim-{:06}-{:016x}", world.serial(), rand::random::<u64>()));
    if let Some(token) = &refresh {
        grants.granted.insert(token.clone(), Grant { email: code.email.clone(), scopes: code.scopes.clone() });
    }
    Ok((user, code.scopes, refresh))
}

/// The user of a refresh token, and its scopes.
pub fn by_refresh_token(world: &World, given: &str) -> Option<(Arc<User>, Vec<String>)> {
    if let Some(grant) = lock(&world.grants).granted.get(given) {
        return world.user(&grant.email).map(|user| (user, grant.scopes.clone()));
    }
    let users = world.users.read().unwrap_or_else(PoisonError::into_inner);
    let user = users.values().find(|user| user.refresh_token == given).cloned()?;
    drop(users);
    let scopes = lock(&user.scopes).clone();
    (!user.revoked.load(Ordering::Relaxed)).then_some((user, scopes))
}

#[derive(Deserialize)]
pub struct Revoke {
    token: String,
}

/// Revokes everything that the owner of a token granted the client.
pub async fn revoke(State(world): State<Arc<World>>, Form(revoke): Form<Revoke>) -> Response {
    let fault = world.faults.strike("revoke", None, false);
    let acted = Arc::clone(&world);
    reply::with_fault(&world, fault, async || {
        let access =
            acted.tokens.read().unwrap_or_else(PoisonError::into_inner).get(&revoke.token).map(|token| token.email.clone());
        let Some(email) = access.or_else(|| by_refresh_token(&acted, &revoke.token).map(|(user, _)| user.email.clone())) else {
            return errors::oauth(400, "invalid_token", "Token expired or revoked");
        };
        end(&acted, &email);
        (StatusCode::OK, Json(json!({}))).into_response()
    })
    .await
}

/// Revokes all grants and tokens of this user.
pub fn end(world: &World, email: &str) {
    lock(&world.grants).end(email);
    if let Some(user) = world.user(email) {
        user.revoked.store(true, Ordering::Relaxed);
    }
    world.tokens.write().unwrap_or_else(PoisonError::into_inner).retain(|_, token| token.email != email);
}
