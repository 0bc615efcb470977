//! Decodes a file, alone or in a change. Pure.

use std::sync::LazyLock;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::Change;
use super::permissions::{self, Permission, Permissions};
use crate::db::items::Poison;
use crate::engine::Item;
use crate::nul;

/// The requested fields of a file, for the `fields` parameter.
pub static FIELDS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "id,name,mimeType,parents,trashed,version,md5Checksum,headRevisionId,size,createdTime,modifiedTime,webViewLink,driveId,description,starred,\
         shared,ownedByMe,owners(displayName,emailAddress),shortcutDetails(targetId,targetMimeType),permissionIds,permissions({}),\
         lastModifyingUser(displayName)",
        permissions::FIELDS
    )
});
const GOOGLE_APPS: &str = "application/vnd.google-apps.";

/// The parts of a file that syncctl reads (`File` of the Drive API).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct File {
    pub id: String,
    pub name: Option<String>,
    pub mime_type: Option<String>,
    pub parents: Vec<String>,
    pub trashed: bool,
    /// Increases with every change, visible to the user or not.
    #[serde(deserialize_with = "number")]
    pub version: Option<i64>,
    /// Absent for folders and for Google's own formats.
    pub md5_checksum: Option<String>,
    /// Absent like `md5_checksum`.
    pub head_revision_id: Option<String>,
    /// Bytes.
    #[serde(deserialize_with = "number")]
    pub size: Option<i64>,
    pub modified_time: Option<DateTime<Utc>>,
    pub web_view_link: Option<String>,
    pub drive_id: Option<String>,
    pub created_time: Option<DateTime<Utc>>,
    pub description: Option<String>,
    /// By this user.
    pub starred: Option<bool>,
    /// With anyone besides its owner. Absent in shared drives.
    pub shared: Option<bool>,
    /// By this user. Absent in shared drives.
    pub owned_by_me: Option<bool>,
    pub shortcut_details: Option<Shortcut>,
    /// Absent if the user may not share the file.
    pub permission_ids: Vec<String>,
    /// Absent in shared drives, and if the user may not share the file.
    pub permissions: Vec<Permission>,
    pub last_modifying_user: Option<Person>,
}

/// The user who last changed a file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Person {
    pub display_name: Option<String>,
}

/// What a shortcut leads to.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Shortcut {
    pub target_id: Option<String>,
    pub target_mime_type: Option<String>,
}

impl File {
    /// A key that changes with the content: checksum, revision, or the time of the last edit in milliseconds for Google's own formats, which have
    /// neither and whose version also increases with invisible changes. Empty if there is no content.
    pub fn content_key(&self) -> String {
        let known = self.md5_checksum.clone().or_else(|| self.head_revision_id.clone());
        let edited = || self.modified_time.map(|time| time.timestamp_millis()).or(self.version);
        known.or_else(|| Some(edited().filter(|_| self.is_googles_own())?.to_string())).unwrap_or_default()
    }

    /// Its permissions, as far as they are shown to this user.
    pub fn shown_permissions(&self) -> Permissions {
        Permissions::of(&self.permissions, &self.permission_ids)
    }

    /// Whether it has content: folders and shortcuts have none.
    pub fn is_readable(&self) -> bool {
        let kind = self.mime_type.as_deref().and_then(|mime| mime.strip_prefix(GOOGLE_APPS));
        !matches!(kind, Some("folder" | "shortcut" | "drive-sdk"))
    }

    /// Whether it has a format of Google's own, such as Docs or Sheets, which is not stored as bytes.
    pub fn is_googles_own(&self) -> bool {
        self.is_readable() && self.mime_type.as_deref().is_some_and(|mime| mime.starts_with(GOOGLE_APPS))
    }
}

/// Parses a 64-bit number, which Google sends as a string.
fn number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Text(String),
        Number(i64),
    }
    match Option::<Number>::deserialize(from)? {
        None => Ok(None),
        Some(Number::Number(number)) => Ok(Some(number)),
        Some(Number::Text(text)) => text.parse().map(Some).map_err(serde::de::Error::custom),
    }
}

/// A change of `changes.list`, or a file of `files.list`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Shape {
    change_type: Option<String>,
    file_id: Option<String>,
    drive_id: Option<String>,
    removed: bool,
    time: Option<DateTime<Utc>>,
    file: Option<File>,
}

/// The text of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// It was not requested.
    Unread,
    /// The text, and a note on what is missing.
    Text { body: String, note: Option<String> },
    /// There is no text; the note says why, if the reason is of interest.
    Absent(Option<String>),
    /// It could not be read this time. `note` says why, `after` how long to wait before the next attempt; `None`: until the next poll.
    Later { note: String, after: Option<Duration> },
}

