//! Derives what happened to a file by comparing it with its last state in the feed. Pure.

use super::file::File;
use crate::state::PermissionsKnown;

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Created,
    Modified,
    Metadata,
    Renamed,
    Moved,
    Trashed,
    Untrashed,
    Removed,
}

/// The types of all events of Drive.
pub const EVENTS: [&str; 8] = [
    Action::Created.event(),
    Action::Modified.event(),
    Action::Metadata.event(),
    Action::Renamed.event(),
    Action::Moved.event(),
    Action::Trashed.event(),
    Action::Untrashed.event(),
    Action::Removed.event(),
];

impl Action {
    /// The value of `action` in an event.
    pub fn name(self) -> &'static str {
        self.event().rsplit('.').next().unwrap_or_default()
    }

    /// The type of the event.
    pub const fn event(self) -> &'static str {
        match self {
            Self::Created => "drive.file.created",
            Self::Modified => "drive.file.modified",
            Self::Metadata => "drive.file.metadata",
            Self::Renamed => "drive.file.renamed",
            Self::Moved => "drive.file.moved",
            Self::Trashed => "drive.file.trashed",
            Self::Untrashed => "drive.file.untrashed",
            Self::Removed => "drive.file.removed",
        }
    }
}

/// The last state of a file in a feed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LastSeen {
    pub name: Option<String>,
    pub parents: Vec<String>,
    pub trashed: bool,
    pub version: Option<i64>,
    /// `File::content_key`
    pub content_key: String,
    /// The user no longer saw it.
    pub lost: bool,
    /// How much of its permissions is stored. `None`: its row was written by a version that did not read them.
    pub permissions: Option<PermissionsKnown>,
}

/// Returns what has happened since; of several changes, the most significant. `None` if nothing is new.
pub fn since(known: Option<&LastSeen>, file: &File) -> Option<Action> {
    let Some(known) = known.filter(|known| !known.lost) else { return Some(Action::Created) };
    // An older version can arrive last: in a delayed answer, or from quarantine.
    if known.version.is_some() && file.version <= known.version {
        return None;
    }
    let set = |parents: &[String]| parents.iter().cloned().collect::<std::collections::BTreeSet<_>>();
    let edited = file.content_key() != known.content_key;
    let renamed = file.name != known.name;
    let moved = set(&file.parents) != set(&known.parents);
    Some(if file.trashed && !known.trashed {
        Action::Trashed
    } else if !file.trashed && known.trashed {
        Action::Untrashed
    } else if edited && !(file.is_googles_own() && (renamed || moved)) {
        // Some clients update the time of Google's own formats when they rename or move a file; the text then shows whether it was edited.
        Action::Modified
    } else if renamed {
        Action::Renamed
    } else if moved {
        Action::Moved
    } else {
        Action::Metadata
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> File {
        let text = |text: &str| Some(text.to_owned());
        File {
            id: "a".into(),
            name: text("x"),
            parents: vec!["p".into()],
            version: Some(2),
            md5_checksum: text("m"),
            ..File::default()
        }
    }

    fn known() -> LastSeen {
        LastSeen {
            name: Some("x".into()),
            parents: vec!["p".into()],
            trashed: false,
            version: Some(1),
            content_key: "m".into(),
            lost: false,
            permissions: Some(PermissionsKnown::All),
        }
    }

    #[test]
    fn the_most_specific_kind_of_change_wins() {
        let known = known();
        let act = |change: fn(&mut File)| {
            let mut file = file();
            change(&mut file);
            since(Some(&known), &file)
        };
        assert_eq!(act(|_| ()), Some(Action::Metadata));
        assert_eq!(act(|file| file.parents = vec!["q".into()]), Some(Action::Moved));
        assert_eq!(act(|file| (file.parents, file.name) = (vec!["q".into()], Some("y".into()))), Some(Action::Renamed));
        assert_eq!(act(|file| (file.md5_checksum, file.name) = (Some("n".into()), Some("y".into()))), Some(Action::Modified));
        assert_eq!(act(|file| (file.md5_checksum, file.trashed) = (Some("n".into()), true)), Some(Action::Trashed));
        assert_eq!(since(Some(&LastSeen { trashed: true, ..known.clone() }), &file()), Some(Action::Untrashed));
    }

    #[test]
    fn google_documents_count_as_edited_only_if_their_time_changes() {
        let document = |millis: i64| File {
            md5_checksum: None,
            mime_type: Some("application/vnd.google-apps.document".into()),
            modified_time: chrono::DateTime::from_timestamp_millis(millis),
            ..file()
        };
        let known = LastSeen { content_key: "5".into(), ..known() };
        let act = |file: File| since(Some(&known), &file);
        for time in [5, 6] {
            assert_eq!(act(File { name: Some("y".into()), ..document(time) }), Some(Action::Renamed));
            assert_eq!(act(File { parents: vec!["q".into()], ..document(time) }), Some(Action::Moved));
        }
        assert_eq!(act(document(5)), Some(Action::Metadata));
        assert_eq!(act(document(6)), Some(Action::Modified));
    }

    #[test]
    fn the_same_or_an_older_version_is_no_change() {
        for version in [1, 0] {
            let file = File { version: Some(version), name: Some("y".into()), ..file() };
            assert_eq!(since(Some(&known()), &file), None);
        }
    }

    #[test]
    fn new_and_restored_files_are_created() {
        assert_eq!(since(None, &file()), Some(Action::Created));
        let lost = LastSeen { lost: true, version: Some(9), ..known() };
        assert_eq!(since(Some(&lost), &file()), Some(Action::Created));
    }
}
