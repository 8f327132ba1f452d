//! What servers are checked by where they speak TLS.

use super::Failure;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::{path::Path, sync::Arc};

/// A client of HTTP that trusts the authorities in a PEM file, or without one those that the system trusts.
pub(crate) fn http(trust: Option<&Path>) -> Result<reqwest::Client, Failure> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = trust {
        let unusable = |error: &dyn std::fmt::Display| {
            Failure::Invalid(format!("the authorities in \"{}\" cannot be used: {error}", path.display()))
        };
        let certificates = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| unusable(&error))?;
        if certificates.is_empty() {
            return Err(unusable(&"there are none"));
        }
        for certificate in certificates {
            roots.add(certificate).map_err(|error| unusable(&error))?;
        }
    } else {
        // Some of a system's certificates may be unusable; who needs one of them sees that it is not trusted.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let invalid = |error: &dyn std::fmt::Display| Failure::Invalid(format!("TLS cannot be used: {error}"));
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .timeout(crate::error::TIMEOUT)
        .no_proxy()
        .tls_backend_preconfigured(tls)
        .build()
        .map_err(|error| invalid(&error))
}
