//! What devices log in with.

use super::table::table;
use crate::commands::credentials::Login;

/// The logins of devices as a table; passwords only where they were asked for.
pub(crate) fn credentials(logins: &[Login]) -> String {
    if logins.is_empty() {
        return "no device has a credential".into();
    }
    let rows = logins.iter().map(|login| {
        [
            login.device.clone(),
            login.endpoint.clone().unwrap_or_default(),
            login.path.clone().unwrap_or_default(),
            login.user.clone().unwrap_or_else(|| "-".into()),
            login.password.clone().unwrap_or_else(|| match &login.secret {
                Some(secret) => format!("in secret {secret}"),
                None => "none is asked for".into(),
            }),
        ]
    });
    table(["DEVICE", "LISTENS AT", "SENDS TO", "USER", "PASSWORD"], rows)
}
