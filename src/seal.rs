//! Seals secrets before they reach the database: XChaCha20-Poly1305, bound to owner and column. Knows no database.
//!
//! A blob is `0x01 | key id length | key id | nonce (24) | ciphertext and tag`.

mod file;

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context;
use chacha20poly1305::aead::{Aead, AeadCore, KeyInit, OsRng, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use data_encoding::BASE64;
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use crate::error::Fault;
use crate::trusted;

pub use file::add_key;

const FORMAT: u8 = 1;
const NONCE: usize = 24;

/// The columns that hold sealed values. The name is part of what the seal proves.
#[derive(Debug, Clone, Copy)]
pub enum Column {
    /// `accounts.credentials`
    Credentials,
    /// `accounts.access_token`
    AccessToken,
    /// `attendee_projects.api_key`
    AttendeeKey,
}

impl Column {
    fn name(self) -> &'static str {
        match self {
            Self::Credentials => "accounts.credentials",
            Self::AccessToken => "accounts.access_token",
            Self::AttendeeKey => "attendee_projects.api_key",
        }
    }

    /// What its owner is, and how a value that cannot be opened is put right.
    fn owner(self) -> (&'static str, &'static str) {
        match self {
            Self::Credentials | Self::AccessToken => ("user", "import the account again"),
            Self::AttendeeKey => ("project", "add its key again with `syncctl attendee project add`"),
        }
    }
}

/// The keys of this process: the first one writes, all of them read.
#[derive(Clone)]
pub struct Vault {
    keys: Vec<(String, XChaCha20Poly1305)>,
    /// Why there is no key: told when one is needed, since many commands never need one.
    missing: String,
    /// Where the keys are from: a new one may have come while this process runs.
    file: Option<PathBuf>,
}

