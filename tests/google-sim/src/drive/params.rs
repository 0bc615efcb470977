//! Shared by Drive's calls: flags, page sizes, selections, tokens, refusals.

use data_encoding::BASE64URL_NOPAD;

use super::store::Store;
use crate::call::Method;
use crate::errors;
use crate::fields::{Schema, Selector, selection};
use crate::place::{Params, Refusal, bad};
use crate::state::DRIVE_SCOPE;

const METADATA_SCOPE: &str = "https://www.googleapis.com/auth/drive.metadata.readonly";

/// A call that reads no content.
pub fn metadata(name: &'static str, units: u64) -> Method<'static> {
    Method {
        name,
        scopes: &[DRIVE_SCOPE, METADATA_SCOPE],
        service: "drive",
        units,
        stream: None,
        follows: false,
        id: None,
        of_mailbox: false,
    }
}

/// A call that reads content.
pub fn content(name: &'static str) -> Method<'static> {
    Method {
        name,
        scopes: &[DRIVE_SCOPE],
        service: "drive",
        units: 200,
        stream: None,
        follows: false,
        id: None,
        of_mailbox: false,
    }
}

pub fn flag(params: &Params, name: &str, otherwise: bool) -> Result<bool, Refusal> {
    match params.get(name).map(String::as_str) {
        None => Ok(otherwise),
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(_) => Err(bad(name, "neither true nor false")),
    }
}

/// `default` if absent; refuses a size outside 1 to `most`.
pub fn page_size(params: &Params, default: usize, most: usize) -> Result<usize, Refusal> {
    let Some(text) = params.get("pageSize") else { return Ok(default) };
    let size = text.parse().ok().filter(|size| (1..=most).contains(size));
    size.ok_or_else(|| bad("pageSize", &format!("{text} is not within [1, {most}]")))
}

/// The selection in `fields`, or the API's default.
pub fn selector(params: &Params, schema: &Schema, otherwise: &str) -> Result<Selector, Refusal> {
    selection(params.get("fields").map(String::as_str), otherwise, schema)
}

/// The two flags of a client that supports shared drives; returns whether their items are included.
pub fn all_drives(params: &Params) -> Result<bool, Refusal> {
    let (included, supported) = (flag(params, "includeItemsFromAllDrives", false)?, flag(params, "supportsAllDrives", false)?);
    if included && !supported {
        Err(bad("includeItemsFromAllDrives", "supportsAllDrives must be true with it"))
    } else {
        Ok(included)
    }
}

/// The requested shared drive, if the user is a member.
pub fn drive<'a>(store: &Store, params: &'a Params, user: &str) -> Result<Option<&'a str>, Refusal> {
    let Some(id) = params.get("driveId") else { return Ok(None) };
    if !flag(params, "supportsAllDrives", false)? {
        return Err(bad("driveId", "supportsAllDrives must be true with it"));
    }
    if store.drive(id).is_some_and(|drive| drive.members.contains(user)) {
        Ok(Some(id))
    } else {
        Err(refused(404, "notFound", &format!("Shared drive not found: {id}")))
    }
}

pub fn refused(status: u16, reason: &str, message: &str) -> Refusal {
    Box::new(errors::google(status, reason, message))
}

/// A token for a position in a feed; it is valid only for that feed.
pub fn token(feed: &str, place: u64) -> String {
    BASE64URL_NOPAD.encode(format!("{place}:{feed}").as_bytes())
}

/// The position that a token of this feed encodes.
pub fn place(store: &Store, feed: &str, token: &str) -> Result<u64, Refusal> {
    let read = || {
        let text = String::from_utf8(BASE64URL_NOPAD.decode(token.as_bytes()).ok()?).ok()?;
        let (place, of) = text.split_once(':')?;
        place.parse().ok().filter(|place| of == feed && *place <= store.sequence())
    };
    read().ok_or_else(|| bad("pageToken", token))
}
