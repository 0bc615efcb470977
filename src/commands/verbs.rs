//! The verbs that every service has, as clap sees them. A doc comment here is the help text.

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::config::duration;

/// What every service can do.
#[derive(Debug, Subcommand)]
pub enum ServiceVerb {
    /// Polls every stream that is due; the job for cron
    Cron(CronArgs),
    /// Polls the named users now, due or not; without a name, everybody
    BatchPoll(BatchArgs),
    /// Polls one user now
    Poll(PollArgs),
    /// Polls one user if the pace says so, and says why not
    SmartPoll(SmartPollArgs),
    /// Gives every stream its push channel, and renews those that expire soon; a job for cron
    RenewWatches(RenewArgs),
    /// Repairs push channels by their health: made for another address, silent, refused, or left behind by a run that died
    RenewWebhooks(RenewArgs),
    /// What the runs of a window did
    Metrics(super::metrics::Args),
}

/// Bounds that every polling job takes.
#[derive(Debug, Clone, Copy, Args)]
pub struct Bounds {
    /// Wind down after this long, such as `4m`
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub max_duration: Option<Duration>,
    /// Ask and compare, print what would change, write nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct CronArgs {
    /// Also what is not due yet
    #[arg(long)]
    pub force: bool,
    /// Share the work with other runs of this job instead of being skipped
    #[arg(long)]
    pub parallel: bool,
    #[command(flatten)]
    pub bounds: Bounds,
}

#[derive(Debug, Args)]
pub struct BatchArgs {
    /// Users, by UUID or address
    #[arg(value_name = "USER")]
    pub users: Vec<String>,
    /// Read users from standard input, one a line
    #[arg(long)]
    pub stdin: bool,
    #[command(flatten)]
    pub bounds: Bounds,
}

#[derive(Debug, Args)]
pub struct PollArgs {
    /// A user, by UUID or address
    #[arg(value_name = "USER")]
    pub user: String,
    #[command(flatten)]
    pub bounds: Bounds,
}

#[derive(Debug, Args)]
pub struct SmartPollArgs {
    #[command(flatten)]
    pub poll: PollArgs,
    /// Whatever the pace says
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct RenewArgs {
    /// Only this user's, by UUID or address
    #[arg(long, value_name = "ID")]
    pub user: Option<String>,
    /// Wind down after this long, such as `4m`
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub max_duration: Option<Duration>,
}
