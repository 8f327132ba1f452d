//! Whether a service is well, which it says of itself alone.

use serde_json::json;

use crate::{
    Release, Service,
    ask::{Answer, JSON, TEXT},
    world::World,
};

pub(super) fn answer(world: &World, service: Service) -> Answer {
    let is_magistrala = world.release == Release::Magistrala030;
    match service {
        Service::MqttWs => return Answer::no_page(),
        // These are FluxMQ, which is another program.
        Service::Http if is_magistrala => return Answer::text(200, TEXT, r#"{"status":"healthy"}"#),
        Service::Broker => return Answer::text(200, JSON, r#"{"status":"healthy"}"#),
        _ => {}
    }
    let name = match service {
        Service::Rules => "rule_engine",
        Service::Reader => "postgres-reader",
        Service::Writer => "postgres-writer",
        other => other.name(),
    };
    let (commit, built) = if is_magistrala {
        ("ffffffff", "1970-01-01_00:00:00")
    } else {
        ("9c6ad9744e7a128623b6535f584513f89ce775c1", "2026-03-11_17:25:47")
    };
    let body = json!({
        "status": "pass",
        "version": world.release.version(),
        "commit": commit,
        "description": format!("{name} service"),
        "build_time": built,
        "instance_id": world.instance(service),
    });
    Answer::text(200, "application/health+json", body.to_string())
}
