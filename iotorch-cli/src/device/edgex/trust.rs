//! What a gateway with TLS is checked by.

use std::path::Path;

use iotorch_core::{Error, ErrorKind, Result};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

/// A client that trusts the authorities in a PEM file, or without one those that the system trusts.
pub(super) fn trusting(trust: Option<&Path>) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match trust {
        Some(path) => {
            let failed = |error: String| {
                Error::new(ErrorKind::Invalid, format!("cannot read the certificate \"{}\"", path.display()))
                    .with_source(error)
            };
            let authorities: Result<Vec<_>, _> =
                CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
            for authority in authorities.map_err(|error| failed(error.to_string()))? {
                roots.add(authority).map_err(|error| failed(error.to_string()))?;
            }
        }
        // Some of a system's certificates may be unusable; who needs one of them sees that it is not trusted.
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}
