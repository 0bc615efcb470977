//! The pacing rules under comparison, including ours.

use chrono::{DateTime, Utc};

use super::Terms;
use pace::{Evidence, Forecast, History, Prior, Week};

/// A pacing rule. Each has one free number, its scale, which is tuned so that all rules make the same number of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The scale is the interval in hours.
    Fixed,
    /// The scale multiplies the minutes.
    Table(Table),
    /// The production rule, with or without the weekly profile. The scale is the price of a call in hours.
    Syncctl { hours: bool },
    /// Knows each stream's mean rate and polls optimally for changes at uniformly random times. The scale is the price.
    RatesKnown,
}

/// Minutes to the next poll by the number of changes that the last one found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    Calendar,
    Drive,
    Gmail,
    Adaptive,
}

impl Rule {
    /// In display order; the reference for the others comes first.
    pub const ALL: [Self; 8] = [
        Self::RatesKnown,
        Self::Syncctl { hours: true },
        Self::Syncctl { hours: false },
        Self::Table(Table::Adaptive),
        Self::Table(Table::Gmail),
        Self::Table(Table::Drive),
        Self::Table(Table::Calendar),
        Self::Fixed,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed interval",
            Self::Table(Table::Calendar) => "calendar table",
            Self::Table(Table::Drive) => "drive table",
            Self::Table(Table::Gmail) => "gmail table",
            Self::Table(Table::Adaptive) => "adaptive table",
            Self::Syncctl { hours: true } => "syncctl",
            Self::Syncctl { hours: false } => "syncctl, no hours",
            Self::RatesKnown => "rates known",
        }
    }

    /// Whether it learns a prior from all streams.
    pub(super) fn learns(self) -> bool {
        matches!(self, Self::Syncctl { .. })
    }

    /// Start of the search for a scale, and the power of it by which calls decrease.
    pub(super) fn scale(self) -> (f64, f64) {
        match self {
            Self::Fixed | Self::Table(_) => (1.0, 1.0),
            Self::Syncctl { .. } | Self::RatesKnown => (0.1, 0.5),
        }
    }
}

/// A rule applied to one stream.
pub(super) struct Pacer<'a> {
    rule: Rule,
    scale: f64,
    terms: &'a Terms,
    /// Used only by `RatesKnown`.
    rate: f64,
    history: History,
    /// Current interval of the adaptive table, in minutes.
    minutes: f64,
}

impl<'a> Pacer<'a> {
    pub(super) fn new(rule: Rule, scale: f64, terms: &'a Terms, rate: f64, start: DateTime<Utc>) -> Self {
        Self { rule, scale, terms, rate, history: History::empty(start), minutes: 60.0 }
    }

    /// Hours from this poll, which found these changes, to the next.
    pub(super) fn wait(&mut self, now: DateTime<Utc>, changes: &[DateTime<Utc>], prior: &Prior) -> f64 {
        let forecast = match self.rule {
            Rule::Fixed => return self.scale,
            Rule::Table(table) => return self.scale * self.minutes(table, changes.len()) / 60.0,
            Rule::RatesKnown => Forecast::steady(self.rate),
            Rule::Syncctl { hours } => self.foresee(now, changes, hours, prior),
        };
        forecast.wait(now, 1.0, self.scale, &self.terms.bounds).as_secs_f64() / 3600.0
    }

    fn foresee(&mut self, now: DateTime<Utc>, changes: &[DateTime<Utc>], hours: bool, prior: &Prior) -> Forecast {
        let half_life = self.terms.half_life;
        if !changes.is_empty() {
            self.history = self.history.observe(now, changes, half_life, prior);
        }
        let forecast = self.history.forecast(now, half_life, prior);
        if hours { forecast } else { Forecast { week: Week::FLAT, ..forecast } }
    }

    /// What the stream had shown by its last poll.
    pub(super) fn evidence(&self, polled: DateTime<Utc>) -> Evidence {
        let half_life = self.terms.half_life;
        self.history.evidence(&self.history.week(half_life), polled, half_life)
    }

    fn minutes(&mut self, table: Table, count: usize) -> f64 {
        self.minutes = match (table, count) {
            (Table::Adaptive, 0) => (self.minutes * 1.5).min(120.0),
            (Table::Adaptive, 1..=5) => 30.0,
            (Table::Adaptive, 6..=20) => 15.0,
            (Table::Adaptive, _) => 10.0,
            (_, 0) => 60.0,
            (Table::Calendar, 1..=5) => 20.0,
            (Table::Calendar, _) => 10.0,
            (Table::Drive, 1..=2) | (Table::Gmail, 1..=10) => 30.0,
            (Table::Drive | Table::Gmail, _) => 15.0,
        };
        self.minutes
    }
}
