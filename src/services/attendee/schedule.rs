//! Schedules exactly one bot for each eligible meeting, and moves or removes it with the meeting. Records each request before making it, so that a
//! crash cannot create a second bot.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::Utc;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use uuid::Uuid;

use super::bounds::Bounds;
use super::eligible::{self, Eligibility, Ineligible};
use super::plan::{Occurrence, Step};
use super::planner::{self, Without};
use super::window::Window;
use super::{Attendee, projects, reasons, rescheduled, rows};
use crate::address::Pattern;
use crate::engine::Counts;
use crate::engine::task_runner::TaskRunner;
use crate::error::{Class, Failure};

/// Maximum interval between two requests for a bot that Attendee refuses to create.
pub(super) const REFUSED: Duration = Duration::from_secs(60 * 60);

/// Plans and executes the steps for the meetings in the window. A dry run only reports them.
///
/// # Errors
/// Returns an error if the database fails.
pub async fn schedule(runner: &TaskRunner<Attendee>, pattern: &Pattern, inside: &BTreeSet<String>) -> anyhow::Result<()> {
    let (attendee, pool, now) = (runner.source(), runner.pool(), Utc::now());
    let window = chrono::Duration::from_std(attendee.settings.window).context("attendee.window")?;
    let with_overlaid = attendee.settings.overlaid_calendars;
    let window = Window { now, until: now + window, pattern, inside, with_overlaid };
    let Eligibility { occurrences, mut ineligible } = eligible::find(pool, &window).await?;
    let projects = projects::by_name(pool).await?;
    let bounds = Bounds::from(&attendee.settings);
    let (mut steps, without) = planner::plan(occurrences, rows::known(pool).await?, &projects, bounds, now);
    rescheduled::explain(pool, &window, &mut steps).await?;
    for one in ineligible.iter().filter(|one| one.why == eligible::UNREADABLE) {
        runner.digest().add("no bots", None, format!("meeting {}", one.meeting), &one.why);
    }
    for Without { occurrence, what, why } in without {
        runner.digest().add(what, None, format!("meeting {}", occurrence.meeting), &why);
        let Occurrence { meeting, title, start, .. } = occurrence;
        ineligible.push(Ineligible { meeting, title, start, why });
    }
    if runner.is_dry_run() {
        ineligible.iter().for_each(|one| attendee.notes.meeting(without_bot(one)));
        steps.iter().for_each(|step| attendee.notes.meeting(step.shown()));
        runner.cover(steps.len() as u64, 0);
        return Ok(());
    }
    for one in reasons::explain(pool, &ineligible).await? {
        attendee.notes.meeting(without_bot(one));
    }
    let run = Run { runner, attendee, refused: Mutex::default() };
    let work: Vec<_> = steps.iter().map(|step| run.step(step)).collect();
    let done: Vec<Option<bool>> = futures_util::stream::iter(work).buffer_unordered(runner.width()).collect().await;
    let done: Vec<bool> = done.into_iter().flatten().collect();
    runner.cover(done.len() as u64, done.iter().filter(|failed| **failed).count() as u64);
    Ok(())
}

/// The note on a meeting without a bot.
fn without_bot(one: &Ineligible) -> Value {
    json!({ "action": "none", "meeting_ids": [one.meeting], "title": one.title, "start_at": one.start, "why": one.why })
}

/// One run.
pub(super) struct Run<'a> {
    pub(super) runner: &'a TaskRunner<Attendee>,
    pub(super) attendee: &'a Attendee,
    /// Projects whose keys were refused: no further calls are made with them.
    refused: Mutex<HashSet<Uuid>>,
}

impl Run<'_> {
    /// Executes and counts a step; returns whether it failed, or `None` if it was not started or its result is not known.
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
            // The run that took over the job reports on this meeting.
            return None;
        }
        // Unchanged bots need no note; refused ones were noted where that was decided.
        if !matches!((step, &done), (Step::Keep(..) | Step::Remove(..), Ok(Counts { unchanged: 1, .. }))) {
            let mut shown = step.shown();
            if let Err(failure) = &done {
                let whose = row.map_or_else(|| format!("project {project}"), |bot| format!("bot {bot} of project {project}"));
                self.runner.digest().add("bot not created, moved or removed", Some(failure.class), whose, &failure.message);
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
