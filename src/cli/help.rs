//! Help that the definitions of the commands do not contain: groups of commands, and examples. Pure, except for the width of the terminal.

use clap::Command;

use super::COMMON;
use crate::error::EXIT_HELP;
use crate::services::registry;

/// The group that the services' own commands end.
const SYNC: &str = "Sync";
/// The commands in groups, in the order in which a new user needs them.
const GROUPS: [(&str, &[&str]); 6] = [
    ("Set up", &["accounts", "config", "db", "install", "doctor"]),
    (SYNC, &["sync"]),
    ("Read", &["documents", "projects"]),
    ("Operate", &["status", "metrics", "report", "items", "quota", "verify", "resync"]),
    ("Announce changes", &["deliver", "outbox", "webhook", "channels"]),
    ("Packaging and help", &["completions", "man", "help"]),
];

/// Examples of commands, each with its purpose; the first is the program's.
const EXAMPLES: [(&str, &[(&str, &str)]); 12] = [
    (
        "",
        &[
            ("syncctl accounts login", "Add an account, with its consent in a browser"),
            ("syncctl sync cron", "Sync everything that is due"),
            ("syncctl calendar agenda --week", "Show this week's events"),
            ("syncctl gmail search ann@example.com budget", "Search messages"),
            ("syncctl status --watch", "Watch the jobs"),
        ],
    ),
    (
        "accounts login",
        &[
            ("syncctl accounts login --email ann@example.com", "Accept this account only"),
            ("syncctl accounts login --no-browser", "Log in from another machine's browser"),
        ],
    ),
    (
        "accounts add-domain",
        &[(
            "syncctl accounts add-domain --key key.json --directory --admin admin@example.com --dry-run",
            "Show whom it would add",
        )],
    ),
    ("accounts list", &[("syncctl accounts list --ids | syncctl calendar batch-poll --stdin", "Poll every account's calendars")]),
    (
        "calendar agenda",
        &[
            ("syncctl calendar agenda --week", "This week of the only user"),
            ("syncctl calendar agenda ann@example.com --from 2026-12-01 --to 2026-12-31 --zone Europe/Berlin", "A month"),
        ],
    ),
    (
        "calendar freebusy",
        &[("syncctl calendar freebusy ann@example.com bob@example.com --week", "When both are free this week")],
    ),
    (
        "gmail list",
        &[
            ("syncctl gmail list --unread --since 2days", "Unread messages of the last two days"),
            ("syncctl gmail list ann@example.com --label INBOX --limit 50 --offset 50", "The second 50 in a label"),
        ],
    ),
    (
        "drive list",
        &[
            ("syncctl drive list --shared --since 7days", "Shared files that changed within a week"),
            ("syncctl drive list ann@example.com --folder /Plans --ids", "The ids of the files in a folder"),
        ],
    ),
    ("documents list", &[("syncctl documents list --source gmail --since 1day", "E-mails that became documents within a day")]),
    ("documents search", &[("syncctl documents search budget --user ann@example.com", "Search one user's documents")]),
    ("outbox list", &[("syncctl outbox list --state dead --since 1day", "Deliveries that were given up within a day")]),
    ("config show", &[("syncctl config show --set calendar.page_size=500", "The settings, and where each comes from")]),
];

/// Width of the column of names.
const NAMES: usize = 11;
/// Width of the help if there is no terminal, and the greatest one.
const WIDTH: usize = 110;

/// Adds groups of commands and examples to the definitions.
pub fn completed(program: Command) -> Command {
    let header = *program.get_styles().get_header();
    let groups = groups(&program, width());
    let groups = groups.iter().map(|(name, text)| format!("{header}{name}:{header:#}\n{text}\n\n")).collect::<String>();
    let template = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{groups}{header}{COMMON}:{header:#}\n{{options}}{{after-help}}"
    );
    let program = with_examples(program, "");
    let examples = program.get_after_help().map(ToString::to_string).unwrap_or_default();
    program.help_template(template).after_help(format!("{examples}\n\n{EXIT_HELP}"))
}

/// Adds the examples to a command and those below it; `path` is its name without the program's.
fn with_examples(command: Command, path: &str) -> Command {
    let command = command.mut_subcommands(|inner| {
        let path = format!("{path} {}", inner.get_name());
        with_examples(inner, path.trim_start())
    });
    match EXAMPLES.iter().find(|(of, _)| *of == path) {
        Some((_, examples)) => command.after_help(listed(examples)),
        None => command,
    }
}

fn listed(examples: &[(&str, &str)]) -> String {
    let longest = examples.iter().map(|(line, _)| line.len()).filter(|length| *length <= WIDTH / 2).max().unwrap_or_default();
    let lines = examples.iter().map(|(line, purpose)| format!("\n  {line:<longest$}  {purpose}"));
    format!("Examples:{}", lines.collect::<String>())
}

/// The groups, each with a line or more for each command.
fn groups(program: &Command, width: usize) -> Vec<(&'static str, String)> {
    let entry = |name: &&str| {
        let about = match program.find_subcommand(name) {
            Some(command) => command.get_about().map(ToString::to_string).unwrap_or_default(),
            None => "Print this message or the help of the given command".into(),
        };
        let lines = wrapped(&about, width.saturating_sub(NAMES + 3));
        let indent = format!("\n{:1$}", "", NAMES + 3);
        format!("  {name:<NAMES$} {}", lines.join(&indent))
    };
    let services = registry::names(|_| true);
    let of = |group: &str| if group == SYNC { services.as_slice() } else { &[] };
    let lines = |group, names: &[&str]| names.iter().chain(of(group)).map(entry).collect::<Vec<_>>().join("\n");
    GROUPS.iter().map(|(group, names)| (*group, lines(*group, names))).collect()
}

/// Breaks a text into lines of at most `width` characters, unless a word is longer.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The width of the terminal, as clap uses it.
fn width() -> usize {
    let columns = rustix::termios::tcgetwinsize(std::io::stdout()).map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 { WIDTH } else { columns.min(WIDTH) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_broken_between_words() {
        assert_eq!(wrapped("a bc def", 4), ["a bc", "def"]);
        assert_eq!(wrapped("abcdef g", 4), ["abcdef", "g"]);
        assert_eq!(wrapped("", 4), [""]);
    }
}
