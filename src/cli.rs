//! The command line: argument parsing and dispatch to commands.

mod help;

use std::path::PathBuf;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::commands::{self, signals};
use crate::config::{self, Flags, Settings};
use crate::db;
use crate::engine::isolated;
use crate::error::{Exit, one_line};
use crate::{log_lines, progress};

/// Keep Google Calendar, Drive, Gmail and meeting bots in sync with PostgreSQL. Each run does one job, records it, and exits.
#[derive(Debug, Parser)]
#[command(version, long_version = env!("LONG_VERSION_OF_SYNCCTL"), max_term_width = 110)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: AnyCommand,
}

/// Heading of the options that every command has.
const COMMON: &str = "Common options";

#[derive(Debug, Args)]
struct Global {
    /// The only settings file to read (default: $SYNCCTL_CONFIG, or /etc/syncctl/syncctl.toml and then syncctl/syncctl.toml in the XDG config folder)
    #[arg(long, global = true, help_heading = COMMON, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Override one setting, such as `calendar.page_size=500`; may be repeated
    #[arg(long = "set", global = true, help_heading = COMMON, value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
    /// Print results as JSON
    #[arg(long, global = true, help_heading = COMMON)]
    json: bool,
    /// Log more to stderr: -v info, -vv debug (default: the setting log.level)
    #[arg(short, long, global = true, help_heading = COMMON, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Print only errors: no results, except with --json, and no other lines on stderr
    #[arg(short, long, global = true, help_heading = COMMON, conflicts_with = "verbose")]
    quiet: bool,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Sync Google Calendar: calendars, events, meetings
    #[command(subcommand)]
    Calendar(commands::calendar::Verb),
    /// Sync Gmail: mailboxes, labels, virtual addresses; list, search and show messages
    #[command(subcommand)]
    Gmail(commands::gmail::Verb),
    /// Sync Google Drive: shared drives, files, documents from watched files
    #[command(subcommand)]
    Drive(commands::drive::Verb),
    /// Schedule and follow Attendee's meeting bots; print their transcripts
    #[command(subcommand)]
    Attendee(commands::attendee::Verb),
    /// Sync all services together; explain and simulate the polling pace
    #[command(subcommand)]
    Sync(commands::sync::Verb),
    /// Show the current state on one screen
    Status(commands::status::StatusArgs),
    /// Check everything a sync needs and suggest fixes
    Doctor(commands::doctor::DoctorArgs),
    /// Compare stored data with the providers' data; repair differences with --repair
    Verify(commands::verify::VerifyArgs),
    /// Schedule full passes with the current settings, to update data stored under earlier ones
    Resync(commands::resync::ResyncArgs),
    /// Manage the users whose data is synced, and their credentials
    #[command(subcommand)]
    Accounts(commands::accounts::Verb),
    /// List and resume projects that are paused because their daily quota is used up
    #[command(subcommand)]
    Quota(commands::quota::Verb),
    /// List and retry items that could not be applied
    #[command(subcommand)]
    Items(commands::items::Verb),
    /// Read synced documents: emails, files, transcripts
    #[command(subcommand)]
    Documents(commands::documents::Verb),
    /// Manage users' projects and assign documents to them
    #[command(subcommand)]
    Projects(commands::projects::Verb),
    /// Classify documents into projects, learning from people's assignments
    #[command(subcommand)]
    Classify(commands::classify::Verb),
    /// Send due events to the targets in the settings; the job for cron
    Deliver(commands::deliver::DeliverArgs),
    /// List and stop Google's push channels, which announce changes
    #[command(subcommand)]
    Channels(commands::channels::Verb),
    /// Inspect outgoing events and their deliveries
    #[command(subcommand)]
    Outbox(commands::deliver::Verb),
    /// Receive change notifications over HTTP and poll the streams they announce
    #[command(subcommand)]
    Webhook(commands::webhook::Verb),
    /// Summarize the runs of a time window, the last run of each job, and the backlog, for all services
    Metrics(commands::metrics::AllArgs),
    /// Write a report for people: runs, charts, errors and their remedies
    Report(commands::report::Args),
    /// Manage the database: schema, private cluster, backups, retention
    #[command(subcommand)]
    Db(commands::db::Verb),
    /// Install schedules on this machine: systemd units or a crontab
    #[command(subcommand)]
    Install(commands::install::Verb),
    /// Show and document the settings
    #[command(subcommand)]
    Config(commands::config::Verb),
}

/// Commands for packaging and internal use. They work regardless of the settings.
#[derive(Debug, Subcommand)]
enum Package {
    /// Print a shell completion script
    Completions {
        /// Shell to complete for
        shell: clap_complete::Shell,
    },
    /// Write a manual page for each command
    Man {
        /// Output folder; created if missing
        folder: PathBuf,
    },
    /// Poll streams in a separate process; runs start this for streams whose processes died twice
    #[command(name = isolated::COMMAND, hide = true)]
    PollIsolated,
}

#[derive(Debug, Subcommand)]
enum AnyCommand {
    #[command(flatten)]
    Command(Command),
    #[command(flatten)]
    Package(Package),
}

/// The command line with its help.
fn command() -> clap::Command {
    help::completed(Cli::command())
}

