//! Parses libpq's two connection string formats into key-value pairs. Knows which keys are supported, but not their meaning.

/// Keys and values in the order written. If a key is repeated, the last value counts.
#[derive(Default)]
pub(super) struct Pairs(Vec<(String, String)>);

/// Keys of libpq that have no effect here, or whose default is the only supported behaviour.
const IGNORED: &[&str] = &[
    "gssencmode",
    "gsslib",
    "gssdelegation",
    "krbsrvname",
    "sslcompression",
    "sslsni",
    "client_encoding",
    "ssl_min_protocol_version",
    "sslcertmode",
    "min_protocol_version",
    "max_protocol_version",
];

/// Keys that this module's users handle; tokio-postgres does not see them.
const OURS: &[&str] =
    &["sslmode", "sslrootcert", "sslcert", "sslkey", "application_name", "fallback_application_name", "service", "passfile"];

/// Keys that tokio-postgres accepts.
const KNOWN: &[&str] = &[
    "user",
    "password",
    "dbname",
    "options",
    "sslnegotiation",
    "host",
    "hostaddr",
    "port",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "target_session_attrs",
    "channel_binding",
    "load_balance_hosts",
];

impl Pairs {
    /// # Errors
    /// Returns the problem and its location, without any value.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("empty".into());
        }
        let is_url = text.split_once("://").is_some_and(|(scheme, _)| !scheme.contains(['=', ' ']));
        match text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://")) {
            Some(rest) => Self::from_url(rest),
            None if is_url => Err("starts neither with postgres:// or postgresql:// nor with a keyword such as host=".into()),
            None => Self::from_keywords(text),
        }
    }

    /// `[user[:password]@][host[:port][,…]][/dbname][?key=value&…]`
    fn from_url(rest: &str) -> Result<Self, String> {
        let mut pairs = Self::default();
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        // Everything before the `@` would be parsed as a host and keys, and shown in messages.
        if query.contains('@') {
            return Err("an @ follows the ?: write a ? in a password as %3F, and an @ after the ? as %40".into());
        }
        // A password can contain an unencoded slash, but a host cannot contain an `@`.
        let (credentials, location) = match rest.rsplit_once('@') {
            Some((credentials, location)) => (Some(credentials), location),
            None => (None, rest),
        };
        if let Some(credentials) = credentials {
            let (user, password) = credentials.split_once(':').map_or((credentials, None), |(u, p)| (u, Some(p)));
            pairs.add("user", decode(user, "the user")?);
            if let Some(password) = password {
                pairs.add("password", decode(password, "the password")?);
            }
        }
        let (hosts, database) = location.split_once('/').unwrap_or((location, ""));
        let (mut names, mut ports) = (Vec::new(), Vec::new());
        for host in hosts.split(',').filter(|host| !host.is_empty()) {
            let (name, port) = split_port(host)?;
            names.push(decode(name, "the host")?);
            ports.push(port.to_owned());
        }
        pairs.add("host", names.join(","));
        if ports.iter().any(|port| !port.is_empty()) {
            pairs.add("port", ports.join(","));
        }
        pairs.add("dbname", decode(database, "the database")?);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or("a parameter after `?` has no value (key=value)")?;
            pairs.add(&decode(key, "a key after `?`")?, decode(value, "a value after `?`")?);
        }
        pairs.check_keys()
    }

    /// `key = value key='quoted \' value'`
    fn from_keywords(text: &str) -> Result<Self, String> {
        let mut pairs = Self::default();
        let mut rest = text;
        while !rest.is_empty() {
            let (key, after) = rest.split_once('=').ok_or("the last keyword has no value (key=value)")?;
            let key = key.trim();
            if key.is_empty() || key.contains(char::is_whitespace) {
                // The text may be part of a password.
                return Err(format!("an unquoted value contains a space, or a keyword is missing, after {:?}", pairs.last_key()));
            }
            let open = || format!("the quotes of {} are not closed", if is_known(key) { key } else { "a value" });
            let (value, after) = value(after.trim_start()).ok_or_else(open)?;
            pairs.add(key, value);
            rest = after.trim_start();
        }
        pairs.check_keys()
    }

    fn check_keys(self) -> Result<Self, String> {
        let unknown = self.0.iter().position(|(key, _)| !is_known(key));
        let after_password = |at: usize| at.checked_sub(1).is_some_and(|before| self.0[before].0 == "password");
        let is_word = |key: &str| key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        match unknown.map(|at| (at, &self.0[at].0)) {
            None => Ok(self),
            // It may be part of the password.
            Some((at, _)) if after_password(at) => Err(
                "the text after the password is not a keyword: quote a password with a space (password='…'), write & in a URL as %26"
                    .into(),
            ),
            Some((_, key)) if is_word(key) => Err(format!("{key} is not supported")),
            Some(_) => Err("the text before a = is not a keyword".into()),
        }
    }

    fn last_key(&self) -> &str {
        self.0.last().map_or("the start", |(key, _)| if is_known(key) { key } else { "a keyword" })
    }

    fn add(&mut self, key: &str, value: String) {
        if !value.is_empty() {
            self.0.push((key.to_owned(), value));
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    pub(super) fn take(&mut self, key: &str) -> Option<String> {
        let value = self.get(key).map(str::to_owned);
        self.0.retain(|(name, _)| name != key);
        value
    }

    pub(super) fn set(&mut self, key: &str, value: String) {
        self.take(key);
        self.add(key, value);
    }

    /// Adds a value from elsewhere if the key has none.
    ///
    /// # Errors
    /// Returns an error for an unknown key.
    pub(super) fn complete(&mut self, key: &str, value: &str) -> Result<(), String> {
        if !is_known(key) {
            return Err(format!("{key} is not supported"));
        }
        if self.get(key).is_none() {
            self.add(key, value.to_owned());
        }
        Ok(())
    }

    /// Drops keys without effect.
    ///
    /// # Errors
    /// Returns an error if a key requires an unsupported feature.
    pub(super) fn take_ignored(&mut self) -> Result<(), String> {
        for key in IGNORED {
            let value = self.take(key);
            if *key == "gssencmode" && value.as_deref() == Some("require") {
                return Err("gssencmode=require is not supported".into());
            }
        }
        Ok(())
    }

    /// The environment variables of libpq, for keys that have one.
    pub(super) fn variables(&self) -> Vec<(String, String)> {
        let name = |key: &str| match key {
            "dbname" => Some("PGDATABASE".to_owned()),
            "connect_timeout" => Some("PGCONNECT_TIMEOUT".to_owned()),
            // These have no variable, or belong to the program that connects.
            "tcp_user_timeout" | "application_name" | "fallback_application_name" => None,
            key if key.starts_with("keepalives") => None,
            key => Some(format!("PG{}", key.replace('_', "").to_uppercase())),
        };
        // Of a repeated key the last value counts, as in an environment.
        self.0.iter().filter_map(|(key, value)| Some((name(key)?, value.clone()))).collect()
    }

    /// The keywords in the format of tokio-postgres.
    pub(super) fn keywords(&self) -> String {
        let mut text = String::new();
        for (at, (key, value)) in self.0.iter().enumerate() {
            if self.0.iter().skip(at + 1).any(|(later, _)| later == key) {
                continue;
            }
            let key = if key == "keepalives_count" { "keepalives_retries" } else { key };
            let value = value.replace('\\', r"\\").replace('\'', r"\'");
            text.push_str(&format!("{key}='{value}' "));
        }
        text
    }
}

/// Whether it is a known keyword, and not part of an unquoted value.
fn is_known(key: &str) -> bool {
    OURS.contains(&key) || KNOWN.contains(&key) || IGNORED.contains(&key)
}

/// Splits off the value at the start. `None`: its quotes are not closed.
fn value(text: &str) -> Option<(String, &str)> {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut chars = text.char_indices().skip(usize::from(quoted));
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Some((value, &text[at + 1..])),
            c if c.is_whitespace() && !quoted => return Some((value, &text[at..])),
            c => value.push(c),
        }
    }
    (!quoted).then_some((value, ""))
}

/// `host`, `host:port`, `[address]:port`
fn split_port(host: &str) -> Result<(&str, &str), String> {
    if let Some(address) = host.strip_prefix('[') {
        let (address, port) = address.split_once(']').ok_or("an address in [ ] is not closed")?;
        return match port.strip_prefix(':') {
            Some(port) => Ok((address, port)),
            None if port.is_empty() => Ok((address, "")),
            None => Err("the text after an address in [ ] is not a port".into()),
        };
    }
    let (name, port) = host.split_once(':').unwrap_or((host, ""));
    if port.is_empty() || port.parse::<u16>().is_ok() {
        Ok((name, port))
    } else {
        // It could be a password whose `@` is missing.
        Err("the text after the host's colon is not a port (1 to 65535)".into())
    }
}

/// Percent-decodes. `+` is kept, as in libpq.
fn decode(text: &str, what: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    bytes.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) else {
            return Err(format!("{what} contains a % without two hex digits after it: write % as %25"));
        };
        bytes.push(byte);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).map_err(|_| format!("{what} is not UTF-8 once decoded"))
}
