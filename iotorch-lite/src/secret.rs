//! Secret strings: never printed, wiped from memory, kept only as salted digests where that is enough.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A secret string: a token, a password or a key.
///
/// Its `Debug` form does not show it, there is no `Display`, and its memory is wiped when it is dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes over a secret.
    #[must_use]
    pub fn new(secret: impl Into<String>) -> Self {
        Self(Zeroizing::new(secret.into()))
    }

    /// The secret in clear, for sending it to the system it belongs to.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `other` is this secret, in a time that does not depend on where they differ.
    pub(crate) fn matches(&self, other: &[u8]) -> bool {
        Sha256::digest(self.0.as_bytes())[..].ct_eq(&Sha256::digest(other)[..]).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(…)")
    }
}

/// What is stored of a secret that only has to be recognised: a salted SHA-256 digest.
///
/// A plain digest is enough for credentials that are random and long, which these are: they are made by programs.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Hashed {
    salt: String,
    digest: String,
}

impl Hashed {
    pub(crate) fn of(secret: &Secret) -> Self {
        let salt = STANDARD_NO_PAD.encode(rand::random::<[u8; 16]>());
        let digest = Self::digest(&salt, secret.expose().as_bytes());
        Self { salt, digest }
    }

    pub(crate) fn matches(&self, candidate: &[u8]) -> bool {
        Self::digest(&self.salt, candidate).as_bytes().ct_eq(self.digest.as_bytes()).into()
    }

    fn digest(salt: &str, secret: &[u8]) -> String {
        let digest = Sha256::new().chain_update(salt).chain_update(b"\0").chain_update(secret).finalize();
        STANDARD_NO_PAD.encode(digest)
    }
}

impl fmt::Debug for Hashed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Hashed(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed_and_is_recognised_by_its_digest_only() {
        let secret = Secret::new("tr0ub4dor");
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        let hashed = Hashed::of(&secret);
        assert!(hashed.matches(b"tr0ub4dor") && secret.matches(b"tr0ub4dor"));
        assert!(!hashed.matches(b"tr0ub4do") && !secret.matches(b""));
        let stored = serde_json::to_string(&hashed).unwrap();
        assert!(!stored.contains("tr0ub4dor"));
        assert_ne!(stored, serde_json::to_string(&Hashed::of(&secret)).unwrap(), "salts differ");
    }
}
