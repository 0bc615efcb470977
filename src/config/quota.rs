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

impl Quota {
    /// The limits of one service (`calendar`, `drive`, `gmail`, `attendee`): the settings, with the profile's values in place of 0.
    pub fn limits(&self, service: &str) -> Limits {
        let (set, profile) = match (service, self.profile) {
            ("gmail", QuotaProfile::Since2026) => (self.gmail, (1_200_000, 6_000, 80_000_000)),
            ("gmail", QuotaProfile::Legacy) => (self.gmail, (1_200_000, 15_000, u64::MAX)),
            ("drive", _) => (self.drive, (1_000_000, 325_000, 400_000_000)),
            // Attendee projects have no users.
            ("attendee", _) => (Limits { user_per_minute: 0, ..self.attendee }, (3_000, u64::MAX, u64::MAX)),
            // Reads only the database.
            ("classify", _) => (Limits::default(), (u64::MAX, u64::MAX, u64::MAX)),
            (_, _) => (self.calendar, (10_000, 600, 1_000_000)),
        };
        let or = |set: u64, default: u64| if set == 0 { default } else { set };
        Limits {
            project_per_minute: or(set.project_per_minute, profile.0),
            user_per_minute: or(set.user_per_minute, profile.1),
            per_day: or(set.per_day, profile.2),
            // Google documents no limit. According to reports, one batch of 100 is refused and four consecutive batches of 25 pass.
            user_concurrency: or(set.user_concurrency, if service == "gmail" { 25 } else { 0 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_profile_has_its_own_limits_and_a_setting_beats_both() {
        let new = Quota::default();
        let old = Quota { profile: QuotaProfile::Legacy, ..Quota::default() };
        let gmail = |quota: &Quota| (quota.limits("gmail").user_per_minute, quota.limits("gmail").per_day);
        assert_eq!(gmail(&new), (6_000, 80_000_000));
        assert_eq!(gmail(&old), (15_000, u64::MAX));
        for service in ["calendar", "drive"] {
            assert_eq!(new.limits(service), old.limits(service));
            assert_eq!(new.limits(service).user_concurrency, 0);
        }
        assert_eq!(old.limits("gmail").user_concurrency, 25);
        let limits = Limits { user_per_minute: 7, ..Limits::default() };
        let set = Quota { gmail: limits, ..old };
        assert_eq!(set.limits("gmail"), Limits { user_per_minute: 7, ..old.limits("gmail") });
    }
}
