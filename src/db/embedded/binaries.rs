//! Finds the installed PostgreSQL server binaries. Starts no server.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::db::OLDEST_POSTGRES;
use crate::error::Fault;

/// A folder of server binaries.
#[derive(Debug, Clone)]
pub(super) struct Binaries {
    folder: PathBuf,
    major: u32,
}

impl Binaries {
    /// The first binaries that can run a cluster of this version or, without a version, that are new enough.
    ///
    /// # Errors
    /// Returns `Fault::unavailable` with the command that installs them.
    pub(super) fn find(major: Option<u32>) -> Result<Self, Fault> {
        let mut others = Vec::new();
        for folder in folders() {
            let Some(binaries) = version(&folder).map(|major| Self { folder, major }) else { continue };
            if major.map_or(binaries.major >= OLDEST_POSTGRES, |major| binaries.major == major) {
                return Ok(binaries);
            }
            others.push(format!("{} (version {})", binaries.folder.display(), binaries.major));
        }
        let problem = match major {
            Some(major) => format!("PostgreSQL {major}, which created this cluster, is not installed"),
            None => format!("no PostgreSQL server of version {OLDEST_POSTGRES} or newer is installed"),
        };
        let others = match others.as_slice() {
            [] => String::new(),
            others => format!(" (found {})", others.join(", ")),
        };
        let install = install_line(major);
        let then = match major {
            // Another version cannot read the data, and many systems offer only one version.
            Some(_) => {
                "from PostgreSQL's own packages if the system has none of this version; \
                 `syncctl db dump` and `db restore` then move the data to a newer one (README, Upgrade)"
            }
            None => "or name a database in db.url",
        };
        Err(Fault::unavailable(format!("{problem}{others}: {install}, {then}")))
    }

    /// The path of one program.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// A client such as `psql`: of this version, else from any server's folder, else from PATH.
pub(super) fn client(name: &str, major: u32) -> PathBuf {
    let folders: Vec<PathBuf> = folders().into_iter().filter(|folder| folder.join(name).is_file()).collect();
    // pg_dump refuses a newer server, and a newer pg_restore sets parameters that an older server does not know.
    let matching = folders.iter().find(|folder| version(folder) == Some(major)).or(folders.first());
    matching.map_or_else(|| name.into(), |folder| folder.join(name))
}

/// Folders with complete server installations, best first, without duplicates.
fn folders() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).filter(|folder| folder.is_absolute()).collect();
    folders.extend(numbered("/usr/lib/postgresql", "", "bin"));
    folders.extend(numbered("/usr", "pgsql-", "bin"));
    for brew in ["/opt/homebrew/opt", "/usr/local/opt", "/home/linuxbrew/.linuxbrew/opt"] {
        folders.extend(numbered(brew, "postgresql@", "bin"));
        folders.push(Path::new(brew).join("postgresql/bin"));
    }
    let mut complete: Vec<PathBuf> = Vec::new();
    let mut add = |folder: PathBuf| {
        // PATH can contain links to some of the programs; the rest is in the target's folder.
        let Some(folder) = folder.join("postgres").canonicalize().ok().and_then(|path| Some(path.parent()?.to_owned())) else {
            return;
        };
        if ["initdb", "pg_ctl"].iter().all(|name| folder.join(name).is_file()) && !complete.contains(&folder) {
            complete.push(folder);
        }
    };
    folders.into_iter().for_each(&mut add);
    if let Some(folder) = pg_config() {
        add(folder);
    }
    complete
}

/// `BASE/PREFIX<number>/TAIL`, the highest number first.
fn numbered(base: &str, prefix: &str, tail: &str) -> Vec<PathBuf> {
    let number = |name: &str| name.strip_prefix(prefix)?.split('.').next()?.parse::<u32>().ok();
    let entries = std::fs::read_dir(base).into_iter().flatten().flatten();
    let mut matches: Vec<(u32, PathBuf)> =
        entries.filter_map(|entry| Some((number(entry.file_name().to_str()?)?, entry.path().join(tail)))).collect();
    matches.sort_by(|a, b| b.cmp(a));
    matches.into_iter().map(|(_, path)| path).collect()
}

fn pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok().filter(|output| output.status.success())?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
}

/// `postgres (PostgreSQL) 15.3 (…)` → 15
fn version(folder: &Path) -> Option<u32> {
    let output = Command::new(folder.join("postgres")).arg("--version").output().ok()?;
    major(&String::from_utf8_lossy(&output.stdout))
}

fn major(line: &str) -> Option<u32> {
    let number = line.split_once("(PostgreSQL) ")?.1;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn install_line(major: Option<u32>) -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has = |name: &str| std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    let sudo = if rustix::process::geteuid().is_root() { "" } else { "sudo " };
    let version = major.map(|major| major.to_string());
    if has("apt-get") {
        let version = version.map_or_else(String::new, |version| format!("-{version}"));
        format!("install it with `{sudo}apt-get install postgresql{version}`")
    } else if has("dnf") {
        let version = version.map_or_else(|| "postgresql-server".into(), |version| format!("postgresql{version}-server"));
        format!("install it with `{sudo}dnf install {version}`")
    } else if has("brew") {
        format!("install it with `brew install postgresql@{}`", version.as_deref().unwrap_or("17"))
    } else {
        "install its server package".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_line_of_any_build_is_read() {
        assert_eq!(major("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n"), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major("bash: postgres: not found\n"), None);
    }

    #[test]
    fn a_missing_version_is_named_with_those_found() {
        let fault = Binaries::find(Some(7)).expect_err("version 7");
        assert_eq!(fault.exit, crate::error::Exit::Unavailable);
        assert!(fault.message.starts_with("PostgreSQL 7, which created this cluster, is not installed"), "{}", fault.message);
        assert!(fault.message.contains("`syncctl db dump` and `db restore` then move the data"), "{}", fault.message);
    }
}
