//! `files.get`, with and without its content, and `files.export`.

use std::io;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use serde_json::{Value, json};

use super::content::Content;
use super::file::{DOCUMENT, FOLDER, File, Home, PRESENTATION, SPREADSHEET, person};
use super::params::{content, flag, metadata, refused, selector};
use super::store::{Store, root};
use super::workbook::{self, XLSX};
use crate::call::call;
use crate::place::{Params, Refusal, bad};
use crate::reply;
use crate::schema;
use crate::state::{World, lock};

/// Maximum size of an export.
const MAX_EXPORTED: usize = 10 * 1024 * 1024;

pub async fn file(
    State(world): State<Arc<World>>,
    Path(id): Path<String>,
    Query(params): Query<Params>,
    headers: HeaderMap,
) -> Response {
    match params.get("alt").map(String::as_str) {
        Some("media") => {
            call(&world, &headers, &content("files.download"), |user| download(&world, &id, &params, &user.email, &headers)).await
        }
        _ => call(&world, &headers, &metadata("files.get", 5), |user| shown(&world, &id, &params, &user.email, &headers)).await,
    }
}

/// The caller's identity; empty without `fields`.
pub async fn about(State(world): State<Arc<World>>, Query(params): Query<Params>, headers: HeaderMap) -> Response {
    call(&world, &headers, &metadata("about.get", 5), |user| {
        if !params.contains_key("fields") {
            return Err(bad("fields", "The 'fields' parameter is required for this method."));
        }
        let body = json!({ "kind": "drive#about", "user": person(&user.email, &user.email) });
        Ok(reply::json(selector(&params, &schema::ABOUT, "")?.of(body).to_string(), &headers))
    })
    .await
}

fn shown(world: &World, id: &str, params: &Params, user: &str, headers: &HeaderMap) -> Result<Response, Refusal> {
    let selected = selector(params, &schema::FILE, "kind,id,name,mimeType")?;
    let my_drive = root(user);
    let body = if id == "root" || id == my_drive {
        selected.of(top(&my_drive, user))
    } else {
        let store = lock(&world.drive);
        seen(&store, id, params, user)?.shown(&store, id, user, &selected)
    };
    Ok(reply::json(body.to_string(), headers))
}

/// The top folder of a My Drive, which has no file.
fn top(id: &str, user: &str) -> Value {
    let at = "2020-01-01T00:00:00.000Z";
    json!({ "kind": "drive#file", "id": id, "name": "My Drive", "mimeType": FOLDER, "trashed": false, "explicitlyTrashed": false,
        "version": "1", "createdTime": at, "modifiedTime": at, "webViewLink": format!("https://drive.google.com/drive/folders/{id}"),
        "iconLink": "https://drive-thirdparty.example.com/16/type/folder", "spaces": ["drive"], "starred": false,
        "capabilities": { "canDownload": false }, "owners": [person(user, user)], "ownedByMe": true, "shared": false })
}

fn download(world: &World, id: &str, params: &Params, user: &str, headers: &HeaderMap) -> Result<Response, Refusal> {
    let (mime, content) = {
        let store = lock(&world.drive);
        let file = seen(&store, id, params, user)?;
        if !file.is_binary() {
            let why = "Only files with binary content can be downloaded. Use Export with Docs Editors files.";
            return Err(refused(403, "fileNotDownloadable", why));
        }
        may_download(file)?;
        (file.mime.clone(), file.content().clone())
    };
    served(&content, &mime, headers)
}

pub async fn export(
    State(world): State<Arc<World>>,
    Path(id): Path<String>,
    Query(params): Query<Params>,
    headers: HeaderMap,
) -> Response {
    call(&world, &headers, &content("files.export"), |user| {
        let mime = params.get("mimeType").ok_or_else(|| refused(400, "required", "Required parameter: mimeType"))?;
        let content = {
            let store = lock(&world.drive);
            // The only call on a file without supportsAllDrives.
            let file = visible(&store, &id, &user.email)?;
            let formats: &[&str] = match &*file.mime {
                DOCUMENT => &["text/plain", "text/markdown"],
                SPREADSHEET => &["text/csv", XLSX],
                PRESENTATION => &["text/plain"],
                _ => return Err(refused(403, "fileNotExportable", "Export only supports Docs Editors files.")),
            };
            if !formats.contains(&mime.as_str()) {
                return Err(bad("mimeType", "The requested conversion is not supported."));
            }
            may_download(file)?;
            exported(file, mime).map_err(|error| refused(500, "internalError", &error.to_string()))?
        };
        if content.len() > MAX_EXPORTED {
            return Err(refused(403, "exportSizeLimitExceeded", "This file is too large to be exported."));
        }
        Ok(as_type(content, mime, &headers))
    })
    .await
}

