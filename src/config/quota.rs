//! Quota settings. Google has two profiles because its limits changed in May 2026. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Quotas of the providers. A value of 0 selects the default of the `profile`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// `2026-05` for Google projects created since May 2026, `legacy` for older ones.
    pub profile: QuotaProfile,
    pub calendar: Limits,
    pub drive: Limits,
    pub gmail: Limits,
    /// A self-hosted server can have other limits (its `PROJECT_POST_THROTTLE_RATE`). `user_per_minute` has no effect here.
    pub attendee: Limits,
}

/// Which of Google's two sets of limits applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum QuotaProfile {
    #[serde(rename = "2026-05")]
    Since2026,
    #[serde(rename = "legacy")]
    Legacy,
}

/// Units that a project and a user may spend. 0: the profile's value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Units per minute for all users of a project.
    pub project_per_minute: u64,
    /// Units per minute for one user.
    pub user_per_minute: u64,
    /// Units per day for a project.
    pub per_day: u64,
    /// Maximum number of concurrent calls per user, reduced for a while after a refusal. 0: the profile's value, which is 25 for Gmail and unlimited for
    /// the others.
    pub user_concurrency: u64,
}

impl Default for Quota {
    fn default() -> Self {
        Self {
            profile: QuotaProfile::Since2026,
            calendar: Limits::default(),
            drive: Limits::default(),
            gmail: Limits::default(),
            attendee: Limits::default(),
        }
    }
}

impl Limits {
    /// These limits, with defaults in place of 0.
    pub fn or(self, defaults: Self) -> Self {
        let or = |set: u64, default: u64| if set == 0 { default } else { set };
        Self {
            project_per_minute: or(self.project_per_minute, defaults.project_per_minute),
            user_per_minute: or(self.user_per_minute, defaults.user_per_minute),
            per_day: or(self.per_day, defaults.per_day),
            user_concurrency: or(self.user_concurrency, defaults.user_concurrency),
        }
    }
}
