//! Why stored data of a feed may be missing or outdated, for people.

use crate::db::completeness::Feed;
use crate::state::Missing;

/// The reason why a feed is not complete. `None`: it is complete, as of its last poll.
pub fn reason(feed: &Feed) -> Option<String> {
    Some(match feed.missing? {
        Missing::NotSynced => format!("it is not synced ({})", feed.state),
        Missing::Failing => "its last poll failed: `syncctl sync explain` shows why".into(),
        Missing::FirstPass => {
            "its first full pass is not complete: `syncctl sync explain` shows its progress, `syncctl resync` begins another one"
                .into()
        }
        Missing::FullPass => "a full pass is in progress".into(),
        Missing::Instances => "its occurrences are not computed yet: run `syncctl calendar roll-instances`".into(),
        Missing::Unread => "items of it could not be read: see `syncctl items list` and `syncctl doctor`".into(),
        Missing::Permissions => "owners and permissions are read by its next full pass: `syncctl resync` begins it now".into(),
        Missing::Labels => {
            let why = feed.labels_failure.as_deref().unwrap_or("no message");
            format!("its labels cannot be listed: {why}; `syncctl doctor` says what to do")
        }
    })
}
