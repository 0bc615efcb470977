//! Access tokens, cached sealed in the database and refreshed by one process at a time. Joins `google::oauth` and `db::accounts`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as SyncMutex, Weak};
use std::time::{Duration, Instant};

use google_apis_common::GetToken;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::db::Pool;
use crate::db::accounts::{self, Account, Fresh, Refusal};
use crate::db::claims::AccountRow;
use crate::error::{Class, Failure};
use crate::google::verdict::GrantHistory;
use crate::google::{self, oauth};
use crate::seal::{Column, Vault};

/// A token with less than this to live is refreshed before it is used.
const MARGIN: Duration = Duration::from_secs(60);
/// How long one process may take for a refresh before another may try.
const REFRESH_LEASE: Duration = Duration::from_secs(30);
/// How often a process looks whether another one's refresh is done.
const REFRESH_POLL: Duration = Duration::from_millis(100);

/// Makes the credentials of a run. One `Credential` per user, however many streams it has.
pub struct Broker {
    pool: Pool,
    vault: Vault,
    google: Arc<google::Client>,
    scopes: Vec<&'static str>,
    /// Who refreshes, in `accounts.refreshing_by`.
    process: Uuid,
    /// A dry run refreshes too, but stores nothing.
    stores: bool,
    known: SyncMutex<HashMap<Uuid, Weak<Inner>>>,
}

/// The right to act for one user. Cheap to clone; `GetToken` is the seam to the transport.
#[derive(Clone)]
pub struct Credential(Arc<Inner>);

struct Inner {
    broker: Arc<Broker>,
    user: Uuid,
    access: Mutex<Option<Access>>,
}

#[derive(Clone)]
struct Access {
    secret: SecretString,
    expires: Instant,
    /// What the grant held when it was first asked with, where that is known.
    granted: Option<Arc<str>>,
}

impl Access {
    fn lives(&self) -> bool {
        self.expires.saturating_duration_since(Instant::now()) > MARGIN
    }
}

impl Broker {
    /// `scopes`: those of every service that is enabled, since a user's token serves them all.
    pub fn new(pool: Pool, vault: Vault, google: Arc<google::Client>, scopes: Vec<&'static str>, stores: bool) -> Arc<Self> {
        let known = SyncMutex::default();
        Arc::new(Self { pool, vault, google, scopes, process: Uuid::new_v4(), stores, known })
    }

    /// The credential of a claimed account.
    pub fn credential(self: &Arc<Self>, account: &AccountRow) -> Credential {
        let mut known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(inner) = known.get(&account.user_id).and_then(Weak::upgrade) {
            return Credential(inner);
        }
        let access = Mutex::new(self.opened(account, None));
        let inner = Arc::new(Inner { broker: Arc::clone(self), user: account.user_id, access });
        known.insert(account.user_id, Arc::downgrade(&inner));
        Credential(inner)
    }

    /// A cached token that cannot be opened is no error: a new one is asked for.
    fn opened(&self, account: &AccountRow, granted: Option<&str>) -> Option<Access> {
        let lives = Duration::try_from_secs_f64(account.token_seconds?).ok()?;
        match self.vault.open(account.user_id, Column::AccessToken, account.access_token.as_deref()?) {
            Ok(secret) => Some(Access { secret, expires: Instant::now() + lives, granted: granted.map(Into::into) }),
            Err(error) => {
                log::info!("cached token not usable, asking for a new one: {error:#}");
                None
            }
        }
    }
}

impl Credential {
    /// Replaces the token that Google refused. If somebody has replaced it already, that one serves.
    ///
    /// # Errors
    /// `AuthRevoked` when the grant is gone, `ClientRefused` when it is refused and may yet be allowed.
    pub async fn replace(&self, refused: Option<&str>) -> Result<SecretString, Failure> {
        let mut access = self.0.access.lock().await;
        if let Some(known) = access.as_ref()
            && known.lives()
            && refused != Some(known.secret.expose_secret())
        {
            return Ok(known.secret.clone());
        }
        let fresh = self.0.refreshed(refused).await?;
        *access = Some(fresh.clone());
        Ok(fresh.secret)
    }

    /// Asks for a new token even if the account is marked revoked: for `accounts check`.
    ///
    /// # Errors
    /// As `replace`.
    pub async fn renew(&self) -> Result<(), Failure> {
        let mut access = self.0.access.lock().await;
        let Broker { pool, process, .. } = &*self.0.broker;
        let user = self.0.user;
        while !accounts::begin_refresh(pool, user, *process, REFRESH_LEASE.as_secs_f64()).await? {
            tokio::time::sleep(REFRESH_POLL).await;
        }
        let account =
            accounts::get(pool, user).await?.ok_or_else(|| Failure::new(Class::AuthRevoked, "the account was removed"))?;
        *access = Some(self.0.ask_and_store(&account).await?);
        Ok(())
    }

    /// What a failed call for `scope` means, in the light of the grant: a scope that a person never granted is no failure. To be asked with a
    /// token that was replaced just now.
    pub async fn told_apart(&self, scope: &str, failure: Failure) -> Failure {
        if failure.class != Class::ScopeMissing {
            return failure;
        }
        let granted = self.0.access.lock().await.as_ref().and_then(|access| access.granted.clone());
        match granted {
            Some(granted) if !granted.split_whitespace().any(|one| one == scope) => {
                Failure { class: Class::NotGranted, message: format!("the user did not grant {scope}"), ..failure }
            }
            _ => failure,
        }
    }

