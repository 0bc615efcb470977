//! `syncctl man`: writes a manual page for each command, from the same text as `--help`.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::{Output, file};
use crate::error::{EXIT_HELP, Exit, Fault};

/// Files listed on the program's main page: path and meaning.
const FILES: [(&str, &str); 5] = [
    ("/etc/syncctl/syncctl.toml", "Settings of the machine, unless --config or $SYNCCTL_CONFIG names another file."),
    ("$XDG_CONFIG_HOME/syncctl/syncctl.toml", "Settings of a user; each of its values replaces that of the machine."),
    ("$XDG_DATA_HOME/syncctl/, as root /var/lib/syncctl/", "The private PostgreSQL cluster and the seal keys."),
    (
        "$CREDENTIALS_DIRECTORY",
        "Secrets from systemd's LoadCredential: each file is named after its setting, with _ for the dot.",
    ),
    (
        "/etc/credstore/syncctl.*",
        "The same secrets, where systemd finds them; also read when root runs syncctl by hand with the settings of the machine.",
    ),
];

/// Writes `syncctl.1` and a page for each of its commands into a folder, which is created if missing.
///
/// # Errors
/// Returns an error if the folder is not writable.
pub fn write(program: clap::Command, folder: &Path, output: Output) -> anyhow::Result<Exit> {
    fs::create_dir_all(folder).map_err(|error| Fault::usage(format!("{}: {error}", folder.display())))?;
    let mut program = without_help_words(program);
    // Gives each command its full name: `syncctl calendar cron` is syncctl-calendar-cron(1).
    program.build();
    let page = page_of_the_program(&program).context("writing the page of the program")?;
    clap_mangen::generate_to(program, folder).with_context(|| format!("writing pages into {}", folder.display()))?;
    let path = folder.join("syncctl.1");
    file::replace(&path, page)?;
    let pages = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?.count();
    output.print(&serde_json::json!({ "folder": folder, "pages": pages }), || {
        format!("{pages} pages in {}; `man {}` opens the main one", folder.display(), path.display())
    })?;
    Ok(Exit::Done)
}

/// Removes the `help` subcommands: their pages would repeat the others.
fn without_help_words(command: clap::Command) -> clap::Command {
    command.disable_help_subcommand(true).mut_subcommands(without_help_words)
}

fn page_of_the_program(program: &clap::Command) -> std::io::Result<Vec<u8>> {
    // Exit codes get their own section below.
    let man = Man::new(program.clone().after_help(None::<&str>));
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    man.render_subcommands_section(&mut page)?;
    let mut rest = Roff::new();
    rest.control("SH", ["EXIT STATUS"]);
    for line in EXIT_HELP.lines().skip(1) {
        let (code, meaning) = line.trim().split_once(' ').unwrap_or((line, ""));
        rest.control("TP", []).text([roman(code)]).text([roman(meaning.trim())]);
    }
    rest.control("SH", ["FILES"]);
    for (path, meaning) in FILES {
        rest.control("TP", []).text([roman(path)]).text([roman(meaning)]);
    }
    rest.control("SH", ["SEE ALSO"]).text([roman("cron(8), systemd.timer(5), psql(1)")]);
    page.write_all(rest.to_roff().as_bytes())?;
    Ok(page)
}
