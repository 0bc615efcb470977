//! A call of Gmail: its mailbox, its parameters, and its answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use data_encoding::BASE64URL_NOPAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::call::{Method, call};
use crate::errors;
use crate::fields::{Schema, selection};
use crate::place::{Refusal, bad};
use crate::reply;
use crate::state::{GMAIL_SCOPE, User, World};

/// The request. Parameters may be repeated, so they stay a list.
pub struct Ask {
    pub world: Arc<World>,
    path: BTreeMap<String, String>,
    params: Vec<(String, String)>,
    headers: HeaderMap,
}

impl FromRequestParts<Arc<World>> for Ask {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, world: &Arc<World>) -> Result<Self, Response> {
        let Path(path) = Path::from_request_parts(parts, world).await.map_err(|error| error.into_response())?;
        let Query(params) = Query::from_request_parts(parts, world).await.map_err(|error| error.into_response())?;
        Ok(Self { world: Arc::clone(world), path, params, headers: parts.headers.clone() })
    }
}

impl Ask {
    /// Answers with the part of the value that `fields` selects.
    pub async fn answer(
        &self,
        (name, units): (&'static str, u64),
        schema: &Schema,
        value: impl FnOnce(&User) -> Result<Value, Refusal>,
    ) -> Response {
        let follows = self.get("startHistoryId").is_some();
        let method = Method {
            name,
            scopes: &[GMAIL_SCOPE],
            service: "gmail",
            units,
            stream: Some("mail"),
            follows,
            id: self.path.get("message").map(String::as_str),
            of_mailbox: true,
        };
        call(&self.world, &self.headers, &method, |user| {
            let id = self.path.get("user").map_or("", String::as_str);
            if id != "me" && !id.eq_ignore_ascii_case(&user.email) {
                return Err(Box::new(errors::google(403, "forbidden", &format!("Delegation denied for {}", user.email))));
            }
            let selector = selection(self.get("fields"), "*", schema)?;
            Ok(reply::json(selector.of(value(user)?).to_string(), &self.headers))
        })
        .await
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.params.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The label in the path, by its ID.
    pub fn label(&self) -> Option<&str> {
        self.path.get("label").map(String::as_str)
    }

    /// The message in the path.
    pub fn message(&self) -> Option<u64> {
        let text = self.path.get("message")?;
        u64::from_str_radix(text, 16).ok()
    }

    /// Maximum number of entries of a page.
    pub fn limit(&self) -> Result<usize, Refusal> {
        let Some(text) = self.get("maxResults") else { return Ok(100) };
        let limit = text.parse::<usize>().ok().filter(|limit| *limit > 0);
        Ok(limit.ok_or_else(|| bad("maxResults", "not a number above 0"))?.min(500))
    }

    /// Whether the first page is empty, with a token for the rest.
    pub fn comes_empty(&self) -> bool {
        rand::random::<u64>() % 1_000 < self.world.empty_pages.load(Ordering::Relaxed)
    }

    /// The position that the page token encodes.
    pub fn place<T: DeserializeOwned>(&self) -> Result<Option<T>, Refusal> {
        let Some(text) = self.get("pageToken") else { return Ok(None) };
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok();
        let place = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        place.map(Some).ok_or_else(|| bad("pageToken", "not a page token"))
    }
}

/// A page token for this position.
pub fn token(place: &impl Serialize) -> String {
    BASE64URL_NOPAD.encode(&serde_json::to_vec(place).unwrap_or_default())
}

/// Gmail's 404, also for deleted items.
pub fn not_found() -> Refusal {
    Box::new(errors::google(404, "notFound", "Requested entity was not found."))
}