    /// Gets a token if there is none to use.
    ///
    /// # Errors
    /// As `replace`.
    pub async fn ready(&self) -> Result<(), Failure> {
        if self.0.access.lock().await.as_ref().is_some_and(Access::lives) {
            return Ok(());
        }
        Box::pin(self.replace(None)).await.map(drop)
    }

    /// The token in hand, whatever Google thinks of it.
    pub async fn current(&self) -> Option<String> {
        self.0.access.lock().await.as_ref().map(|access| access.secret.expose_secret().to_owned())
    }
}

impl Inner {
    /// Refreshes, or waits for the process that does.
    async fn refreshed(&self, refused: Option<&str>) -> Result<Access, Failure> {
        let Broker { pool, process, stores, .. } = &*self.broker;
        if !stores {
            let account = self.living().await?;
            return self.request_token(&account).await;
        }
        loop {
            let may = accounts::begin_refresh(pool, self.user, *process, REFRESH_LEASE.as_secs_f64()).await?;
            // Also with the right in hand: the token may have been replaced between our reading it and our getting the right.
            let found = self.living().await.map(|account| (self.replaced(&account, refused), account));
            match found {
                Ok((None, account)) if may => return self.ask_and_store(&account).await,
                Ok((None, _)) => tokio::time::sleep(REFRESH_POLL).await,
                found => {
                    if may {
                        accounts::end_refresh(pool, self.user, *process, Refusal::None).await?;
                    }
                    match found? {
                        (Some(access), _) => return Ok(access),
                        (None, _) => continue,
                    }
                }
            }
        }
    }

    /// The account as it stands, unless it is revoked or was refused a short while ago.
    async fn living(&self) -> Result<Account, Failure> {
        let account = accounts::get(&self.broker.pool, self.user).await?;
        let account = account.ok_or_else(|| Failure::new(Class::AuthRevoked, "the account was removed"))?;
        match (account.revoked, account.waits) {
            (Some(reason), _) => Err(Failure::new(Class::AuthRevoked, reason)),
            // One answer a while does for all streams of the user, in all runs.
            (None, Some(reason)) => Err(Failure::new(Class::ClientRefused, reason)),
            (revoked @ None, waits @ None) => Ok(Account { revoked, waits, ..account }),
        }
    }

    /// What another process has stored meanwhile, if it is another token than the refused one.
    fn replaced(&self, account: &Account, refused: Option<&str>) -> Option<Access> {
        let access = self.broker.opened(&account.row, account.granted.as_deref());
        access.filter(|access| access.lives() && refused != Some(access.secret.expose_secret()))
    }

    /// With the right to refresh in hand; it is given back whatever the endpoint says.
    async fn ask_and_store(&self, account: &Account) -> Result<Access, Failure> {
        let Broker { pool, vault, process, .. } = &*self.broker;
        match self.request_token(account).await {
            Ok(access) => {
                let sealed = vault.seal(self.user, Column::AccessToken, access.secret.expose_secret().as_bytes())?;
                let lives = access.expires.saturating_duration_since(Instant::now()).as_secs_f64();
                let fresh = Fresh { sealed: &sealed, lives, granted: access.granted.as_deref() };
                let granted = accounts::store_token(pool, self.user, *process, &fresh).await?;
                Ok(Access { granted: granted.map(Into::into), ..access })
            }
            Err(failure) => {
                let refusal = match failure.class {
                    Class::AuthRevoked => Refusal::Revoked(&failure.message),
                    Class::ClientRefused => Refusal::ForNow(&failure.message),
                    _ => Refusal::None,
                };
                if accounts::end_refresh(pool, self.user, *process, refusal).await? {
                    // Its streams fail for it, which the end of the run says of all of them together.
                    log::info!(user:% = self.user; "account revoked, asked again once a day and later once a week: {}", failure.message);
                }
                Err(failure)
            }
        }
    }

    async fn request_token(&self, account: &Account) -> Result<Access, Failure> {
        let Broker { vault, google, scopes, .. } = &*self.broker;
        let opened = vault.open(self.user, Column::Credentials, &account.credentials)?;
        let stored: StoredCredentials = serde_json::from_str(opened.expose_secret())
            .map_err(|_| Failure::new(Class::Internal, "the stored credentials are malformed; import the account again"))?;
        if let (true, None, Some(id)) = (self.broker.stores, &account.client_id, stored.credentials.client_id()) {
            accounts::note_client_id(&self.broker.pool, self.user, &id).await?;
        }
        let known = GrantHistory { age: account.age, refused_for: account.refused_for };
        let token = oauth::refresh(google, &stored.credentials, &stored.subject, scopes, known).await?;
        let granted = account.granted.clone().or(token.granted).map(Into::into);
        Ok(Access { secret: token.secret, expires: Instant::now() + token.lives, granted })
    }
}

/// What `accounts.credentials` holds under its seal.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct StoredCredentials {
    /// As they were imported.
    pub credentials: oauth::Credentials,
    /// The address that a service account acts for.
    pub subject: String,
}

impl GetToken for Credential {
    fn get_token<'a>(
        &'a self,
        _scopes: &'a [&str],
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Option<String>, Box<dyn std::error::Error + Send + Sync>>> + Send + 'a>>
    {
        Box::pin(async move {
            let known = self.0.access.lock().await.clone().filter(Access::lives);
            let secret = match known {
                Some(access) => access.secret,
                None => Box::pin(self.replace(None)).await?,
            };
            Ok(Some(secret.expose_secret().to_owned()))
        })
    }
}
