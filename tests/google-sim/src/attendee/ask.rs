//! A call of Attendee: its key, its parameters, faults, and the entry in the ledger.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts as _, Path, Query, Request};
use axum::http::{HeaderMap, HeaderValue, Response, Uri, header};
use axum::response::IntoResponse as _;
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::bot::Bot;
use super::errors::{self, Refusal};
use super::store::Store;
use crate::errors::with;
use crate::reply;
use crate::state::{World, lock};

/// The request. Parameters may be repeated, so they stay a list.
pub struct Ask {
    pub world: Arc<World>,
    pub uri: Uri,
    path: BTreeMap<String, String>,
    params: Vec<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
}

impl FromRequest<Arc<World>> for Ask {
    type Rejection = Response<Body>;

    async fn from_request(request: Request, world: &Arc<World>) -> Result<Self, Response<Body>> {
        let (mut parts, body) = request.into_parts();
        let Path(path) = Path::from_request_parts(&mut parts, world).await.map_err(|error| error.into_response())?;
        let Query(params) = Query::from_request_parts(&mut parts, world).await.map_err(|error| error.into_response())?;
        let (headers, uri) = (parts.headers.clone(), parts.uri.clone());
        let body = Bytes::from_request(Request::from_parts(parts, body), world).await.map_err(|error| error.into_response())?;
        Ok(Self { world: Arc::clone(world), uri, path, params, headers, body })
    }
}

/// The state from which a call is answered.
pub struct Seen<'a> {
    pub store: &'a mut Store,
    pub project: &'a str,
    pub now: DateTime<Utc>,
}

impl Seen<'_> {
    /// The bot in the path, if this project has it.
    pub fn bot(&mut self, ask: &Ask) -> Result<&mut Bot, Refusal> {
        let id = ask.path.get("bot").map_or("", String::as_str);
        self.store.bot(self.project, id).ok_or_else(errors::no_bot)
    }
}

impl Ask {
    /// Answers with status and body; `None`: an empty body.
    pub async fn answer(
        &self,
        name: &'static str,
        value: impl FnOnce(&mut Seen<'_>) -> Result<(u16, Option<Value>), Refusal>,
    ) -> Response<Body> {
        let world = &self.world;
        let key = self.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Token "));
        let project = key.and_then(|key| lock(&world.attendee.store).project_of(key));
        let bot = self.path.get("bot").map(String::as_str);
        let _call = world.ledger.begin(name, project.as_deref(), bot, ("attendee", 1));
        let fault = world.faults.strike(name, project.as_deref(), self.get("cursor").is_some());
        let answer = async || match project.as_deref() {
            Some(project) => self.value(project, value).unwrap_or_else(|refusal| *refusal),
            None => errors::bad_key(key.is_some()),
        };
        let mut response = reply::with_fault_as(world, fault, errors::refusal, answer).await;
        // Clients that follow the server's clock follow the simulated one.
        let date = world.now().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        if let Ok(date) = HeaderValue::from_str(&date) {
            response.headers_mut().insert(header::DATE, date);
        }
        world.ledger.answered(response.status().as_u16());
        response
    }

    fn value(
        &self,
        project: &str,
        value: impl FnOnce(&mut Seen<'_>) -> Result<(u16, Option<Value>), Refusal>,
    ) -> Result<Response<Body>, Refusal> {
        let now = self.world.now();
        let mut store = lock(&self.world.attendee.store);
        store.settle(now);
        let answer = value(&mut Seen { store: &mut store, project, now });
        drop(store);
        self.world.attendee.wake();
        let (status, body) = answer?;
        Ok(with(status, body.map(|body| body.to_string()).unwrap_or_default(), "application/json"))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.params.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A time among the parameters.
    pub fn time(&self, name: &str) -> Result<Option<DateTime<Utc>>, Refusal> {
        let parsed = self.get(name).map(DateTime::parse_from_rfc3339).transpose();
        Ok(parsed.map_err(|_| errors::bad_time(name))?.map(|time| time.to_utc()))
    }

    /// The object in the body.
    pub fn object(&self) -> Result<serde_json::Map<String, Value>, Refusal> {
        let malformed = |error: serde_json::Error| Box::new(errors::detail(400, &format!("JSON parse error - {error}")));
        match serde_json::from_slice(&self.body).map_err(malformed)? {
            Value::Object(object) => Ok(object),
            _ => Err(errors::field("non_field_errors", "Invalid data. Expected a dictionary.")),
        }
    }
}
