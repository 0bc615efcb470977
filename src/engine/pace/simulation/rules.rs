//! The rules of pace that are held against each other, ours among them.

use chrono::{DateTime, Utc};

use super::Terms;
use crate::engine::pace::{Forecast, History, Week};

/// A rule of pace. Each has one free number, its scale, by which its calls are made as many as those of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The scale is the interval in hours.
    Fixed,
    /// The scale multiplies the minutes.
    Table(Table),
    /// What runs in production, with or without its belief in hours of the week. The scale is the price of a call in hours.
    Syncctl { hours: bool },
    /// Who is told each stream's mean rate, and polls it as is best if changes come at any time alike. The scale is the price.
    RatesKnown,
}

/// Minutes to the next poll by how many changes the last one found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    Calendar,
    Drive,
    Gmail,
    Adaptive,
}

impl Rule {
    /// In the order in which they are shown; what the others are measured by comes first.
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

    /// Where the search for a scale begins, and by which power of it the calls go down.
    pub(super) fn scale(self) -> (f64, f64) {
        match self {
            Self::Fixed | Self::Table(_) => (1.0, 1.0),
            Self::Syncctl { .. } | Self::RatesKnown => (0.1, 0.5),
        }
    }
}

/// A rule at work on one stream.
pub(super) struct Pacer<'a> {
    rule: Rule,
    scale: f64,
    terms: &'a Terms,
    /// What only `RatesKnown` looks at.
    rate: f64,
    history: History,
    /// Minutes of the adaptive table, from one poll to the next.
    minutes: f64,
}

impl<'a> Pacer<'a> {
    pub(super) fn new(rule: Rule, scale: f64, terms: &'a Terms, rate: f64, start: DateTime<Utc>) -> Self {
        Self { rule, scale, terms, rate, history: History::empty(start), minutes: 60.0 }
    }

    /// Hours from this poll, which found these changes, to the next.
    pub(super) fn wait(&mut self, now: DateTime<Utc>, found: &[DateTime<Utc>]) -> f64 {
        let forecast = match self.rule {
            Rule::Fixed => return self.scale,
            Rule::Table(table) => return self.scale * self.minutes(table, found.len()) / 60.0,
            Rule::RatesKnown => Forecast::steady(self.rate),
            Rule::Syncctl { hours } => self.foresee(now, found, hours),
        };
        forecast.wait(now, 1.0, self.scale, &self.terms.bounds).as_secs_f64() / 3600.0
    }

    fn foresee(&mut self, now: DateTime<Utc>, found: &[DateTime<Utc>], hours: bool) -> Forecast {
        let Terms { half_life, bounds, .. } = *self.terms;
        if !found.is_empty() {
            self.history = self.history.observe(now, found, half_life, bounds.prior);
        }
        let forecast = self.history.forecast(now, half_life, bounds.prior);
        if hours { forecast } else { Forecast { week: Week::FLAT, ..forecast } }
    }

    fn minutes(&mut self, table: Table, found: usize) -> f64 {
        self.minutes = match (table, found) {
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
