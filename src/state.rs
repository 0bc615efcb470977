//! The states and statuses that tables, JSON and messages name: one enum each, and one decode. An unknown word is an error. No I/O.
//!
//! Statements contain the words themselves; a test compares them with the schema.

/// A word that this version does not know.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{column} has the unknown value {value:?}; the database belongs to a newer syncctl")]
pub struct UnknownState {
    /// `table.column`
    pub column: &'static str,
    pub value: String,
}

/// Defines an enum whose variants are stored in a text column as these words.
macro_rules! states {
    ($(#[$about:meta])* $name:ident of $column:literal { $($(#[$of:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$of])* $variant,)+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl std::str::FromStr for $name {
            type Err = UnknownState;

            fn from_str(word: &str) -> Result<Self, UnknownState> {
                let known = Self::ALL.iter().copied().find(|one| one.as_str() == word);
                known.ok_or_else(|| UnknownState { column: $column, value: word.to_owned() })
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, into: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                into.pad(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
                into.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                <String as serde::Deserialize>::deserialize(from)?.parse::<Self>().map_err(serde::de::Error::custom)
            }
        }

        impl<'a> tokio_postgres::types::FromSql<'a> for $name {
            fn from_sql(
                of: &tokio_postgres::types::Type,
                raw: &'a [u8],
            ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
                Ok(<&str>::from_sql(of, raw)?.parse::<Self>()?)
            }

            fn accepts(of: &tokio_postgres::types::Type) -> bool {
                <&str as tokio_postgres::types::FromSql>::accepts(of)
            }
        }

        impl tokio_postgres::types::ToSql for $name {
            fn to_sql(
                &self,
                of: &tokio_postgres::types::Type,
                into: &mut tokio_postgres::types::private::BytesMut,
            ) -> Result<tokio_postgres::types::IsNull, Box<dyn std::error::Error + Sync + Send>> {
                self.as_str().to_sql(of, into)
            }

            fn accepts(of: &tokio_postgres::types::Type) -> bool {
                <&str as tokio_postgres::types::ToSql>::accepts(of)
            }

            tokio_postgres::types::to_sql_checked!();
        }
    };
}

states! {
    /// The result of a run. Also in `*_cron_results.status`, where other programs may have written words of their own.
    #[derive(Default)]
    RunStatus of "runs.status" {
        /// Not ended yet.
        #[default]
        Running = "running",
        /// Everything is done, or nothing was due.
        Completed = "completed",
        /// Some streams failed, wait for quota, or are held by others.
        Partial = "partial",
        /// All failed, or the run itself did.
        Failed = "failed",
        /// The day's quota is used up, and nothing was polled.
        Paused = "paused",
        /// Another run holds the job or the named streams.
        Skipped = "skipped",
        /// The process died; a later run closed its row.
        Abandoned = "abandoned",
    }
}

impl RunStatus {
    /// Whether its duration is of interest: skipped and running runs have none, and that of a run that died is unknown.
    pub fn has_duration(self) -> bool {
        match self {
            Self::Completed | Self::Partial | Self::Failed | Self::Paused => true,
            Self::Running | Self::Skipped | Self::Abandoned => false,
        }
    }
}

states! {
    /// Whether an account is called.
    AccountState of "accounts.state" {
        Active = "active",
        /// Refused by the provider.
        Revoked = "revoked",
        /// Ended on purpose with `accounts revoke`.
        Ended = "ended",
    }
}

states! {
    /// Whether and how a stream is polled.
    StreamState of "streams.state" {
        Active = "active",
        /// A scope or an API is missing, or the user has no such service: polled rarely.
        Stopped = "stopped",
        /// It needed more full passes in a day than is plausible.
        Degraded = "degraded",
        /// Its account is not called.
        Revoked = "revoked",
        /// Gone at the provider, or no longer in the list of feeds.
        Removed = "removed",
        /// Its service is switched off for the user.
        Off = "off",
    }
}

states! {
    /// The state of a push channel.
    ChannelState of "channels.state" {
        /// Written before Google is asked.
        Creating = "creating",
        Live = "live",
        /// To be stopped at Google.
        Stopping = "stopping",
        Stopped = "stopped",
        /// Google refused to create it.
        Refused = "refused",
        /// Google offers no push for this resource.
        Unsupported = "unsupported",
    }
}

impl ChannelState {
    /// Whether Google answered that it does not create the channel: there is nothing to stop.
    pub fn is_refusal(self) -> bool {
        matches!(self, Self::Refused | Self::Unsupported)
    }
}

states! {
    /// The state of a bot. Attendee's own word for it is `attendee_bots.raw_state`.
    BotState of "attendee_bots.state" {
        /// It may or may not exist at Attendee.
        Creating = "creating",
        /// Scheduled, or in the meeting.
        Open = "open",
        /// Its utterances may be incomplete.
        Ended = "ended",
        /// Its transcript is written.
        Settled = "settled",
        Removed = "removed",
    }
}

states! {
    /// The status of a document.
    DocumentStatus of "documents.status" {
        Active = "active",
        Updated = "updated",
        Deleted = "deleted",
    }
}

states! {
    /// The state of an event's delivery to one target.
    DeliveryState of "outbox_deliveries.state" {
        Pending = "pending",
        Delivered = "delivered",
        /// Given up.
        Dead = "dead",
    }
}

states! {
    /// How much of a file's permissions is known to one of its users.
    PermissionsKnown of "drive_file_access.permissions_known" {
        All = "all",
        /// There are too many.
        Some = "some",
        /// Only their ids, as of items in shared drives.
        Ids = "ids",
        /// The user may not share the file.
        None = "none",
    }
}

states! {
    /// Why the content of an attachment is not stored.
    NotStored of "gmail_attachments.not_stored" {
        /// The settings do not include it.
        Excluded = "excluded",
        TooLarge = "too_large",
        /// Its transfer encoding is damaged or unknown.
        Unreadable = "unreadable",
    }
}

states! {
    /// Why stored data of a feed may be missing or outdated: the first reason that applies.
    Missing of "sync_completeness.missing" {
        /// Its state says why.
        NotSynced = "not_synced",
        /// Its last poll failed, so that changes may be unknown.
        Failing = "failing",
        /// The first full pass is not complete; of a calendar, the first since there are instances.
        FirstPass = "first_pass",
        /// Another full pass is in progress, or comes next.
        FullPass = "full_pass",
        /// Occurrences of series are not computed yet.
        Instances = "instances",
        /// Items could not be read.
        Unread = "unread",
        /// Owners and permissions of files have not been read since the version that stores them was installed.
        Permissions = "permissions",
        /// Labels could not be listed, so that their names may be outdated.
        Labels = "labels",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words<S: Copy>(all: &[S], word: fn(S) -> &'static str) -> String {
        let quoted: Vec<String> = all.iter().map(|one| format!("'{}'", word(*one))).collect();
        format!("IN ({})", quoted.join(", "))
    }

    #[test]
    fn the_schema_allows_exactly_these_words() {
        for (migration, words) in [
            (include_str!("../sql/migrations/0025_told_apart.sql"), words(AccountState::ALL, AccountState::as_str)),
            (include_str!("../sql/migrations/0017_services_off.sql"), words(StreamState::ALL, StreamState::as_str)),
            (include_str!("../sql/migrations/0041_unsupported_channels.sql"), words(ChannelState::ALL, ChannelState::as_str)),
            (include_str!("../sql/migrations/0010_attendee.sql"), words(BotState::ALL, BotState::as_str)),
            (include_str!("../sql/migrations/0006_documents.sql"), words(DocumentStatus::ALL, DocumentStatus::as_str)),
            (include_str!("../sql/migrations/0006_documents.sql"), words(DeliveryState::ALL, DeliveryState::as_str)),
            (
                include_str!("../sql/migrations/0039_drive_permissions.sql"),
                words(PermissionsKnown::ALL, PermissionsKnown::as_str),
            ),
            (include_str!("../sql/migrations/0042_attachments.sql"), words(NotStored::ALL, NotStored::as_str)),
        ] {
            assert!(migration.contains(&words), "{words}");
        }
    }

    #[test]
    fn the_view_of_completeness_has_exactly_these_reasons() {
        let view = include_str!("../sql/migrations/0043_completeness.sql");
        let of_missing =
            view.split_once("END AS missing").and_then(|(before, _)| before.rsplit_once("  CASE\n")).expect("a CASE").1;
        let words: Vec<&str> = of_missing.split("THEN '").skip(1).filter_map(|rest| rest.split('\'').next()).collect();
        assert_eq!(words, Missing::ALL.iter().map(|one| one.as_str()).collect::<Vec<_>>(), "in this order");
    }

    #[test]
    fn an_unknown_word_is_named_with_its_column() {
        assert_eq!("partial".parse(), Ok(RunStatus::Partial));
        for word in ["", "Partial", "partial ", "resting"] {
            let error = word.parse::<RunStatus>().expect_err("an unknown status");
            assert_eq!(error, UnknownState { column: "runs.status", value: word.into() });
        }
        let error = "resting".parse::<StreamState>().expect_err("an unknown state").to_string();
        assert!(error.starts_with("streams.state has the unknown value \"resting\""), "{error}");
    }
}
