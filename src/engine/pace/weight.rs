//! How much the delay of a user's changes matters now, and why.

use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// What a user did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    AppLoad,
    CalendarView,
    MeetingCreate,
    General,
}

/// What is known of the user of a stream.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts {
    /// The last activity and its age.
    pub active: Option<(Activity, Duration)>,
    /// Time until the next meeting begins.
    pub meeting_in: Option<Duration>,
    /// Mail to a virtual address came in, or such an address is invited.
    pub virtual_address: bool,
    /// Failed polls in a row.
    pub failures: u32,
}

/// What follows from the facts.
#[derive(Debug, Clone, PartialEq)]
pub struct Weight {
    /// Times the delay counts; 1 for a user of whom nothing is known.
    pub factor: f64,
    /// No poll may be later than that.
    pub within: Option<Duration>,
    /// Each in words: `active 20 min ago (x3.0)`.
    pub reasons: Vec<String>,
}

impl Activity {
    /// How many times a delay counts right after it.
    fn factor(self) -> f64 {
        match self {
            // Somebody waits for what comes of it.
            Self::MeetingCreate => 6.0,
            Self::AppLoad | Self::CalendarView => 4.0,
            Self::General => 2.0,
        }
    }
}

/// Hours after which an activity counts half.
const ACTIVITY_HALF_LIFE: f64 = 1.0;
const VIRTUAL_ADDRESS: f64 = 2.0;
/// A meeting is near from here on.
const NEAR: Duration = HOUR.saturating_mul(2);

/// Weighs a stream.
pub fn weigh(facts: &Facts) -> Weight {
    let mut weight = Weight { factor: 1.0, within: None, reasons: Vec::new() };
    if let Some((activity, age)) = facts.active {
        let factor = 1.0 + (activity.factor() - 1.0) * (-age.as_secs_f64() / 3600.0 / ACTIVITY_HALF_LIFE).exp2();
        if factor >= 1.05 {
            weight.multiply(factor, format!("active {} ago", in_words(age)));
        }
    }
    if facts.virtual_address {
        weight.multiply(VIRTUAL_ADDRESS, "virtual address in use".to_owned());
    }
    if facts.failures > 0 {
        // A call that will probably fail is worth less.
        weight.multiply(0.5f64.powi(facts.failures.min(3) as i32), format!("{} failures in a row", facts.failures));
    }
    if let Some(left) = facts.meeting_in {
        let within = before_meeting(left);
        weight.within = Some(within);
        if left <= NEAR {
            weight.reasons.push(format!("meeting in {}: at least every {}", in_words(left), in_words(within)));
        }
    }
    weight
}

impl Weight {
    fn multiply(&mut self, factor: f64, reason: String) {
        self.factor *= factor;
        self.reasons.push(format!("{reason} (x{factor:.1})"));
    }
}

/// An eighth of what is left to the meeting, 2 to 15 minutes; no sleep before goes far into the last two hours.
fn before_meeting(left: Duration) -> Duration {
    let far = left.saturating_sub(NEAR);
    (left.min(NEAR) / 8).max(2 * MINUTE) + far
}

/// `20 min`, `3 h`, `2 d`.
pub fn in_words(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWENTY: Duration = Duration::from_secs(1200);

    #[test]
    fn activity_makes_delay_count_more_and_wears_off() {
        let after = |age| weigh(&Facts { active: Some((Activity::AppLoad, age)), ..Facts::default() });
        assert!(after(TWENTY).factor > after(6 * TWENTY).factor);
        assert_eq!(after(TWENTY).reasons, ["active 20 min ago (x3.4)"]);
        let forgotten = after(24 * HOUR);
        assert_eq!((forgotten.factor < 1.05, forgotten.reasons.len()), (true, 0));
    }

    #[test]
    fn a_meeting_within_two_hours_forces_freshness() {
        let within = |left| weigh(&Facts { meeting_in: Some(left), ..Facts::default() }).within.expect("a bound");
        assert_eq!(within(2 * HOUR), 15 * MINUTE);
        assert_eq!(within(40 * MINUTE), 5 * MINUTE);
        assert_eq!(within(MINUTE), 2 * MINUTE);
        // Asleep until the last two hours, and no further than a quarter of an hour into them.
        assert_eq!(within(10 * HOUR), 8 * HOUR + 15 * MINUTE);
        assert_eq!(weigh(&Facts::default()).within, None);
    }

    #[test]
    fn reasons_are_words() {
        let facts = Facts {
            active: Some((Activity::General, TWENTY)),
            meeting_in: Some(40 * MINUTE),
            virtual_address: true,
            failures: 2,
        };
        let weight = weigh(&facts);
        let words = [
            "active 20 min ago (x1.8)",
            "virtual address in use (x2.0)",
            "2 failures in a row (x0.2)",
            "meeting in 40 min: at least every 5 min",
        ];
        assert_eq!(weight.reasons, words);
        assert!((weight.factor - 1.794 * 2.0 * 0.25).abs() < 0.01, "{}", weight.factor);
    }
}
