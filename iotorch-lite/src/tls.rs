//! Certificates: those that listeners show, and those that are trusted where this side is the client.

use crate::{Error, Result, Tls};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};
use std::{path::Path, sync::Arc};
use tokio_rustls::TlsAcceptor;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// What accepts TLS with this certificate, for the protocol of this name in ALPN (RFC 7301).
pub(crate) fn acceptor(tls: &Tls, protocol: &str) -> Result<TlsAcceptor> {
    let chain = certificates(&tls.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(|error| unreadable("key", &tls.key, error))?;
    let refused = |error| {
        let shown = tls.certificate.display();
        Error::invalid(format!("cannot use the certificate \"{shown}\"")).caused_by(error)
    };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key))
        .map_err(refused)?;
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// What a client checks servers by: against the authorities in a PEM file, or without one those that the system trusts.
pub(crate) fn trusting(trust: Option<&Path>) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match trust {
        Some(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| {
                    Error::invalid(format!("cannot trust \"{}\"", path.display())).caused_by(error)
                })?;
            }
        }
        // Some of a system's certificates may be unusable; who needs one of them sees that it is not trusted.
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    client(roots)
}

/// What a client uses that speaks no TLS.
pub(crate) fn trusting_nobody() -> Result<ClientConfig> {
    client(RootCertStore::empty())
}

fn client(roots: RootCertStore) -> Result<ClientConfig> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::invalid("cannot use TLS").caused_by(error))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let failed = |error| unreadable("certificate", path, error);
    let all: Vec<_> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(failed)?;
    if all.is_empty() { Err(failed(pem::Error::NoItemsFound)) } else { Ok(all) }
}

fn unreadable(what: &str, path: &Path, error: pem::Error) -> Error {
    Error::invalid(format!("cannot read the {what} \"{}\"", path.display())).caused_by(error)
}