/// Decodes a change or a file.
pub fn decode(raw: Box<RawValue>) -> Result<Item<Change>, Poison> {
    let raw = nul::without(raw);
    let wrong = |error: String| Poison::of(&raw, error);
    let shape: Shape = serde_json::from_str(raw.get()).map_err(|error| wrong(format!("not a change: {error}")))?;
    if shape.change_type.as_deref().is_some_and(|kind| kind != "file") {
        let id = shape.drive_id.unwrap_or_default();
        return Ok(Item { id, changed_at: None, raw, change: Change::Other });
    }
    let Some(id) = shape.file_id else {
        let file: File = serde_json::from_str(raw.get()).map_err(|error| wrong(format!("not a file: {error}")))?;
        return if file.id.is_empty() {
            Err(wrong("not a file: no id".into()))
        } else {
            Ok(Item { id: file.id.clone(), changed_at: file.modified_time, raw, change: of(file) })
        };
    };
    match (shape.removed, shape.file) {
        (true, _) => Ok(Item { id, changed_at: shape.time, raw, change: Change::Removed }),
        (false, Some(file)) if file.id == id => Ok(Item { id, changed_at: shape.time, raw, change: of(file) }),
        (false, _) => Err(wrong("not a change: neither a removal nor a file".into())),
    }
}

fn of(file: File) -> Change {
    Change::File(Box::new(file), Content::Unread)
}

/// Creates the removal of a file, in the form of a feed.
pub fn removed(id: &str) -> Result<Item<Change>, serde_json::Error> {
    let raw = serde_json::value::to_raw_value(&serde_json::json!({ "fileId": id, "removed": true }))?;
    Ok(Item { id: id.to_owned(), changed_at: None, raw, change: Change::Removed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decoded(json: &str) -> Result<Item<Change>, Poison> {
        decode(RawValue::from_string(json.into()).expect("JSON"))
    }

    #[test]
    fn a_change_and_a_single_file_are_parsed_alike() {
        let file = r#"{"id":"a","name":"x","version":"7","size":"12","md5Checksum":"m"}"#;
        for json in [file.to_owned(), format!(r#"{{"changeType":"file","fileId":"a","removed":false,"file":{file}}}"#)] {
            let Ok(Item { id, change: Change::File(file, _), .. }) = decoded(&json) else { panic!("no file: {json}") };
            assert_eq!((id.as_str(), file.version, file.size, file.content_key().as_str()), ("a", Some(7), Some(12), "m"));
        }
    }

    #[test]
    fn unreadable_files_are_quarantined_by_id() {
        let poison = decoded(r#"{"changeType":"file","fileId":"a","file":{"id":"a","version":"many"}}"#).err().expect("poison");
        assert_eq!(poison.item_id, "a");
        assert!(decoded(r#"{"fileId":"a"}"#).is_err());
        assert!(decoded("{}").is_err());
        assert!(matches!(
            decoded(r#"{"changeType":"drive","driveId":"d","removed":true}"#).map(|item| item.change),
            Ok(Change::Other)
        ));
    }

    #[test]
    fn a_name_with_nul_can_be_stored() {
        let item = decoded(r#"{"id":"a","name":"x\u0000y","version":"1"}"#).expect("an item");
        assert!(!item.raw.get().contains("\\u0000"));
        let Change::File(file, _) = item.change else { panic!("no file") };
        assert_eq!(file.name.as_deref(), Some("x\u{fffd}y"));
    }

    #[test]
    fn google_documents_change_with_their_edit_time_and_folders_have_no_content() {
        let of = |kind: &str| File {
            version: Some(9),
            modified_time: DateTime::from_timestamp_millis(1_700_000_000_123),
            mime_type: Some(format!("{GOOGLE_APPS}{kind}")),
            ..File::default()
        };
        assert_eq!(of("document").content_key(), "1700000000123");
        assert_eq!(of("folder").content_key(), "");
        assert_eq!(File { version: Some(9), mime_type: Some("text/plain".into()), ..File::default() }.content_key(), "");
    }

    proptest! {
        #[test]
        fn no_answer_causes_a_panic(json in "(\\{|\\}|\"fileId\":|\"file\":|\"id\":|\"a\"|,|\"removed\":true){0,12}") {
            if let Ok(raw) = RawValue::from_string(json) {
                let _ = decode(raw);
            }
        }
    }
}