impl Vault {
    /// Reads keys from lines of `key-id base64(32 bytes)`. Empty lines and `#` comments are passed over.
    ///
    /// # Errors
    /// Names the source and the line, never the key.
    pub fn parse(source: &str, lines: &str) -> Result<Self, Fault> {
        let mut keys: Vec<(String, XChaCha20Poly1305)> = Vec::new();
        for (number, line) in lines.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |what: &str| {
                Fault::settings(format!("{source}, line {}: {what}; a key is written `key-id base64-of-32-bytes`", number + 1))
            };
            let (id, key) = line.split_once(char::is_whitespace).ok_or_else(|| wrong("no key id"))?;
            let key = BASE64.decode(key.trim().as_bytes()).map_err(|_| wrong("not base64"))?;
            let key: [u8; 32] = key.try_into().map_err(|_| wrong("the key is not 32 bytes long"))?;
            if id.len() > 64 || keys.iter().any(|(known, _)| known == id) {
                return Err(wrong("the key id is longer than 64 characters or stands twice"));
            }
            keys.push((id.to_owned(), XChaCha20Poly1305::new(&Key::from(key))));
        }
        if keys.is_empty() {
            return Err(Fault::settings(format!("{source} holds no key; add one with `syncctl accounts rekey --new-key`")));
        }
        Ok(Self { keys, missing: String::new(), file: None })
    }

    /// A vault without keys: every use says why.
    pub fn without_keys(why: impl Into<String>) -> Self {
        Self { keys: Vec::new(), missing: why.into(), file: None }
    }

    /// The id of the key that seals, and the key.
    fn writing(&self) -> Result<&(String, XChaCha20Poly1305), Fault> {
        self.keys.first().ok_or_else(|| Fault::settings(self.missing.clone()))
    }

    /// The id of the key that seals.
    ///
    /// # Errors
    /// There is no key.
    pub fn writing_key(&self) -> Result<&str, Fault> {
        Ok(&self.writing()?.0)
    }

    /// The ids of the keys that are here.
    pub fn key_ids(&self) -> Vec<&str> {
        self.keys.iter().map(|(id, _)| id.as_str()).collect()
    }

    /// Of a host whose keys open none of so many sealed credentials, for want of this key.
    pub fn stale(&self, count: i64, key: &str) -> Fault {
        let place = self.file.as_ref().map_or_else(|| "seal.keys".into(), |file| format!("seal.key_file {}", file.display()));
        let accounts = if count == 1 { "1 account is".into() } else { format!("{count} accounts are") };
        Fault::settings(format!(
            "the seal keys of this host are stale: {accounts} sealed with key {key:?}, which is not in {place}; copy the file from a host that \
             syncs, or import the accounts again where no host has that key any more. Nothing was polled, and nobody was put off"
        ))
    }

    /// Whether a key of this id is here.
    pub fn knows(&self, id: &str) -> bool {
        self.cipher(id).is_some()
    }

    fn cipher(&self, id: &str) -> Option<&XChaCha20Poly1305> {
        self.keys.iter().find(|(known, _)| known == id).map(|(_, cipher)| cipher)
    }

    /// The key file as it is now.
    fn read_again(&self) -> Option<Self> {
        let file = self.file.as_deref()?;
        Self::parse(&file.display().to_string(), &trusted::read_keys(file).ok()?).ok()
    }

    /// Seals `secret` for this owner (a user, or a project at Attendee) and column.
    ///
    /// # Errors
    /// Only when the cipher refuses the length (over 256 GiB).
    pub fn seal(&self, owner: Uuid, column: Column, secret: &[u8]) -> anyhow::Result<Vec<u8>> {
        let (id, cipher) = self.writing()?;
        let nonce = XChaCha20Poly1305::generate_nonce(&mut OsRng);
        let bound = bound_to(owner, column);
        let sealed = cipher
            .encrypt(&nonce, Payload { msg: secret, aad: bound.as_bytes() })
            .map_err(|_| anyhow::anyhow!("sealing {} for {} {owner}", column.name(), column.owner().0))?;
        let mut blob = vec![FORMAT, u8::try_from(id.len()).context("key id too long")?];
        blob.extend_from_slice(id.as_bytes());
        blob.extend_from_slice(&nonce);
        blob.extend_from_slice(&sealed);
        Ok(blob)
    }

    /// Opens what `seal` made for the same owner and column.
    ///
    /// # Errors
    /// Names the owner and what is wrong: cut, sealed with a key that is not here, or not sealed for it.
    pub fn open(&self, owner: Uuid, column: Column, blob: &[u8]) -> anyhow::Result<SecretString> {
        self.writing()?;
        let (whose, remedy) = column.owner();
        let place = format!("{} of {whose} {owner}", column.name());
        let (id, rest) =
            key_id(blob).with_context(|| format!("{place}: the sealed value is cut or of another format; {remedy}"))?;
        let anew = if self.knows(id) { None } else { self.read_again() };
        let cipher = anew.as_ref().unwrap_or(self).cipher(id).ok_or_else(|| {
            Fault::settings(format!(
                "{place}: sealed with key {id:?}, which is not among the seal keys; add its line to the key file"
            ))
        })?;
        if rest.len() < NONCE {
            anyhow::bail!("{place}: the sealed value is cut; {remedy}");
        }
        let (nonce, sealed) = rest.split_at(NONCE);
        let bound = bound_to(owner, column);
        let opened = cipher.decrypt(XNonce::from_slice(nonce), Payload { msg: sealed, aad: bound.as_bytes() }).map_err(|_| {
            anyhow::anyhow!("{place}: the sealed value was changed, cut, or belongs to another {whose} or column; {remedy}")
        })?;
        let text = String::from_utf8(opened).map_err(|_| anyhow::anyhow!("{place}: not text"))?;
        Ok(SecretString::from(text))
    }
}

/// The id of the key that sealed a blob, and what follows it.
pub fn key_id(blob: &[u8]) -> Option<(&str, &[u8])> {
    let (head, rest) = blob.split_at_checked(2)?;
    if head[0] != FORMAT {
        return None;
    }
    let (id, rest) = rest.split_at_checked(head[1].into())?;
    Some((std::str::from_utf8(id).ok()?, rest))
}

