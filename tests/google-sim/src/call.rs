//! One call of any API: authentication, permission, faults, and the entry in the ledger. Independent of any API.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use axum::http::HeaderMap;
use axum::response::Response;

use crate::concurrency::{self, UnderWay};
use crate::errors;
use crate::latency;
use crate::ledger::Limit;
use crate::place::Refusal;
use crate::reply;
use crate::state::{AccessToken, User, World};

/// The called method.
pub struct Method<'a> {
    /// Google's name, such as `events.list`.
    pub name: &'static str,
    /// The scopes, any of which is sufficient.
    pub scopes: &'static [&'static str],
    /// Whose quota it spends.
    pub service: &'static str,
    /// What it costs.
    pub units: u64,
    /// The feed that it reads, for the ledger's count by stream.
    pub stream: Option<&'a str>,
    /// Whether it follows a cursor, which may have expired.
    pub follows: bool,
    /// The single item that it requests.
    pub id: Option<&'a str>,
    /// Whether it counts towards its mailbox's concurrent calls.
    pub of_mailbox: bool,
}

/// Answers a call, or refuses it as Google does.
pub async fn call(
    world: &Arc<World>,
    headers: &HeaderMap,
    method: &Method<'_>,
    answer: impl FnOnce(&Arc<User>) -> Result<Response, Refusal>,
) -> Response {
    let token = bearer(world, headers);
    let email = token.as_ref().map(|token| token.email.as_str());
    let _call = world.ledger.begin(method.name, email, method.stream, (method.service, method.units));
    let fault = world.faults.strike_at(method.name, email, method.follows, method.id);
    if fault.as_ref().is_some_and(|fault| fault.fault.is_limit()) {
        world.ledger.unspent((method.service, method.units));
    }
    let mut under_way = None;
    let response = reply::with_fault(world, fault, async || {
        let user = allowed(world, method, token.as_ref(), &mut under_way);
        user.and_then(|user| answer(&user)).unwrap_or_else(|refusal| *refusal)
    })
    .await;
    latency::wait(world, method.name).await;
    if let Some(call) = under_way {
        call.end().await;
    }
    world.ledger.answered(response.status().as_u16());
    response
}

fn bearer(world: &World, headers: &HeaderMap) -> Option<AccessToken> {
    let secret = headers.get("authorization")?.to_str().ok()?.strip_prefix("Bearer ")?;
    world.tokens.read().unwrap_or_else(PoisonError::into_inner).get(secret).cloned()
}

/// Whether the call is allowed; one that counts towards its mailbox's concurrency is stored in `under_way`.
fn allowed(
    world: &Arc<World>,
    method: &Method<'_>,
    token: Option<&AccessToken>,
    under_way: &mut Option<UnderWay>,
) -> Result<Arc<User>, Refusal> {
    let token = token.filter(|token| token.expires > world.now()).ok_or_else(|| Box::new(errors::auth_error()))?;
    let user = world.user(&token.email).ok_or_else(|| Box::new(errors::auth_error()))?;
    if !world.api_enabled.load(Ordering::Relaxed) {
        return Err(Box::new(errors::not_configured()));
    }
    if !token.scopes.iter().any(|scope| method.scopes.contains(&scope.as_str())) {
        return Err(Box::new(errors::insufficient_permissions()));
    }
    if method.of_mailbox {
        // A call refused for this does not count towards the quota.
        let begun = concurrency::begin(world, &token.email).inspect_err(|_| {
            world.ledger.refund(method.units);
            world.ledger.beyond(Limit::Concurrency, (method.service, method.units));
        })?;
        *under_way = Some(begun);
    }
    match world.quota.spend(method.service, &token.email, method.units, world.now()) {
        Ok(()) => Ok(user),
        Err((limit, refusal)) => {
            world.ledger.beyond(limit, (method.service, method.units));
            Err(refusal)
        }
    }
}
