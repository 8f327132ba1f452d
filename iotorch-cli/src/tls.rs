//! The cryptography behind TLS.

/// Makes *ring* what this process does cryptography with. Every HTTP client asks for it when it is made, also one that only speaks
/// in clear.
pub(crate) fn provide() {
    // The second time it is there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
