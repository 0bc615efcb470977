//! Parsing of connection strings, and the messages for invalid ones. Opens no connection.

use std::time::Duration;

use super::*;

fn parse(url: &str) -> Target {
    Target::parse(url, None, Duration::from_secs(7)).unwrap_or_else(|fault| panic!("{url}: {fault}"))
}

fn refused(url: &str) -> String {
    let fault = Target::parse(url, None, Duration::from_secs(7)).expect_err(url);
    assert_eq!(fault.exit, crate::error::Exit::Settings);
    fault.message
}

fn tcp(target: &Target) -> Vec<(String, u16)> {
    let config = target.config();
    let ports = config.get_ports();
    let host = |(at, host): (usize, &Host)| match host {
        Host::Tcp(host) => (host.clone(), ports.get(at).copied().unwrap_or(5432)),
        Host::Unix(path) => (path.display().to_string(), ports.get(at).copied().unwrap_or(5432)),
    };
    config.get_hosts().iter().enumerate().map(host).collect()
}

#[test]
fn a_url_and_keywords_mean_the_same() {
    for text in [
        "postgres://ann:s%27e%5Cc%2Fr%20t@db.example:6432/wor%20k?connect_timeout=3",
        r"host=db.example port=6432 user=ann password='s\'e\\c/r t' dbname = 'wor k' connect_timeout=3",
    ] {
        let target = parse(text);
        let config = target.config();
        assert_eq!(tcp(&target), [("db.example".to_owned(), 6432)], "{text}");
        assert_eq!(config.get_user(), Some("ann"));
        assert_eq!(config.get_password(), Some(&br"s'e\c/r t"[..]));
        assert_eq!(config.get_dbname(), Some("wor k"));
        assert_eq!(config.get_connect_timeout(), Some(&Duration::from_secs(3)));
        assert!(config.get_application_name().is_some_and(|name| name.starts_with("syncctl on ")));
        assert_eq!((config.get_keepalives_idle(), config.get_keepalives_retries()), (Duration::from_secs(10), Some(3)));
        assert_eq!(config.get_tcp_user_timeout(), Some(&Duration::from_secs(30)));
        assert_eq!(target.display(), "database wor k on db.example:6432");
    }
}

#[test]
fn settings_fill_in_what_the_url_omits() {
    let target = Target::parse("postgresql://ann@h/d", Some("geheim"), Duration::from_secs(7)).expect("good");
    assert_eq!(target.config().get_password(), Some(&b"geheim"[..]));
    assert_eq!(target.config().get_connect_timeout(), Some(&Duration::from_secs(7)));
    let target = Target::parse("postgresql://ann:own@h/d", Some("geheim"), Duration::from_secs(7)).expect("good");
    assert_eq!(target.config().get_password(), Some(&b"own"[..]));
}

#[test]
fn several_hosts_addresses_and_sockets_are_read() {
    assert_eq!(tcp(&parse("postgres://a:1,b:2/d")), [("a".to_owned(), 1), ("b".to_owned(), 2)]);
    assert_eq!(tcp(&parse("postgres://[::1]:7/d")), [("::1".to_owned(), 7)]);
    assert_eq!(parse("postgres://[::1]:7/d").display(), "database d on [::1]:7");
    assert_eq!(tcp(&parse("postgres://%2Frun%2Fpg/d")), [("/run/pg".to_owned(), 5432)]);
    assert_eq!(tcp(&parse("postgres:///d?host=/run/pg&port=5")), [("/run/pg".to_owned(), 5)]);
    assert_eq!(tcp(&parse("hostaddr=127.0.0.1 dbname=d")), [("127.0.0.1".to_owned(), 5432)]);
}

#[test]
fn sslmode_has_the_meaning_of_libpq() {
    let file = || Roots::File("/ca.pem".into());
    let cases = [
        ("", SslMode::Prefer, Trust::Anyone),
        ("sslmode=disable", SslMode::Disable, Trust::Anyone),
        ("sslmode=allow", SslMode::Prefer, Trust::Anyone),
        ("sslmode=prefer sslrootcert=/ca.pem", SslMode::Prefer, Trust::Anyone),
        ("sslmode=require", SslMode::Require, Trust::Anyone),
        ("sslmode=require sslrootcert=/ca.pem", SslMode::Require, Trust::Chain(file())),
        ("sslmode=verify-ca sslrootcert=/ca.pem", SslMode::Require, Trust::Chain(file())),
        ("sslmode=verify-full sslrootcert=/ca.pem", SslMode::Require, Trust::Name(file())),
        ("sslmode=verify-full", SslMode::Require, Trust::Name(Roots::Platform)),
        ("sslrootcert=system", SslMode::Require, Trust::Name(Roots::Platform)),
    ];
    for (text, mode, trust) in cases {
        let target = parse(&format!("host=h dbname=d {text}"));
        assert_eq!((target.config().get_ssl_mode(), &target.trust), (mode, &trust), "{text}");
    }
    let local = parse("host=/run/pg dbname=d sslmode=verify-full sslrootcert=/no/such/file");
    assert_eq!(local.config().get_ssl_mode(), SslMode::Disable);
    local.tls().expect("a socket needs no certificate");
}