fn bound_to(owner: Uuid, column: Column) -> String {
    format!("syncctl:{}:{owner}", column.name())
}

/// A new key as a line for the key file.
pub fn new_key_line() -> String {
    let key = XChaCha20Poly1305::generate_key(&mut OsRng);
    let mut id = chrono::Utc::now().format("k%Y%m%d").to_string();
    let suffix = Uuid::new_v4().simple().to_string();
    let _ = write!(id, "-{}", &suffix[..6]);
    format!("{id} {}\n", BASE64.encode(&key))
}

/// Opens the vault that the settings name. With `make` (the private cluster), a missing key file is made. A vault without keys is no
/// error yet: whoever uses it is told what to set, or that others may read the file.
///
/// # Errors
/// A `Fault` (exit 78) for keys that are there and malformed.
pub fn open_vault(keys: &SecretString, file: &Path, make: bool) -> anyhow::Result<Vault> {
    if !keys.expose_secret().is_empty() {
        return Ok(Vault::parse("seal.keys", keys.expose_secret())?);
    }
    if file.as_os_str().is_empty() {
        return Ok(Vault::without_keys(
            "no seal key: set seal.key_file (SYNCCTL_SEAL_KEY_FILE), or seal.keys as a credential; make a file with `syncctl accounts rekey --new-key`",
        ));
    }
    if make && !file.exists() {
        file::make(file)?;
    }
    match trusted::read_keys(file) {
        Ok(lines) => Ok(Vault { file: Some(file.to_owned()), ..Vault::parse(&file.display().to_string(), &lines)? }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vault::without_keys(format!(
            "seal.key_file {} is not there; copy it from the host that made it, or make the first one with `syncctl accounts rekey --new-key`",
            file.display()
        ))),
        Err(error) => Ok(Vault::without_keys(format!("seal.key_file {} cannot be used: {error}", file.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault() -> Vault {
        Vault::parse("test", &new_key_line()).expect("a key line that was just made")
    }

    #[test]
    fn what_was_sealed_opens_for_the_same_user_and_column_only() {
        let vault = vault();
        let (user, other) = (Uuid::new_v4(), Uuid::new_v4());
        let blob = vault.seal(user, Column::Credentials, b"secret").expect("sealing");
        let opened = vault.open(user, Column::Credentials, &blob).expect("opening");
        assert_eq!(opened.expose_secret(), "secret");
        for wrong in [
            vault.open(other, Column::Credentials, &blob),
            vault.open(user, Column::AccessToken, &blob),
            vault.open(user, Column::Credentials, &blob[..blob.len() - 1]),
            vault.open(user, Column::Credentials, &[]),
        ] {
            let error = wrong.expect_err("opened what was not sealed for it");
            assert!(error.to_string().contains("of user"), "{error:#}");
        }
    }

    #[test]
    fn a_process_that_runs_while_the_key_changes_opens_what_the_new_one_sealed() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("seal.keys");
        let open = || open_vault(&SecretString::default(), &file, true).expect("a vault");
        let running = open();
        add_key(&file).expect("a new key");
        let user = Uuid::new_v4();
        let sealed = open().seal(user, Column::Credentials, b"secret").expect("sealing");
        assert_eq!(running.open(user, Column::Credentials, &sealed).expect("opening").expose_secret(), "secret");
    }

    #[test]
    fn an_older_key_still_reads_and_a_missing_one_is_named() {
        let (old, new) = (new_key_line(), new_key_line());
        let user = Uuid::new_v4();
        let blob = Vault::parse("old", &old)
            .map(|vault| vault.seal(user, Column::Credentials, b"x").expect("sealing"))
            .expect("parsing");
        let both = Vault::parse("both", &format!("{new}{old}")).expect("parsing");
        assert!(both.open(user, Column::Credentials, &blob).is_ok());
        let without = Vault::parse("new", &new).expect("parsing");
        let error = without.open(user, Column::Credentials, &blob).expect_err("no key");
        assert!(error.to_string().contains("not among the seal keys"), "{error:#}");
    }
}
