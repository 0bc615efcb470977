//! The subcommands common to all services, as clap definitions. The doc comments are the help texts; a service that takes something else than users
//! replaces the texts of `name`, `names` and `stdin`.

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::config::duration;

/// Subcommands of a service.
#[derive(Debug, Subcommand)]
pub enum ServiceVerb {
    /// Poll every stream that is due; the job for cron
    Cron(CronArgs),
    /// Poll the named users now, due or not; without names, all users
    BatchPoll(BatchArgs),
    /// Poll one user now
    Poll(PollArgs),
    /// Poll one user if due; otherwise print why not
    SmartPoll(SmartPollArgs),
    /// Open a push channel for every stream, and renew channels that expire soon; a job for cron
    RenewWatches(RenewArgs),
    /// Repair unhealthy push channels: opened for another address, silent, refused, or left behind by a dead run
    RenewWebhooks(RenewArgs),
    /// Summarize the runs of a time window
    Metrics(super::metrics::Args),
}

/// Options common to all polling jobs.
#[derive(Debug, Clone, Copy, Args)]
pub struct Bounds {
    /// Wind down after this time, such as `4m` (default: the setting engine.max_duration)
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub max_duration: Option<Duration>,
    /// Fetch and compare, and print what would change; write nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct CronArgs {
    /// Also poll streams that are not due
    #[arg(long)]
    pub force: bool,
    /// Share the work with other runs of this job instead of being skipped (default: one run at a time)
    #[arg(long)]
    pub parallel: bool,
    #[command(flatten)]
    pub bounds: Bounds,
}

#[derive(Debug, Args)]
pub struct BatchArgs {
    /// Users, by UUID or address (default: all)
    #[arg(value_name = "USER")]
    pub names: Vec<String>,
    /// Read users from standard input, one per line
    #[arg(long)]
    pub stdin: bool,
    #[command(flatten)]
    pub bounds: Bounds,
}

#[derive(Debug, Args)]
pub struct PollArgs {
    /// User, by UUID or address
    #[arg(value_name = "USER")]
    pub name: String,
    #[command(flatten)]
    pub bounds: Bounds,
}

#[derive(Debug, Args)]
pub struct SmartPollArgs {
    #[command(flatten)]
    pub poll: PollArgs,
    /// Poll even if not due
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct RenewArgs {
    /// Only channels of this user, by UUID or address (default: all)
    #[arg(long, value_name = "ID")]
    pub user: Option<String>,
    /// Wind down after this time, such as `4m` (default: the setting engine.max_duration)
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub max_duration: Option<Duration>,
}
