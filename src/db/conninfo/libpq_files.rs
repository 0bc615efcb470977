//! What libpq reads besides the connection string: the service file and the password file. Opens no connection.
//! <https://www.postgresql.org/docs/current/libpq-pgservice.html>, <https://www.postgresql.org/docs/current/libpq-pgpass.html>

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::keywords::Pairs;

/// Reads a variable of the environment.
pub(super) type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Folders of sockets that the password file calls `localhost`: the defaults of Debian's libpq and of PostgreSQL's own.
const SOCKET_FOLDERS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// Adds what the service file has for the service (`service=`, or PGSERVICE) and the connection string omits.
///
/// # Errors
/// Returns an error for a service without a definition, and for a definition that cannot be used.
pub(super) fn add_service(pairs: &mut Pairs, variable: Variables<'_>) -> Result<(), String> {
    let Some(service) = pairs.take("service").or_else(|| variable("PGSERVICE")) else { return Ok(()) };
    let own = variable("PGSERVICEFILE").map(PathBuf::from).or_else(|| in_home(".pg_service.conf", variable));
    let shared = variable("PGSYSCONFDIR").unwrap_or_else(|| "/etc/postgresql-common".into());
    let files: Vec<PathBuf> = own.into_iter().chain([Path::new(&shared).join("pg_service.conf")]).collect();
    for path in &files {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(format!("{}: cannot be read: {error}", path.display())),
        };
        let Some(lines) = definition(&text, &service) else { continue };
        for (number, line) in lines {
            add_line(pairs, line).map_err(|reason| format!("{}:{number}: {reason}", path.display()))?;
        }
        return Ok(());
    }
    let files: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
    Err(format!("there is no service {service:?} in {}", files.join(" or ")))
}

/// The lines of a section with their numbers, without comments.
fn definition<'a>(text: &'a str, service: &str) -> Option<Vec<(usize, &'a str)>> {
    let head = format!("[{service}]");
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    lines.find(|(_, line)| *line == head)?;
    let section = lines.take_while(|(_, line)| !line.starts_with('['));
    Some(section.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).collect())
}

/// Adds one line of a definition. The message contains no value.
fn add_line(pairs: &mut Pairs, line: &str) -> Result<(), String> {
    let (key, value) = line.split_once('=').ok_or("the line is not of the form key=value")?;
    if key == "service" {
        return Err("a service cannot name another one".into());
    }
    pairs.complete(key, value)
}

/// The password that libpq would use for the hosts: PGPASSWORD, or from the password file (`passfile=`, PGPASSFILE, or `~/.pgpass`).
///
/// # Errors
/// Returns an error if the file has different passwords for several hosts: a connection string stands for one.
pub(super) fn password(pairs: &Pairs, passfile: Option<String>, variable: Variables<'_>) -> Result<Option<String>, String> {
    if let Some(password) = variable("PGPASSWORD") {
        return Ok(Some(password));
    }
    let path = passfile.or_else(|| variable("PGPASSFILE")).map(PathBuf::from).or_else(|| in_home(".pgpass", variable));
    let Some((text, path)) = path.and_then(|path| Some((read(&path)?, path))) else { return Ok(None) };
    let user = pairs.get("user").map(str::to_owned).or_else(|| variable("USER")).unwrap_or_default();
    let database = pairs.get("dbname").unwrap_or(&user);
    let ports: Vec<&str> = pairs.get("port").unwrap_or("5432").split(',').collect();
    let mut found = Vec::new();
    for (at, host) in pairs.get("host").unwrap_or_default().split(',').enumerate() {
        let host = if SOCKET_FOLDERS.contains(&host) { "localhost" } else { host };
        let port = ports.get(at).or(ports.first()).copied().filter(|port| !port.is_empty()).unwrap_or("5432");
        found.push(text.lines().find_map(|line| matching(line, [host, port, database, &user])));
    }
    found.dedup();
    match found.as_slice() {
        [password] => Ok(password.clone()),
        _ => Err(format!("{} has different passwords for the hosts: set db.password", path.display())),
    }
}

/// Reads the password file. Like libpq, ignores one that is not a plain file, or that others may read.
fn read(path: &Path) -> Option<String> {
    let read = std::fs::metadata(path).and_then(|metadata| {
        let mode = metadata.permissions().mode() & 0o777;
        if !metadata.is_file() {
            Err(io::Error::other("it is not a plain file"))
        } else if mode & 0o077 != 0 {
            Err(io::Error::other(format!("others may read or change it (mode {mode:04o}): `chmod 600 {}`", path.display())))
        } else {
            std::fs::read_to_string(path)
        }
    });
    match read {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            log::warn!("the password file {} is ignored: {error}", path.display());
            None
        }
    }
}

/// The password of a line `host:port:database:user:password` that matches these values. `*` matches any; a backslash precedes a literal `:` or `\`.
fn matching(line: &str, values: [&str; 4]) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let mut rest = line.trim_end_matches('\r');
    for value in values {
        let end = unescaped_colon(rest)?;
        let pattern = &rest[..end];
        if pattern != "*" && unescaped(pattern) != value {
            return None;
        }
        rest = &rest[end + 1..];
    }
    Some(unescaped(rest)).filter(|password| !password.is_empty())
}

fn unescaped_colon(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let is_end = c == ':' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        is_end.then_some(at)
    })
}

fn unescaped(text: &str) -> String {
    let mut chars = text.chars();
    std::iter::from_fn(|| chars.next().and_then(|c| if c == '\\' { chars.next() } else { Some(c) })).collect()
}

fn in_home(name: &str, variable: Variables<'_>) -> Option<PathBuf> {
    Some(Path::new(&variable("HOME")?).join(name))
}
