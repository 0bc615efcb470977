//! `syncctl sync activity`: a user's activity in the application makes their streams more urgent for a while.

use clap::{Args, ValueEnum};
use serde::Serialize;
use uuid::Uuid;

use super::{Output, explain, users};
use crate::db::activity;
use crate::engine::Context;
use crate::error::Exit;
use crate::services::{calendar, registry};

#[derive(Debug, Args)]
pub struct ActivityArgs {
    /// User, by UUID or address
    #[arg(value_name = "USER")]
    user: String,
    /// What the user did
    #[arg(value_name = "KIND")]
    kind: Kind,
}

/// Kinds of activity.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Kind {
    /// Opened the application
    AppLoad,
    /// Looked at a calendar
    CalendarView,
    /// Made a meeting
    MeetingCreate,
    /// Anything else
    General,
}

impl Kind {
    /// `user_activity.kind`
    fn name(self) -> &'static str {
        match self {
            Self::AppLoad => "app_load",
            Self::CalendarView => "calendar_view",
            Self::MeetingCreate => "meeting_create",
            Self::General => "general",
        }
    }

    /// The initial urgency factor for a service's streams, highest where the user is looking.
    fn weight(self, service: &str) -> f64 {
        match self {
            Self::CalendarView | Self::MeetingCreate if service == calendar::REGISTERED.service => 6.0,
            Self::AppLoad => 4.0,
            Self::CalendarView | Self::MeetingCreate | Self::General => 2.0,
        }
    }
}

/// The result of recording an activity.
#[derive(Debug, Serialize)]
struct Recorded {
    user_id: Uuid,
    kind: &'static str,
    /// Number of streams that are now due earlier.
    advanced: u64,
}

/// Records the activity and moves up the due times of the streams that became more urgent.
pub async fn run(args: &ActivityArgs, context: &Context, output: Output) -> anyhow::Result<Exit> {
    let user = users::find(context, &args.user).await?;
    let services = registry::names(|service| service.google.is_some());
    let weights: Vec<f64> = services.iter().map(|service| args.kind.weight(service)).collect();
    let half_life = context.settings.pace.activity_half_life.as_secs_f64();
    activity::record(&context.pool, user, args.kind.name(), &services, &weights, half_life).await?;
    let paced = explain::outlooks(context, user).await?.into_iter().filter(|(.., outlook)| !outlook.fixed);
    let (ids, waits): (Vec<i64>, Vec<f64>) = paced.map(|(row, .., outlook)| (row.id, outlook.interval.as_secs_f64())).unzip();
    let advanced = activity::advance_due(&context.pool, &ids, &waits).await?;
    let recorded = Recorded { user_id: user, kind: args.kind.name(), advanced };
    output.print(&recorded, || format!("{} of {user} recorded; {advanced} streams are due earlier", recorded.kind))?;
    Ok(Exit::Done)
}
