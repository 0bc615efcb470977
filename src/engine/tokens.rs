//! Access tokens, cached sealed in the database and refreshed by one process at a time. Joins `google::oauth` and `db::accounts`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as SyncMutex, Weak};
use std::time::{Duration, Instant};

use google_apis_common::GetToken;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::db::Pool;
use crate::db::accounts;
use crate::db::streams::AccountRow;
use crate::error::{Class, Failure};
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
    account: AccountRow,
    access: Mutex<Option<Access>>,
}

#[derive(Clone)]
struct Access {
    secret: SecretString,
    expires: Instant,
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
        let access = self.opened(account.user_id, account.access_token.as_deref(), account.token_seconds);
        let inner = Arc::new(Inner { broker: Arc::clone(self), account: account.clone(), access: Mutex::new(access) });
        known.insert(account.user_id, Arc::downgrade(&inner));
        Credential(inner)
    }

    /// A cached token that cannot be opened is no error: a new one is asked for.
    fn opened(&self, user: Uuid, sealed: Option<&[u8]>, seconds: Option<f64>) -> Option<Access> {
        let lives = Duration::try_from_secs_f64(seconds?).ok()?;
        match self.vault.open(user, Column::AccessToken, sealed?) {
            Ok(secret) => Some(Access { secret, expires: Instant::now() + lives }),
            Err(error) => {
                log::warn!("cached token not usable, asking for a new one: {error:#}");
                None
            }
        }
    }
}

impl Credential {
    /// Replaces the token that Google refused. If somebody has replaced it already, that one serves.
    ///
    /// # Errors
    /// `AuthRevoked` when the grant is gone.
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
        while !accounts::begin_refresh(pool, self.0.account.user_id, *process, REFRESH_LEASE.as_secs_f64()).await? {
            tokio::time::sleep(REFRESH_POLL).await;
        }
        *access = Some(self.0.ask_and_store().await?);
        Ok(())
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
        let user = self.account.user_id;
        if !stores {
            return self.ask().await;
        }
        loop {
            if accounts::begin_refresh(pool, user, *process, REFRESH_LEASE.as_secs_f64()).await? {
                return self.refresh_and_store(refused).await;
            }
            tokio::time::sleep(REFRESH_POLL).await;
            match self.stored(refused).await? {
                Some(access) => return Ok(access),
                None => continue,
            }
        }
    }

    /// What another process has stored meanwhile, if it is another token than the refused one.
    async fn stored(&self, refused: Option<&str>) -> Result<Option<Access>, Failure> {
        let user = self.account.user_id;
        let Some((account, revoked)) = accounts::get(&self.broker.pool, user).await? else {
            return Err(Failure::new(Class::AuthRevoked, "the account was removed"));
        };
        if let Some(reason) = revoked {
            return Err(Failure::new(Class::AuthRevoked, reason));
        }
        let access = self.broker.opened(user, account.access_token.as_deref(), account.token_seconds);
        Ok(access.filter(|access| access.lives() && refused != Some(access.secret.expose_secret())))
    }

    /// With the right to refresh in hand.
    async fn refresh_and_store(&self, refused: Option<&str>) -> Result<Access, Failure> {
        let Broker { pool, process, .. } = &*self.broker;
        let user = self.account.user_id;
        // The token may have been replaced between our reading it and our getting the right to refresh.
        match self.stored(refused).await {
            Ok(Some(access)) => {
                accounts::end_refresh(pool, user, *process, None).await?;
                return Ok(access);
            }
            Ok(None) => {}
            Err(failure) => {
                accounts::end_refresh(pool, user, *process, None).await?;
                return Err(failure);
            }
        }
        self.ask_and_store().await
    }

    /// With the right to refresh in hand; it is given back whatever the endpoint says.
    async fn ask_and_store(&self) -> Result<Access, Failure> {
        let Broker { pool, vault, process, .. } = &*self.broker;
        let user = self.account.user_id;
        match self.ask().await {
            Ok(access) => {
                let sealed = vault.seal(user, Column::AccessToken, access.secret.expose_secret().as_bytes())?;
                let seconds = access.expires.saturating_duration_since(Instant::now()).as_secs_f64();
                accounts::store_token(pool, user, *process, &sealed, seconds).await?;
                Ok(access)
            }
            Err(failure) => {
                let reason = (failure.class == Class::AuthRevoked).then_some(failure.message.as_str());
                if accounts::end_refresh(pool, user, *process, reason).await? {
                    log::error!(user:% = user; "account revoked, not called again until it is imported anew: {}", failure.message);
                }
                Err(failure)
            }
        }
    }

    async fn ask(&self) -> Result<Access, Failure> {
        let Broker { vault, google, scopes, .. } = &*self.broker;
        let opened = vault.open(self.account.user_id, Column::Credentials, &self.account.credentials)?;
        let stored: StoredCredentials = serde_json::from_str(opened.expose_secret())
            .map_err(|_| Failure::new(Class::Internal, "the stored credentials are malformed; import the account again"))?;
        let token = oauth::refresh(google, &stored.credentials, &stored.subject, scopes).await?;
        Ok(Access { secret: token.secret, expires: Instant::now() + token.lives })
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
                None => self.replace(None).await?,
            };
            Ok(Some(secret.expose_secret().to_owned()))
        })
    }
}
