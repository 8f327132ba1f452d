//! The handshake: a client proves that it knows the key of its identity (RFC 4279, RFC 7252 section 9.1.3.1).

use super::peer::Peer;
use crate::access::{Access, Key};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use webrtc_dtls::{
    cipher_suite::CipherSuiteId,
    config::{Config, ExtendedMasterSecretType},
    conn::DTLSConn,
};

/// How long a handshake may take. Two round trips and a flight that is sent again fit in it.
const DEADLINE: Duration = Duration::from_secs(5);

/// A client that has proved who it is.
pub(super) struct Proved {
    pub(super) connection: DTLSConn,
    pub(super) identity: String,
    pub(super) key: Key,
}

/// Whom a failed handshake was for, and why it failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) user: String,
    pub(super) reason: String,
}

/// The identity that a client named, and the key that it has to know.
struct Named {
    identity: String,
    key: Result<Key, String>,
}

/// Carries out a handshake; `None` if it failed before the client said who it is.
pub(super) async fn shake(peer: &Arc<Peer>, access: &Arc<dyn Access>) -> Result<Proved, Option<Refused>> {
    let named = Arc::new(Mutex::new(None));
    let config = config(Arc::clone(access), Arc::clone(&named));
    let done =
        tokio::time::timeout(DEADLINE, DTLSConn::new(Arc::clone(peer) as _, config, false, None)).await;
    let named = named.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(Named { identity, key }) = named else { return Err(None) };
    let reason = match (done, key) {
        (Ok(Ok(connection)), Ok(key)) => return Ok(Proved { connection, identity, key }),
        (_, Err(reason)) => reason,
        (Err(_), _) => "the handshake took too long".to_owned(),
        _ if peer.broken_off() => "the client broke off the handshake".to_owned(),
        _ => "the key is wrong".to_owned(),
    };
    Err(Some(refused(&identity, &reason)))
}

/// A refusal of what an identity stands for: a user, or a user, a colon and a generation.
fn refused(identity: &str, reason: &str) -> Refused {
    let user = identity.split_once(':').map_or(identity, |(user, _)| user);
    Refused { user: user.to_owned(), reason: reason.to_owned() }
}

fn config(access: Arc<dyn Access>, named: Arc<Mutex<Option<Named>>>) -> Config {
    let psk = move |identity: &[u8]| {
        let identity = String::from_utf8_lossy(identity).into_owned();
        let key = access.key(&identity);
        // Nobody knows this key, so an identity that does not exist fails as one with a wrong key does, and a stranger
        // learns nothing from it (RFC 4279 section 2).
        let unknown = || rand::random::<[u8; 32]>().to_vec();
        let secret = key.as_ref().map_or_else(|_| unknown(), |key| key.secret.expose().as_bytes().to_vec());
        *named.lock().unwrap_or_else(PoisonError::into_inner) = Some(Named { identity, key });
        Ok(secret)
    };
    Config {
        psk: Some(Arc::new(psk)),
        cipher_suites: vec![
            CipherSuiteId::Tls_Psk_With_Aes_128_Ccm_8,
            CipherSuiteId::Tls_Psk_With_Aes_128_Gcm_Sha256,
            CipherSuiteId::Tls_Psk_With_Aes_128_Ccm,
        ],
        extended_master_secret: ExtendedMasterSecretType::Request,
        ..Config::default()
    }
}