#[test]
fn keys_without_effect_are_dropped_and_the_rest_kept() {
    let target = parse(
        "postgres://h/d?gssencmode=prefer&channel_binding=require&target_session_attrs=read-write\
         &keepalives_count=4&application_name=mine&client_encoding=utf8",
    );
    let config = target.config();
    assert_eq!(config.get_application_name(), Some("mine"));
    assert_eq!(config.get_keepalives_retries(), Some(4));
    assert_eq!(config.get_channel_binding(), tokio_postgres::config::ChannelBinding::Require);
}

#[test]
fn errors_about_urls_contain_no_password() {
    let cases = [
        ("", "empty"),
        ("mysql://u:hush@h/d", "starts neither with postgres://"),
        ("postgres://u:hush/d", "the text after the host's colon is not a port"),
        ("postgres://u:hush@h:99999/d", "the text after the host's colon is not a port"),
        ("postgres://u:hu%zzsh@h/d", "the password contains a % without two hex digits after it"),
        ("postgres://u:%ff@h/d", "the password is not UTF-8"),
        ("postgres://u:hush@h/d?sslmode=always", "sslmode is not one of disable"),
        ("postgres://u:hush@h/d?sslmod=require", "sslmod is not supported"),
        ("postgres://u:hush@h/d?sslmode", "has no value"),
        ("postgres://u:hush@h/d?connect_timeout=soon", "invalid value for option `connect_timeout`"),
        ("postgres://u:hush@h/d?sslmode=verify-ca", "sslmode=verify-ca needs sslrootcert"),
        ("postgres://u:hush@h/d?sslmode=require&sslrootcert=system", "too weak for sslrootcert=system"),
        ("postgres://u:hush@h/d?sslcert=/c.pem", "must be set together"),
        ("postgres://u:hush@h/d?gssencmode=require", "gssencmode=require is not supported"),
        ("host=h password='hush", "the quotes of password are not closed"),
        ("host=h password=hush hush hush", "has no value"),
        ("host=h password=hush hush user=u", "an unquoted value contains a space"),
        // URL characters in a password, misspelt schemes, unquoted spaces.
        ("postgres://u:1?hush=x@h/d", "an @ follows the ?"),
        ("postgres://u:p@s?hush@h/d", "an @ follows the ?"),
        ("postgres://u:1234?hush%zz=hush@h/d", "an @ follows the ?"),
        ("postgress://u:hush@h/d?sslmode=require", "starts neither with postgres://"),
        ("postgresq://u:hu=sh-hush@h/d", "starts neither with postgres://"),
        ("postgres://h/d?password=x&hush=y", "the text after the password is not a keyword"),
        ("postgres://h/d?password=x&hush=%zz", "a value after `?` contains a %"),
        ("postgres://h/d?hush-hush=1", "the text before a = is not a keyword"),
        ("host=h password=x hush=y", "the text after the password is not a keyword"),
        ("host=h password=x hush='y", "the quotes of a value are not closed"),
        ("host=h password=x hush=y z w=1", "an unquoted value contains a space, or a keyword is missing, after \"a keyword\""),
        ("host=h password=x sslmode=hush", "sslmode is not one of disable"),
    ];
    for (url, expected) in cases {
        let message = refused(url);
        assert!(message.starts_with("db.url: ") && message.contains(expected), "{url}: {message}");
        assert!(!message.contains("hush"), "{message}");
    }
    let target = parse("postgres://u:hush@h/d");
    assert!(!format!("{target:?} {}", target.display()).contains("hush"));
}

#[test]
fn certificates_that_cannot_be_read_are_named_with_their_key() {
    let missing = parse("postgres://h/d?sslmode=verify-full&sslrootcert=/no/such/file").tls();
    let message = format!("{:#}", missing.err().expect("no such file"));
    assert!(message.contains("sslrootcert=/no/such/file"), "{message}");
    let empty = parse("postgres://h/d?sslmode=require&sslrootcert=/dev/null").tls();
    let message = format!("{:#}", empty.err().expect("nothing in it"));
    assert!(message.contains("no PEM certificate in it"), "{message}");
}