/// The file converted to this type. In Markdown the pictures are included, each defined at the end in base64.
fn exported(file: &File, mime: &str) -> io::Result<Vec<u8>> {
    if file.content().size() > MAX_EXPORTED as u64 {
        // Refused anyway: do not generate it.
        return Ok(vec![0; MAX_EXPORTED + 1]);
    }
    let mut bytes = match (mime, file.sheets.first()) {
        (XLSX, _) if file.refused.as_deref() == Some("noWorkbook") => b"no zip".to_vec(),
        (XLSX, None) => {
            workbook::of(&[("Sheet1".into(), String::from_utf8_lossy(&file.content().bytes("text/csv")?).into_owned())])?
        }
        (XLSX, Some(_)) => workbook::of(&file.sheets)?,
        ("text/csv", Some((_, first))) => first.clone().into_bytes(),
        _ => file.content().bytes(mime)?,
    };
    let (pictures, size) = file.pictures;
    if mime == "text/markdown" && pictures > 0 {
        let places: Vec<String> = (1..=pictures).map(|number| format!("![][image{number}]")).collect();
        bytes.extend_from_slice(format!("\n\n{}\n", places.join("\n\n")).as_bytes());
        let payload = "iVBORw0KGgo+/AAA".repeat(size / 16 + 1);
        for number in 1..=pictures {
            bytes.extend_from_slice(format!("\n[image{number}]: <data:image/png;base64,{}>\n", &payload[..size]).as_bytes());
        }
    }
    Ok(bytes)
}

fn served(content: &Content, mime: &str, headers: &HeaderMap) -> Result<Response, Refusal> {
    // A file on disk may have been deleted since it was loaded.
    let bytes = content.bytes(mime).map_err(|error| refused(500, "internalError", &error.to_string()))?;
    Ok(as_type(bytes, mime, headers))
}

fn as_type(bytes: Vec<u8>, mime: &str, headers: &HeaderMap) -> Response {
    let mime = HeaderValue::from_str(mime).unwrap_or(HeaderValue::from_static("application/octet-stream"));
    reply::whole_as(bytes, mime, headers)
}

fn may_download(file: &File) -> Result<(), Refusal> {
    match (&file.refused, file.can_download) {
        (Some(reason), _) if reason != "noWorkbook" => Err(refused_content(reason)),
        (_, true) => Ok(()),
        (_, false) => Err(refused(403, "cannotDownloadFile", "This file cannot be downloaded by the user.")),
    }
}

/// In Google's format; an unknown reason is a backend failure.
fn refused_content(reason: &str) -> Refusal {
    let message = match reason {
        "downloadQuotaExceeded" => "The download quota for this file has been exceeded.",
        "exportSizeLimitExceeded" => "This file is too large to be exported.",
        "cannotDownloadFile" => "This file cannot be downloaded by the user.",
        "cannotExportFile" => "This file cannot be exported by the user.",
        _ => return refused(500, reason, "Internal Error"),
    };
    refused(403, reason, message)
}

fn visible<'a>(store: &'a Store, id: &str, user: &str) -> Result<&'a File, Refusal> {
    let file = store.file(id).filter(|file| store.sees(user, file));
    file.ok_or_else(|| refused(404, "notFound", &format!("File not found: {id}.")))
}

/// A file in a shared drive is invisible to a client without the supportsAllDrives flag.
pub fn seen<'a>(store: &'a Store, id: &str, params: &Params, user: &str) -> Result<&'a File, Refusal> {
    let supported = flag(params, "supportsAllDrives", false)?;
    let file = visible(store, id, user)?;
    if matches!(file.home, Home::Drive(_)) && !supported {
        Err(refused(404, "notFound", &format!("File not found: {id}.")))
    } else {
        Ok(file)
    }
}