/// Runs the command line of this process and returns the exit code.
pub fn main() -> Exit {
    // Keys and other people's mail are in memory: keep them out of core files and away from other processes' debuggers.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    let parsed = command().try_get_matches();
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command()))) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            if !error.use_stderr() {
                return Exit::Done;
            }
            // Even an unparseable command line can ask for JSON output.
            if std::env::args_os().any(|argument| argument == "--json") {
                failure(error.render().to_string().trim_end().trim_start_matches("error: "), Exit::Usage);
            }
            return Exit::Usage;
        }
    };
    let json = cli.global.json;
    match dispatch(cli).map_err(db::explained) {
        Ok(exit) => signals::exit(exit),
        Err(error) => {
            let exit = signals::exit(Exit::of(&error));
            if json {
                failure(&one_line(&format!("{error:#}")), exit);
            }
            commands::complain(format!("{error:#}"));
            exit
        }
    }
}

/// Prints the result of a failed command as JSON.
fn failure(why: &str, exit: Exit) {
    // A failed write is ignored: standard error and the exit code report the failure too.
    let result = serde_json::json!({ "error": why, "exit_code": exit as u8 }).to_string();
    let _ = commands::print(&progress::harmless_json(result));
}

fn dispatch(cli: Cli) -> anyhow::Result<Exit> {
    let Global { json, quiet, .. } = cli.global;
    let output = commands::Output { json, quiet };
    let command = match cli.command {
        AnyCommand::Command(command) => command,
        AnyCommand::Package(Package::Completions { shell }) => return completions(shell),
        AnyCommand::Package(Package::PollIsolated) => {
            let order = commands::poll_isolated::order()?;
            prepare(&order.settings, cli.global.verbose);
            return commands::poll_isolated::run(order);
        }
        AnyCommand::Package(Package::Man { folder }) => return commands::man::write(command(), &folder, output),
    };
    let flags = Flags { config: cli.global.config, set: cli.global.set };
    let mut loaded = match (config::load(&flags), &command) {
        // For doctor, unusable settings are a finding like any other.
        (Err(error), Command::Doctor(args)) => {
            return commands::doctor::run(args, Err(error), output);
        }
        (loaded, _) => loaded?,
    };
    if quiet {
        // In the settings, so that processes that this one starts are quiet too.
        loaded.settings.log.level = "error".into();
        progress::silence();
    }
    prepare(&loaded.settings, cli.global.verbose);
    for file in &loaded.files {
        log::info!("settings: {}", file.display());
    }
    if loaded.files.is_empty() {
        log::info!("settings: no file, only the environment and built-in defaults");
    }
    match command {
        Command::Config(verb) => commands::config::run(&verb, &loaded, output),
        Command::Install(verb) => commands::install::run(&verb, &loaded, output),
        Command::Db(verb) => commands::db::run(&verb, &loaded.settings, output),
        Command::Accounts(verb) => commands::accounts::run(&verb, loaded.settings, output),
        Command::Quota(verb) => commands::quota::run(&verb, loaded.settings, output),
        Command::Items(verb) => commands::items::run(&verb, loaded.settings, output),
        Command::Documents(verb) => commands::documents::run(&verb, loaded.settings, output),
        Command::Projects(verb) => commands::projects::run(&verb, loaded.settings, output),
        Command::Classify(verb) => commands::classify::run(&verb, loaded.settings, output),
        Command::Deliver(args) => commands::deliver::deliver(&args, loaded.settings, output),
        Command::Channels(verb) => commands::channels::run(&verb, loaded.settings, output),
        Command::Outbox(verb) => commands::deliver::run(&verb, loaded.settings, output),
        Command::Webhook(verb) => commands::webhook::run(&verb, loaded.settings, &flags, output),
        Command::Metrics(args) => commands::metrics::all(&args, loaded.settings, output),
        Command::Doctor(args) => commands::doctor::run(&args, Ok(loaded), output),
        Command::Status(args) => commands::status::run(&args, loaded.settings, output),
        Command::Verify(args) => commands::verify::run(&args, loaded.settings, output),
        Command::Resync(args) => commands::resync::run(&args, loaded.settings, output),
        Command::Report(args) => commands::report::run(&args, loaded.settings, output),
        Command::Sync(verb) => commands::sync::run(&verb, loaded.settings, output),
        Command::Drive(verb) => commands::drive::run(&verb, loaded.settings, output),
        Command::Calendar(verb) => commands::calendar::run(&verb, loaded.settings, output),
        Command::Attendee(verb) => commands::attendee::run(&verb, loaded.settings, output),
        Command::Gmail(verb) => commands::gmail::run(&verb, loaded.settings, output),
    }
}

/// Prints a shell completion script.
fn completions(shell: clap_complete::Shell) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "syncctl", &mut script);
    commands::print(&String::from_utf8(script)?)?;
    Ok(Exit::Done)
}

/// Sets up logging and TLS, which every command needs.
fn prepare(settings: &Settings, verbose: u8) {
    let filter = match verbose {
        0 => &settings.log.level,
        1 => "info",
        _ => "debug",
    };
    log_lines::begin(&settings.log, filter);
    // One provider for every TLS connection of this process. Fails only if one is already installed, which cannot happen.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[cfg(test)]
mod tests;