/// Parses as `with_environment` does, with these variables.
fn completed(url: &str, variables: &[(&str, &str)]) -> Result<Target, Fault> {
    let variable = |name: &str| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned());
    Target::completed(url, None, Duration::from_secs(7), &variable)
}

fn private_file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("writing");
    file
}

#[test]
fn the_password_comes_from_libpqs_variable_or_from_the_first_line_that_matches() {
    let file = private_file(
        "# host:port:database:user:password\n\
         db.example:5432:other:*:of-other\n\
         db.example:*:d:ann:of:a\\:nn\\\\\n\
         db\\:example:*:*:*:escaped\n\
         localhost:*:*:*:of-sockets\r\n\
         *:6432:*:*:of-port\n",
    );
    let path = file.path().to_str().expect("a path");
    let of = |url: &str, variables: &[(&str, &str)]| {
        let target = completed(url, variables).unwrap_or_else(|fault| panic!("{url}: {fault}"));
        let password = target.config().get_password().map(|password| String::from_utf8_lossy(password).into_owned());
        let of_programs = target.variables().iter().rev().find(|(name, _)| name == "PGPASSWORD").map(|(_, value)| value.clone());
        assert_eq!(password, of_programs, "{url}");
        password
    };
    let with_file = |url: &str| of(url, &[("PGPASSFILE", path)]);
    assert_eq!(with_file("postgres://ann@db.example/d").as_deref(), Some("of:a:nn\\"));
    assert_eq!(with_file("postgres://bob@db.example/other").as_deref(), Some("of-other"));
    assert_eq!(with_file("postgres://bob@db.example/d"), None);
    assert_eq!(with_file("postgres://bob@elsewhere:6432/d").as_deref(), Some("of-port"));
    assert_eq!(with_file("host=/tmp user=bob dbname=d").as_deref(), Some("of-sockets"));
    assert_eq!(with_file("postgres://bob:own@elsewhere:6432/d").as_deref(), Some("own"));
    assert_eq!(of(&format!("host=elsewhere port=6432 passfile='{path}'"), &[]).as_deref(), Some("of-port"));
    assert_eq!(of("postgres://bob@elsewhere:6432/d", &[("PGPASSFILE", path), ("PGPASSWORD", "first")]).as_deref(), Some("first"));
    let several = completed("postgres://ann@db.example,elsewhere:6432/d", &[("PGPASSFILE", path)]).expect_err("two passwords");
    assert!(several.message.contains("has different passwords for the hosts") && !several.message.contains("of:a"), "{several}");

    // Read by others: ignored, as by libpq.
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o640)).expect("a mode");
    assert_eq!(with_file("postgres://bob@elsewhere:6432/d"), None);
}

#[test]
fn a_service_completes_the_connection_string() {
    let file = private_file(
        "[other]\nhost=wrong\n\n[sync ctl]\n# a comment\nhost=db.example\nport=6432\ndbname=d\nuser=ann\npassword=p=q\n\
         sslmode=require\n[broken]\nhost=db.example\nhush\n[nested]\nservice=other\n[unknown]\nhost=h\nhush=hush\n",
    );
    let path = file.path().to_str().expect("a path");
    let with =
        |url: &str, service: &str| completed(url, &[("PGSERVICEFILE", path), ("PGSERVICE", service), ("PGSYSCONFDIR", "/no")]);
    for (url, service) in [("", "sync ctl"), ("postgres://?service=sync%20ctl", "other"), ("service='sync ctl'", "")] {
        let target = with(url, service).unwrap_or_else(|fault| panic!("{url}: {fault}"));
        let config = target.config();
        assert_eq!(target.display(), "database d on db.example:6432", "{url}");
        assert_eq!((config.get_user(), config.get_password()), (Some("ann"), Some(&b"p=q"[..])), "{url}");
        assert_eq!(config.get_ssl_mode(), SslMode::Require, "{url}");
    }
    let own = with("postgres://bob:own@/x", "sync ctl").expect("good");
    assert_eq!(
        (own.display(), own.config().get_user().map(str::to_owned)),
        ("database x on db.example:6432".into(), Some("bob".into()))
    );
    for (service, expected) in [
        ("missing", "there is no service \"missing\" in "),
        ("broken", ":14: the line is not of the form key=value"),
        ("nested", ":16: a service cannot name another one"),
        ("unknown", ":19: hush is not supported"),
    ] {
        let fault = with("", service).expect_err(service);
        assert!(fault.message.contains(expected), "{service}: {fault}");
    }
}
