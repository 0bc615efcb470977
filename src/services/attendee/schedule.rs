//! Gives each meeting that wants a bot its one bot, and brings it along when the meeting is moved or cancelled. What is about to be asked for is
//! written down first, so that no crash makes a second bot.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::Utc;
use futures_util::StreamExt as _;
use serde_json::json;
use uuid::Uuid;

use super::bounds::Bounds;
use super::eligible::{self, Ineligible, Window};
use super::plan::{self, Occurrence, Step, Without};
use super::{Attendee, projects, reasons, rescheduled, rows};
use crate::address::Pattern;
use crate::engine::Counts;
use crate::engine::task_runner::TaskRunner;
use crate::error::{Class, Failure};

/// Longest time between two tries for a bot that Attendee refuses to make.
pub(super) const REFUSED: Duration = Duration::from_secs(60 * 60);

/// Does what is to be done for the meetings of the window. A dry run only tells.
///
/// # Errors
/// The database failed.
pub async fn schedule(runner: &TaskRunner<Attendee>, pattern: &Pattern, inside: &BTreeSet<String>) -> anyhow::Result<()> {
    let (attendee, pool, now) = (runner.source(), runner.pool(), Utc::now());
    let window = chrono::Duration::from_std(attendee.settings.window).context("attendee.window")?;
    let with_overlaid = attendee.settings.overlaid_calendars;
    let window = Window { now, until: now + window, pattern, inside, with_overlaid };
    let mut found = eligible::find(pool, &window).await?;
    let projects = projects::by_name(pool).await?;
    let bounds = Bounds::from(&attendee.settings);
    let (mut steps, without) = plan::plan(found.wanted, rows::known(pool).await?, &projects, bounds, now);
    rescheduled::explain(pool, &window, &mut steps).await?;
    for left in found.left.iter().filter(|left| left.why == eligible::UNREADABLE) {
        runner.digest().add("no bots", None, format!("meeting {}", left.meeting), &left.why);
    }
    for Without { occurrence, what, why } in without {
        runner.digest().add(what, None, format!("meeting {}", occurrence.meeting), &why);
        let Occurrence { meeting, title, start, .. } = occurrence;
        found.left.push(Ineligible { meeting, title, start, why });
    }
    if runner.is_dry_run() {
        for left in &found.left {
            attendee.notes.meeting(json!({
                "action": "none", "meeting_ids": [left.meeting], "title": left.title, "start_at": left.start, "why": left.why,
            }));
        }
        steps.iter().for_each(|step| attendee.notes.meeting(step.shown()));
        runner.cover(steps.len() as u64, 0);
        return Ok(());
    }
    for left in reasons::explain(pool, &found.left).await? {
        attendee.notes.meeting(json!({
            "action": "none", "meeting_ids": [left.meeting], "title": left.title, "start_at": left.start, "why": left.why,
        }));
    }
    let run = Run { runner, attendee, refused: Mutex::default() };
    let work: Vec<_> = steps.iter().map(|step| run.step(step)).collect();
    let done: Vec<Option<bool>> = futures_util::stream::iter(work).buffer_unordered(runner.width()).collect().await;
    let done: Vec<bool> = done.into_iter().flatten().collect();
    runner.cover(done.len() as u64, done.iter().filter(|failed| **failed).count() as u64);
    Ok(())
}

/// One run.
pub(super) struct Run<'a> {
    pub(super) runner: &'a TaskRunner<Attendee>,
    pub(super) attendee: &'a Attendee,
    /// Projects whose keys were refused: they are not asked again.
    refused: Mutex<HashSet<Uuid>>,
}

impl Run<'_> {
    /// Does a step and counts it; answers whether it failed. `None`: it was not begun.
    async fn step(&self, step: &Step) -> Option<bool> {
        if self.runner.is_winding_down() {
            return None;
        }
        let started = Instant::now();
        let (project, row) = match step {
            Step::Create(meeting) => (meeting.project, None),
            Step::Keep(bot, _) | Step::Remove(bot, _) => (bot.project, Some(bot.id)),
        };
        let done = self.try_step(project, step).await;
        if matches!(&done, Err(failure) if failure.class == Class::LeaseLost) {
            // How this meeting stands is the other run's to say.
            return None;
        }
        // What was left as it is, and why, was said where it was decided.
        if !matches!((step, &done), (Step::Keep(..) | Step::Remove(..), Ok(Counts { unchanged: 1, .. }))) {
            let mut shown = step.shown();
            if let Err(failure) = &done {
                let whose = row.map_or_else(|| format!("project {project}"), |bot| format!("bot {bot} of project {project}"));
                self.runner.digest().add("bot not in order", Some(failure.class), whose, &failure.message);
                shown["error"] = json!(failure.message);
            }
            self.attendee.notes.meeting(shown);
        }
        if let Err(failure) = &done {
            if failure.class == Class::AuthRevoked {
                self.refused.lock().unwrap_or_else(PoisonError::into_inner).insert(project);
            }
            if let Some(id) = row
                && let Err(error) = rows::failed(self.runner.pool(), id, failure, REFUSED).await
            {
                self.runner.digest().add("the failure could not be stored", None, format!("bot {id}"), &format!("{error:#}"));
            }
        }
        let failed = done.is_err();
        self.runner.done(project, started, done);
        Some(failed)
    }

    async fn try_step(&self, project: Uuid, step: &Step) -> Result<Counts, Failure> {
        if self.refused.lock().unwrap_or_else(PoisonError::into_inner).contains(&project) {
            return Err(Failure::new(Class::AuthRevoked, "the project's key was refused a moment ago"));
        }
        let calls = self.runner.calls(project).ok_or_else(|| Failure::new(Class::Gone, "the project was removed"))?;
        match step {
            Step::Create(meeting) => self.create(&calls, meeting).await,
            Step::Keep(bot, meeting) => self.keep(&calls, bot, meeting).await,
            Step::Remove(bot, _) => self.remove(&calls, bot).await,
        }
    }
}
