//! Positions in a feed, encoded as tokens: what they are bound to, and when they are refused.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use axum::response::Response;
use chrono::DateTime;
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use crate::errors;
use crate::feed::{Feed, Span};

pub type Params = BTreeMap<String, String>;
pub type Refusal = Box<Response>;

/// Refused together with a sync token.
const NOT_WITH_SYNC_TOKEN: [&str; 8] =
    ["iCalUID", "orderBy", "privateExtendedProperty", "sharedExtendedProperty", "q", "timeMin", "timeMax", "updatedMin"];
/// Neither part of the position in a feed nor bound by its tokens.
const UNBOUND: [&str; 13] = [
    "syncToken",
    "pageToken",
    "timeMin",
    "timeMax",
    // Parameters of every method.
    "$.xgafv",
    "alt",
    "fields",
    "key",
    "oauth_token",
    "prettyPrint",
    "quotaUser",
    "uploadType",
    "userIp",
];

/// A position in a feed, encoded as a page token (`k` = p) or a sync token (`k` = s).
#[derive(Serialize, Deserialize)]
pub struct Place {
    pub k: char,
    pub epoch: u64,
    /// Hash of the parameters it is bound to.
    pub bound: u64,
    pub after: u64,
    /// Instances of the next entry, a series, that were already returned.
    pub skip: usize,
    /// The feed's version when the pass began: a full pass does not name concurrent deletions, so its sync token goes back to here.
    pub began: u64,
    pub window: Span,
    /// Whether the pass follows a sync token.
    pub follows: bool,
}

impl Place {
    pub fn encode(&self) -> String {
        BASE64URL_NOPAD.encode(&serde_json::to_vec(self).unwrap_or_default())
    }

    fn decode(text: &str, kind: char) -> Option<Self> {
        let place: Self = serde_json::from_slice(&BASE64URL_NOPAD.decode(text.as_bytes()).ok()?).ok()?;
        (place.k == kind).then_some(place)
    }
}

/// A 400 that names the parameter.
pub fn bad(parameter: &str, why: &str) -> Refusal {
    Box::new(errors::google(400, "invalidParameter", &format!("Invalid value for {parameter}: {why}")))
}

/// Hash of the parameters that tokens of this request are bound to.
pub fn bound(params: &Params) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (name, value) in params.iter().filter(|(name, _)| !UNBOUND.contains(&name.as_str())) {
        (name, value).hash(&mut hasher);
    }
    hasher.finish()
}

/// The position at which a request starts in its feed.
pub fn place(feed: &Feed, params: &Params, bound: u64) -> Result<Place, Refusal> {
    if params.contains_key("syncToken") {
        if let Some(name) = NOT_WITH_SYNC_TOKEN.iter().find(|name| params.contains_key(**name)) {
            return Err(bad(name, "cannot be used together with a sync token"));
        }
        if params.get("showDeleted").is_some_and(|value| value == "false") {
            return Err(bad("showDeleted", "must not be false together with a sync token"));
        }
    }
    if let Some(text) = params.get("pageToken") {
        let place = Place::decode(text, 'p').ok_or_else(|| bad("pageToken", "not a page token"))?;
        return if place.epoch != feed.page_epoch {
            Err(bad("pageToken", "expired"))
        } else if place.bound != bound {
            Err(bad("pageToken", "belongs to a request with other parameters"))
        } else if place.follows != params.contains_key("syncToken") {
            Err(bad("pageToken", "belongs to another pass"))
        } else {
            Ok(place)
        };
    }
    if let Some(text) = params.get("syncToken") {
        let place = Place::decode(text, 's').ok_or_else(|| bad("syncToken", "not a sync token"))?;
        if place.epoch != feed.sync_epoch {
            let reason = feed.expired_reason.as_deref().unwrap_or("fullSyncRequired");
            return Err(Box::new(errors::google(410, reason, "Sync token is no longer valid, a full sync is required.")));
        }
        return if place.bound == bound {
            Ok(Place { follows: true, ..place })
        } else {
            Err(bad("syncToken", "belongs to a request with other parameters"))
        };
    }
    Ok(Place {
        k: 'p',
        epoch: feed.page_epoch,
        bound,
        after: 0,
        skip: 0,
        began: feed.version(),
        window: window(params)?,
        follows: false,
    })
}

fn window(params: &Params) -> Result<Span, Refusal> {
    let time = |name: &str| -> Result<Option<i64>, Refusal> {
        let Some(text) = params.get(name) else { return Ok(None) };
        let at = DateTime::parse_from_rfc3339(text).map_err(|_| bad(name, "not an RFC 3339 time with an offset"))?;
        Ok(Some(at.timestamp_millis()))
    };
    let (from, to) = (time("timeMin")?, time("timeMax")?);
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
    {
        return Err(bad("timeMax", "not after timeMin"));
    }
    Ok((from.is_some() || to.is_some()).then(|| (from.unwrap_or(i64::MIN), to.unwrap_or(i64::MAX))))
}
