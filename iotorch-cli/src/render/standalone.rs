//! Where a gateway or server of its own listens.

use crate::commands::standalone::Listening;

/// The addresses, one line each.
pub(crate) fn listening(listening: &Listening) -> String {
    let token = listening.admin_token_file.as_ref().map(|path| path.display().to_string());
    let rows = [
        ("mqtt", listening.mqtt.map(|address| address.to_string())),
        ("http", listening.http.map(|address| address.to_string())),
        ("coap", listening.coap.map(|address| format!("{address} (DTLS)"))),
        ("management", Some(listening.management.to_string())),
        ("token in", token),
    ];
    let rows = rows.into_iter().filter_map(|(name, value)| Some(format!("\n  {name:<10}  {}", value?)));
    format!("{} ready; Ctrl-C ends it{}", listening.role, rows.collect::<String>())
}

#[cfg(test)]
mod tests {
    use iotorch_core::resource::Role;

    use super::*;

    #[test]
    fn every_address_is_told_with_what_it_is_for() {
        let at = |port: u16| ([127, 0, 0, 1], port).into();
        let mut told = Listening {
            role: Role::Gateway,
            mqtt: Some(at(1883)),
            http: Some(at(8080)),
            coap: Some(at(5684)),
            management: at(9000),
            admin_token_file: Some("/data/admin-token".into()),
        };
        let gateway = listening(&told);
        (told.role, told.coap, told.admin_token_file) = (Role::Server, None, None);
        let server = listening(&told);
        (told.role, told.mqtt, told.http) = (Role::Gateway, None, None);
        insta::assert_snapshot!([gateway, server, listening(&told)].join("\n\n"));
    }
}
