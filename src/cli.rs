//! The command line: what there is, and which command does it.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands;
use crate::config::{self, Flags};
use crate::error::{EXIT_HELP, Exit};
use crate::progress;

/// Keeps Google Calendar, Drive, Gmail and meeting bots in step with PostgreSQL. Each run does one job, records it, and exits.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_HELP, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Global {
    /// Settings file (default: $SYNCCTL_CONFIG, /etc/syncctl/syncctl.toml, or syncctl/syncctl.toml in the XDG config folder)
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sets one setting, such as `calendar.page_size=500`
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
    /// Results as JSON
    #[arg(long, global = true)]
    json: bool,
    /// More log lines on stderr: -v info, -vv debug
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Google Calendar: calendars, events, meetings
    #[command(subcommand)]
    Calendar(commands::verbs::ServiceVerb),
    /// Gmail: mailboxes, virtual addresses
    #[command(subcommand)]
    Gmail(commands::verbs::ServiceVerb),
    /// Google Drive: shared drives, files, documents of the files that are followed
    #[command(subcommand)]
    Drive(commands::drive::Verb),
    /// Attendee: bots for meetings, and their transcripts
    #[command(subcommand)]
    Attendee(commands::attendee::Verb),
    /// All services at once, and the pace that they are polled at
    #[command(subcommand)]
    Sync(commands::sync::Verb),
    /// Whose data is synced, and the credentials for it
    #[command(subcommand)]
    Accounts(commands::accounts::Verb),
    /// Items that could not be applied
    #[command(subcommand)]
    Items(commands::items::Verb),
    /// What was synced, for reading: e-mails, files, transcripts
    #[command(subcommand)]
    Documents(commands::documents::Verb),
    /// Sends events that are due to the targets in the settings; the job for cron
    Deliver(commands::deliver::DeliverArgs),
    /// Push channels at Google, by which it announces changes
    #[command(subcommand)]
    Channels(commands::channels::Verb),
    /// Events for the outside, and what became of them
    #[command(subcommand)]
    Outbox(commands::deliver::Verb),
    /// Notifications of changes, taken by HTTP, and the polls that they ask for
    #[command(subcommand)]
    Webhook(commands::webhook::Verb),
    /// The database: schema, and the private cluster
    #[command(subcommand)]
    Db(commands::db::Verb),
    /// Schedules for this machine: systemd units, or a crontab
    #[command(subcommand)]
    Install(commands::install::Verb),
    /// The settings
    #[command(subcommand)]
    Config(commands::config::Verb),
}

/// Runs the command line of this process; answers the exit code.
pub fn main() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Done };
        }
    };
    let json = cli.global.json;
    match dispatch(cli) {
        Ok(exit) => exit,
        Err(error) => {
            let exit = Exit::of(&error);
            if json {
                println!("{}", serde_json::json!({ "error": format!("{error:#}"), "exit_code": exit as u8 }));
            }
            eprintln!("syncctl: {error:#}");
            exit
        }
    }
}

fn dispatch(cli: Cli) -> anyhow::Result<Exit> {
    let flags = Flags { config: cli.global.config, set: cli.global.set };
    let loaded = config::load(&flags)?;
    log_to_stderr(&loaded.settings.log.level, cli.global.verbose);
    // One provider for every TLS connection of this process; a second installation cannot happen.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let output = commands::Output { json: cli.global.json };
    match cli.command {
        Command::Config(verb) => commands::config::run(&verb, &loaded, output),
        Command::Install(verb) => commands::install::run(&verb, &loaded, output),
        Command::Db(verb) => commands::db::run(&verb, &loaded.settings, output),
        Command::Accounts(verb) => commands::accounts::run(&verb, loaded.settings, output),
        Command::Items(verb) => commands::items::run(&verb, loaded.settings, output),
        Command::Documents(verb) => commands::documents::run(&verb, loaded.settings, output),
        Command::Deliver(args) => commands::deliver::deliver(&args, loaded.settings, output),
        Command::Channels(verb) => commands::channels::run(&verb, loaded.settings, output),
        Command::Outbox(verb) => commands::deliver::run(&verb, loaded.settings, output),
        Command::Webhook(verb) => commands::webhook::run(&verb, loaded.settings, &flags, output),
        Command::Sync(verb) => commands::sync::run(&verb, loaded.settings, output),
        Command::Drive(verb) => commands::drive::run(&verb, loaded.settings, output),
        Command::Calendar(verb) => commands::calendar::run(&verb, loaded.settings, output),
        Command::Attendee(verb) => commands::attendee::run(&verb, loaded.settings, output),
        Command::Gmail(verb) => commands::gmail::run(&verb, loaded.settings, output),
    }
}

fn log_to_stderr(level: &str, verbose: u8) {
    let level = match verbose {
        0 => level,
        1 => "info",
        _ => "debug",
    };
    let mut builder = env_logger::Builder::new();
    builder.parse_filters(level);
    // These print tokens, statements with their values, or addresses below `info`.
    for module in ["yup_oauth2", "tokio_postgres", "postgres", "hyper", "hyper_util", "h2", "reqwest", "rustls"] {
        builder.filter_module(module, log::LevelFilter::Warn);
    }
    // Says itself what the refused connection says.
    builder.filter_module("rustls_platform_verifier", log::LevelFilter::Off);
    // A terminal gets colours, unless it asks for none, and the progress that log lines must not be written into.
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    builder.write_style(if colours { env_logger::WriteStyle::Always } else { env_logger::WriteStyle::Never });
    builder.target(env_logger::Target::Pipe(Box::new(progress::AboveBars::default())));
    builder.init();
}
