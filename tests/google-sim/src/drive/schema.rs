//! The fields that Drive's answers can have, whether simulated or not: a selection of any other is refused, as Google refuses it.

use crate::fields::Selector;

pub struct Schema {
    names: &'static [&'static str],
    /// Those that have fields of their own which are checked too.
    inner: &'static [(&'static str, &'static Schema)],
}

const FILE_NAMES: &[&str] = &[
    "appProperties",
    "capabilities",
    "contentHints",
    "contentRestrictions",
    "copyRequiresWriterPermission",
    "createdTime",
    "description",
    "downloadRestrictions",
    "driveId",
    "explicitlyTrashed",
    "exportLinks",
    "fileExtension",
    "folderColorRgb",
    "fullFileExtension",
    "hasAugmentedPermissions",
    "hasThumbnail",
    "headRevisionId",
    "iconLink",
    "id",
    "imageMediaMetadata",
    "inheritedPermissionsDisabled",
    "isAppAuthorized",
    "kind",
    "labelInfo",
    "lastModifyingUser",
    "linkShareMetadata",
    "md5Checksum",
    "mimeType",
    "modifiedByMe",
    "modifiedByMeTime",
    "modifiedTime",
    "name",
    "originalFilename",
    "ownedByMe",
    "owners",
    "parents",
    "permissionIds",
    "permissions",
    "properties",
    "quotaBytesUsed",
    "resourceKey",
    "sha1Checksum",
    "sha256Checksum",
    "shared",
    "sharedWithMeTime",
    "sharingUser",
    "shortcutDetails",
    "size",
    "spaces",
    "starred",
    "teamDriveId",
    "thumbnailLink",
    "thumbnailVersion",
    "trashed",
    "trashedTime",
    "trashingUser",
    "version",
    "videoMediaMetadata",
    "viewedByMe",
    "viewedByMeTime",
    "viewersCanCopyContent",
    "webContentLink",
    "webViewLink",
    "writersCanShare",
];
const DRIVE_NAMES: &[&str] = &[
    "backgroundImageFile",
    "backgroundImageLink",
    "capabilities",
    "colorRgb",
    "createdTime",
    "hidden",
    "id",
    "kind",
    "name",
    "orgUnitId",
    "restrictions",
    "themeId",
];
const CHANGE_NAMES: &[&str] =
    &["changeType", "drive", "driveId", "file", "fileId", "kind", "removed", "teamDrive", "teamDriveId", "time", "type"];

pub static FILE: Schema = Schema { names: FILE_NAMES, inner: &[] };
pub static FILES: Schema = Schema { names: &["files", "incompleteSearch", "kind", "nextPageToken"], inner: &[("files", &FILE)] };
static DRIVE: Schema = Schema { names: DRIVE_NAMES, inner: &[] };
pub static DRIVES: Schema = Schema { names: &["drives", "kind", "nextPageToken"], inner: &[("drives", &DRIVE)] };
static CHANGE: Schema = Schema { names: CHANGE_NAMES, inner: &[("file", &FILE), ("drive", &DRIVE)] };
pub static CHANGES: Schema =
    Schema { names: &["changes", "kind", "newStartPageToken", "nextPageToken"], inner: &[("changes", &CHANGE)] };
static USER: Schema = Schema { names: &["displayName", "emailAddress", "kind", "me", "permissionId", "photoLink"], inner: &[] };
pub static ABOUT: Schema = Schema { names: &["kind", "storageQuota", "user"], inner: &[("user", &USER)] };
pub static START: Schema = Schema { names: &["kind", "startPageToken"], inner: &[] };

impl Schema {
    /// The first selected field that there is not.
    pub fn unknown<'a>(&self, selector: &'a Selector) -> Option<&'a str> {
        let mut selected = selector.names();
        selected.clone().find(|name| !self.names.contains(name)).or_else(|| {
            let inner = |name| self.inner.iter().find(|(known, _)| *known == name).map(|(_, schema)| *schema);
            selected.find_map(|name| inner(name)?.unknown(selector.get(name)?))
        })
    }
}
