//! The command line: what there is, and which command does it.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::commands;
use crate::config::{self, Flags, Settings};
use crate::db;
use crate::engine::isolated;
use crate::error::{EXIT_HELP, Exit, one_line};
use crate::progress;

/// Keeps Google Calendar, Drive, Gmail and meeting bots in step with PostgreSQL. Each run does one job, records it, and exits.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_HELP, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Word,
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
    /// How everything stands, on one screen
    Status(commands::status::StatusArgs),
    /// Checks everything that a sync needs, and says what to do where something is wrong
    Doctor(commands::doctor::DoctorArgs),
    /// Compares what the providers have with what is stored, and repairs what differs
    Verify(commands::verify::VerifyArgs),
    /// Has streams make a complete pass with the settings as they are now; what was stored under others is brought up to them
    Resync(commands::resync::ResyncArgs),
    /// Whose data is synced, and the credentials for it
    #[command(subcommand)]
    Accounts(commands::accounts::Verb),
    /// Projects that are not called because their quota of the day is used up
    #[command(subcommand)]
    Quota(commands::quota::Verb),
    /// Items that could not be applied
    #[command(subcommand)]
    Items(commands::items::Verb),
    /// What was synced, for reading: e-mails, files, transcripts
    #[command(subcommand)]
    Documents(commands::documents::Verb),
    /// Projects of users, and which of them a document belongs to
    #[command(subcommand)]
    Projects(commands::projects::Verb),
    /// Which project a document belongs to, learnt from people's assignments
    #[command(subcommand)]
    Classify(commands::classify::Verb),
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
    /// What the runs of a window did, how each job went last, and what waits: all services in one
    Metrics(commands::metrics::AllArgs),
    /// A page for people: what runs did, charts, errors and what to do about them
    Report(commands::report::Args),
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

/// What packages are made with, and what is no command for people. It works whatever the settings are.
#[derive(Debug, Subcommand)]
enum Package {
    /// Prints what makes a shell complete the words of a command line
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Writes a manual page for each command
    Man {
        /// Where to; made if it is missing
        folder: PathBuf,
    },
    /// Polls streams for a run, which starts this by itself where the processes that held them died twice
    #[command(name = isolated::COMMAND, hide = true)]
    PollApart,
}

#[derive(Debug, Subcommand)]
enum Word {
    #[command(flatten)]
    Command(Command),
    #[command(flatten)]
    Package(Package),
}

/// Runs the command line of this process; answers the exit code.
pub fn main() -> Exit {
    // Keys and other people's mail are in memory: no core file shows it, and no debugger of another program of this user.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            if !error.use_stderr() {
                return Exit::Done;
            }
            // What could not be read all the same says how its answer is to be read.
            if std::env::args_os().any(|argument| argument == "--json") {
                failure(error.render().to_string().trim_end().trim_start_matches("error: "), Exit::Usage);
            }
            return Exit::Usage;
        }
    };
    let json = cli.global.json;
    match dispatch(cli).map_err(db::explained) {
        Ok(exit) => exit,
        Err(error) => {
            let exit = Exit::of(&error);
            if json {
                failure(&one_line(&format!("{error:#}")), exit);
            }
            commands::complain(format!("{error:#}"));
            exit
        }
    }
}

/// The result of a command that has none, as JSON.
fn failure(why: &str, exit: Exit) {
    // Standard error and the exit code say it too, where nobody reads this.
    let told = serde_json::json!({ "error": why, "exit_code": exit as u8 }).to_string();
    let _ = commands::print(&progress::harmless_json(told));
}

fn dispatch(cli: Cli) -> anyhow::Result<Exit> {
    let output = commands::Output { json: cli.global.json };
    let command = match cli.command {
        Word::Command(command) => command,
        Word::Package(Package::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "syncctl", &mut script);
            commands::print(&String::from_utf8(script)?)?;
            return Ok(Exit::Done);
        }
        Word::Package(Package::PollApart) => {
            let order = commands::poll_isolated::order()?;
            prepare(&order.settings, cli.global.verbose);
            return commands::poll_isolated::run(order);
        }
        Word::Package(Package::Man { folder }) => return commands::man::write(Cli::command(), &folder, output),
    };
    let flags = Flags { config: cli.global.config, set: cli.global.set };
    let loaded = match (config::load(&flags), &command) {
        // A finding like others.
        (Err(error), Command::Doctor(args)) => {
            return commands::doctor::run(args, Err(error), output);
        }
        (loaded, _) => loaded?,
    };
    prepare(&loaded.settings, cli.global.verbose);
    match &loaded.file {
        Some(file) => log::info!("settings: {}", file.display()),
        None => log::info!("settings: no file, only the environment and what is built in"),
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

/// What every command needs of the process.
fn prepare(settings: &Settings, verbose: u8) {
    log_to_stderr(&settings.log.level, verbose);
    // One provider for every TLS connection of this process; a second installation cannot happen.
    let _ = rustls::crypto::ring::default_provider().install_default();
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Every command with its names from the program on.
    fn walk(command: &clap::Command, names: &str, found: &mut Vec<(String, clap::Command)>) {
        found.push((names.to_owned(), command.clone()));
        for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
            walk(inner, &format!("{names}-{}", inner.get_name()), found);
        }
    }

    #[test]
    fn every_command_has_a_manual_page_with_all_its_options_and_every_shell_completes_them() {
        let folder = tempfile::tempdir().expect("a folder");
        commands::man::write(Cli::command(), folder.path(), commands::Output { json: true }).expect("pages");
        let mut commands = Vec::new();
        walk(&Cli::command(), "syncctl", &mut commands);
        assert!(commands.len() > 50, "{} commands", commands.len());
        let mut bash = Vec::new();
        clap_complete::generate(clap_complete::Shell::Bash, &mut Cli::command(), "syncctl", &mut bash);
        let bash = String::from_utf8(bash).expect("a script");
        for (names, command) in commands {
            let page = std::fs::read_to_string(folder.path().join(format!("{names}.1"))).expect(&names);
            for option in command.get_arguments().filter_map(clap::Arg::get_long) {
                assert!(page.contains(&format!("\\-\\-{}", option.replace('-', "\\-"))), "{names} says nothing of --{option}");
                assert!(bash.contains(&format!("--{option}")), "--{option} is not completed");
            }
        }
    }
}
