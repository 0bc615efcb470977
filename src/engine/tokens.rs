//! Access tokens, cached sealed in the database and refreshed by one process at a time. Connects `google::oauth` and `db::accounts`.

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

/// A token with less remaining lifetime than this is refreshed before use.
const MARGIN: Duration = Duration::from_secs(60);
/// How long one process may take for a refresh before another may try.
const REFRESH_LEASE: Duration = Duration::from_secs(30);
/// How often a process checks whether another one's refresh is done.
const REFRESH_POLL: Duration = Duration::from_millis(100);

/// Creates the credentials of a run. One `Credential` per user, however many streams there are.
pub struct Broker {
    pool: Pool,
    vault: Vault,
    google: Arc<google::Client>,
    scopes: Vec<&'static str>,
    /// Identifies this process in `accounts.refreshing_by`.
    process: Uuid,
    /// False in a dry run, which refreshes tokens but stores nothing.
    stores: bool,
    known: SyncMutex<HashMap<Uuid, Weak<Inner>>>,
}

/// Access for one user. Cheap to clone; implements `GetToken` for the transport.
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
    /// The scopes of the grant when it was first used, if known.
    granted: Option<Arc<str>>,
}

impl Access {
    fn lives(&self) -> bool {
        self.expires.saturating_duration_since(Instant::now()) > MARGIN
    }
}

impl Broker {
    /// `scopes`: those of all enabled services, since a user's token serves them all.
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

    /// Opens the cached token. If that fails, it is not an error: a new one is requested.
    fn opened(&self, account: &AccountRow, granted: Option<&str>) -> Option<Access> {
        let lives = Duration::try_from_secs_f64(account.token_seconds?).ok()?;
        match self.vault.open(account.user_id, Column::AccessToken, account.access_token.as_deref()?) {
            Ok(secret) => Some(Access { secret, expires: Instant::now() + lives, granted: granted.map(Into::into) }),
            Err(error) => {
                log::info!("cached token not usable; requesting a new one: {error:#}");
                None
            }
        }
    }
}

impl Credential {
    /// Replaces a token that Google rejected. If it has been replaced already, returns the new one.
    ///
    /// # Errors
    /// Returns `AuthRevoked` if the grant is gone, and `ClientRefused` if it is refused but may still be allowed.
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

    /// Requests a new token even if the account is marked revoked: for `accounts check`.
    ///
    /// # Errors
    /// Same as `replace`.
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

    /// Reclassifies a failed call for `scope` based on the grant: a scope that the user never granted is not a failure. Call it with a token that was just
    /// replaced.
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

    /// Gets a token if there is no valid one.
    ///
    /// # Errors
    /// Same as `replace`.
    pub async fn ready(&self) -> Result<(), Failure> {
        if self.0.access.lock().await.as_ref().is_some_and(Access::lives) {
            return Ok(());
        }
        Box::pin(self.replace(None)).await.map(drop)
    }

    /// The current token, whether Google accepts it or not.
    pub async fn current(&self) -> Option<String> {
        self.0.access.lock().await.as_ref().map(|access| access.secret.expose_secret().to_owned())
    }
}

impl Inner {
    /// Refreshes the token, or waits for the process that does.
    async fn refreshed(&self, refused: Option<&str>) -> Result<Access, Failure> {
        let Broker { pool, process, stores, .. } = &*self.broker;
        if !stores {
            let account = self.living().await?;
            return self.request_token(&account).await;
        }
        loop {
            let may = accounts::begin_refresh(pool, self.user, *process, REFRESH_LEASE.as_secs_f64()).await?;
            // Even with the refresh lease: the token may have been replaced between reading it and getting the lease.
            let current = self.living().await.map(|account| (self.replaced(&account, refused), account));
            match current {
                Ok((None, account)) if may => return self.ask_and_store(&account).await,
                Ok((None, _)) => tokio::time::sleep(REFRESH_POLL).await,
                current => {
                    if may {
                        accounts::end_refresh(pool, self.user, *process, Refusal::None).await?;
                    }
                    match current? {
                        (Some(access), _) => return Ok(access),
                        (None, _) => continue,
                    }
                }
            }
        }
    }

    /// The current account, unless it is revoked or was refused a short while ago.
    async fn living(&self) -> Result<Account, Failure> {
        let account = accounts::get(&self.broker.pool, self.user).await?;
        let account = account.ok_or_else(|| Failure::new(Class::AuthRevoked, "the account was removed"))?;
        match (account.revoked, account.waits) {
            (Some(reason), _) => Err(Failure::new(Class::AuthRevoked, reason)),
            // One request per interval is enough for all streams of the user, in all runs.
            (None, Some(reason)) => Err(Failure::new(Class::ClientRefused, reason)),
            (revoked @ None, waits @ None) => Ok(Account { revoked, waits, ..account }),
        }
    }

    /// The token that another process has stored meanwhile, if it is not the rejected one.
    fn replaced(&self, account: &Account, refused: Option<&str>) -> Option<Access> {
        let access = self.broker.opened(&account.row, account.granted.as_deref());
        access.filter(|access| access.lives() && refused != Some(access.secret.expose_secret()))
    }

    /// Requests and stores a token while holding the refresh lease, which is given back regardless of the response.
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
                    // Its streams then fail, and the end of the run reports them all together.
                    log::info!(user:% = self.user; "account revoked; retried once a day, later once a week: {}", failure.message);
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

/// The sealed content of `accounts.credentials`.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct StoredCredentials {
    /// As imported.
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
