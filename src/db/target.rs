//! stub
use crate::error::Fault;
use std::time::Duration;
#[derive(Clone)]
pub struct Target {
    config: tokio_postgres::Config,
}
impl Target {
    pub fn parse(url: &str, _password: Option<&str>, _t: Duration) -> Result<Self, Fault> {
        Ok(Self { config: url.parse().map_err(|_| Fault::settings("bad url"))? })
    }
    pub fn tls(&self) -> anyhow::Result<tokio_postgres_rustls::MakeRustlsConnect> {
        let c = rustls::ClientConfig::builder().with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
        Ok(tokio_postgres_rustls::MakeRustlsConnect::new(c))
    }
    pub fn config(&self) -> tokio_postgres::Config {
        self.config.clone()
    }
    pub fn display(&self) -> String {
        "db".into()
    }
}
pub fn explain(error: &tokio_postgres::Error, _t: &Target) -> Fault {
    Fault::unavailable(format!("{error:?}"))
}
