//! Every command has its pages, completions and help; every example can be run.

use super::*;

/// Collects every command with its full name, starting with the program's.
fn walk(command: &clap::Command, names: &str, commands: &mut Vec<(String, clap::Command)>) {
    commands.push((names.to_owned(), command.clone()));
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        walk(inner, &format!("{names}-{}", inner.get_name()), commands);
    }
}

#[test]
fn every_command_has_a_manual_page_with_all_its_options_and_every_shell_completes_them() {
    let folder = tempfile::tempdir().expect("a folder");
    commands::man::write(command(), folder.path(), commands::Output { json: true, quiet: false }).expect("pages");
    let mut commands = Vec::new();
    walk(&command(), "syncctl", &mut commands);
    assert!(commands.len() > 50, "{} commands", commands.len());
    let mut bash = Vec::new();
    clap_complete::generate(clap_complete::Shell::Bash, &mut command(), "syncctl", &mut bash);
    let bash = String::from_utf8(bash).expect("a script");
    for (names, command) in commands {
        let page = std::fs::read_to_string(folder.path().join(format!("{names}.1"))).expect(&names);
        for option in command.get_arguments().filter_map(clap::Arg::get_long) {
            assert!(page.contains(&format!("\\-\\-{}", option.replace('-', "\\-"))), "{names} does not mention --{option}");
            assert!(bash.contains(&format!("--{option}")), "--{option} is not completed");
        }
    }
}

#[test]
fn every_example_of_the_help_is_a_command_with_its_options() {
    let mut commands = Vec::new();
    walk(&command(), "syncctl", &mut commands);
    let mut examples = 0;
    for (names, command) in &commands {
        let Some(help) = command.get_after_help() else { continue };
        let help = help.to_string();
        for line in help.lines().filter_map(|line| line.strip_prefix("  syncctl ")) {
            let (line, _) = line.split_once("  ").unwrap_or((line, ""));
            let (line, _) = line.split_once(" | ").unwrap_or((line, ""));
            let parsed = super::command().try_get_matches_from(std::iter::once("syncctl").chain(line.split_whitespace()));
            assert!(
                parsed.is_ok(),
                "{names}: syncctl {line}: {}",
                parsed.err().map(|error| error.to_string()).unwrap_or_default()
            );
            examples += 1;
        }
    }
    assert!(examples >= 20, "{examples} examples");
}

#[test]
fn the_help_lists_every_command_in_one_group_then_common_options_then_examples() {
    let help = command().render_help().to_string();
    for inner in Cli::command().get_subcommands().filter(|inner| !inner.is_hide_set()) {
        let line = format!("\n  {:<11} ", inner.get_name());
        assert_eq!(help.matches(&line).count(), 1, "{}: {help}", inner.get_name());
    }
    let at = |text: &str| help.find(text).unwrap_or_else(|| panic!("{text}: {help}"));
    assert!(at("Set up:") < at("Common options:") && at("--json") < at("Examples:") && at("Examples:") < at("Exit codes:"));
    let mut command = command();
    command.build();
    let agenda =
        command.find_subcommand_mut("calendar").and_then(|calendar| calendar.find_subcommand_mut("agenda")).expect("a command");
    let help = agenda.render_help().to_string();
    let at = |text: &str| help.find(text).unwrap_or_else(|| panic!("{text}: {help}"));
    assert!(at("\nOptions:") < at("--week") && at("--week") < at("\nCommon options:"), "{help}");
    assert!(at("\nCommon options:") < at("--json") && at("--json") < at("\nExamples:"), "{help}");
}
