//! Verification of server certificates by libpq's rules, on rustls. Independent of connection strings.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::Fault;
use crate::trusted;

/// What the server's certificate must prove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trust {
    /// Nothing: the connection is encrypted, but the server is not authenticated.
    Anyone,
    /// A trusted authority signed it, for any name.
    Chain(Roots),
    /// A trusted authority signed it, for the requested host.
    Name(Roots),
}

/// The trusted authorities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Roots {
    /// The operating system's authorities.
    Platform,
    /// Certificates in a PEM file.
    File(String),
}

/// # Errors
/// Returns `Fault::settings` with the name of the file that cannot be used.
pub(super) fn connector(trust: &Trust, client_cert: Option<&(String, String)>) -> anyhow::Result<MakeRustlsConnect> {
    // Set explicitly, so that it works whether or not the process has a default provider.
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .context("choosing TLS versions")?;
    let verifier: Arc<dyn ServerCertVerifier> = match trust {
        Trust::Name(Roots::Platform) => Arc::new(
            rustls_platform_verifier::Verifier::new(provider)
                .map_err(|error| Fault::settings(format!("the platform's root certificates: {error}")))?,
        ),
        Trust::Name(Roots::File(path)) => Arc::new(FileVerifier::new(Some(path), true, provider)?),
        Trust::Chain(Roots::File(path)) => Arc::new(FileVerifier::new(Some(path), false, provider)?),
        // `Target::parse` rejects `Chain` with the platform's roots.
        Trust::Chain(Roots::Platform) | Trust::Anyone => Arc::new(FileVerifier::new(None, false, provider)?),
    };
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let config = match client_cert {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let certs = certificates("sslcert", cert)?;
            // libpq also rejects a key that others may read.
            let text = trusted::read_keys(Path::new(key)).map_err(|error| unreadable("sslkey", key, &error))?;
            let key_der = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| unreadable("sslkey", key, &error))?;
            let config = builder.with_client_auth_cert(certs, key_der);
            config.map_err(|error| Fault::settings(format!("sslcert={cert} and sslkey={key} do not match: {error}")))?
        }
    };
    Ok(MakeRustlsConnect::new(config))
}

/// Verifies against the certificates of a file; without a file it accepts any server.
#[derive(Debug)]
struct FileVerifier {
    roots: Option<RootCertStore>,
    /// The certificates in the file: a server may present exactly one of these.
    pinned: Vec<CertificateDer<'static>>,
    name: bool,
    provider: Arc<CryptoProvider>,
}

impl FileVerifier {
    fn new(path: Option<&str>, name: bool, provider: Arc<CryptoProvider>) -> Result<Self, Fault> {
        let Some(path) = path else { return Ok(Self { roots: None, pinned: Vec::new(), name, provider }) };
        let pinned = certificates("sslrootcert", path)?;
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(pinned.iter().cloned());
        match added {
            0 => Err(Fault::settings(format!("sslrootcert={path}: no certificate in it can be used"))),
            _ => Ok(Self { roots: Some(roots), pinned, name, provider }),
        }
    }

    fn check(&self, cert: &CertificateDer<'_>, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Error> {
        let Some(roots) = &self.roots else { return Ok(()) };
        let parsed = ParsedCertificate::try_from(cert)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        let checked = verify_server_cert_signed_by_trust_anchor(&parsed, roots, chain, now, algorithms);
        match checked {
            // The usual self-signed certificate is marked as a CA, which a server certificate must not be. Accept it if it is in the file. Its dates
            // have been checked before this error occurs.
            Err(Error::InvalidCertificate(CertificateError::Other(error)))
                if error.to_string().contains("CaUsedAsEndEntity") && self.pinned.iter().any(|root| root == cert) =>
            {
                Ok(())
            }
            checked => checked,
        }
    }
}

impl ServerCertVerifier for FileVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity, intermediates, now)?;
        if self.name {
            rustls::client::verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn certificates(key: &str, path: &str) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.map_err(|error| unreadable(key, path, &error))?;
    if certificates.is_empty() {
        Err(Fault::settings(format!("{key}={path}: no PEM certificate in it")))
    } else {
        Ok(certificates)
    }
}

fn unreadable(key: &str, path: &str, error: &impl std::fmt::Display) -> Fault {
    Fault::settings(format!("{key}={path}: {error}"))
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    use super::*;

    /// A self-signed certificate that is marked as a CA, as `openssl req -x509` creates it.
    fn self_signed() -> CertificateDer<'static> {
        let mut params = CertificateParams::new(["db.example".to_owned()]).expect("a name");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate");
        certificate.der().clone()
    }

    fn check(trusted: &CertificateDer<'static>, shown: &CertificateDer<'_>, host: &'static str) -> Result<(), Error> {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.clone())?;
        let provider = Arc::new(ring::default_provider());
        let verifier = FileVerifier { roots: Some(roots), pinned: vec![trusted.clone()], name: true, provider };
        let host = ServerName::try_from(host).expect("a host name");
        verifier.verify_server_cert(shown, &[], &host, &[], UnixTime::now()).map(drop)
    }

    #[test]
    fn a_self_signed_certificate_is_accepted_if_it_is_the_root() {
        let own = self_signed();
        assert_eq!(check(&own, &own, "db.example"), Ok(()));
        assert!(check(&own, &own, "other.example").is_err(), "the name still counts");
        assert!(check(&own, &self_signed(), "db.example").is_err(), "another key");
    }
}
