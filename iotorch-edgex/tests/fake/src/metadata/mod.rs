//! core-metadata: profiles, devices and device services.

pub(crate) mod device;
mod devices;
mod list;
pub(crate) mod profile;
mod profiles;
mod services;

use std::sync::Arc;

use serde_json::{Value, json};

pub(crate) use devices::{Late, finish};
pub(crate) use list::Page;

use crate::{
    answer::{Answer, Asked},
    world::World,
};

/// All paths there are, for the difference between what is absent and what cannot be done with it.
const PATHS: &[&str] = &[
    "deviceprofile",
    "deviceprofile/*",
    "deviceprofile/*/*",
    "deviceprofile/*/*/resource/*",
    "deviceprofile/*/*/deviceCommand/*",
    "deviceprofile/name/*/tags",
    "deviceprofile/manufacturer/*/model/*",
    "deviceresource/profile/*/resource/*",
    "device",
    "device/all",
    "device/id/*",
    "device/name/*",
    "device/check/name/*",
    "device/profile/name/*",
    "device/service/name/*",
    "deviceservice",
    "deviceservice/all",
    "deviceservice/name/*",
    "uom",
];

/// What core-metadata answers.
pub(crate) async fn answer(world: &Arc<World>, asked: &Asked) -> Answer {
    let Some(parts) = asked.parts("/api/v3/") else { return Answer::message(404, "Not Found") };
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let answer = match parts[0] {
        "device" => devices::answer(world, asked, &parts[1..]).await,
        "deviceprofile" => profiles::answer(world, asked, &parts[1..]),
        "deviceresource" => profiles::resource(world, asked, &parts[1..]),
        "deviceservice" => services::answer(world, asked, &parts[1..]),
        "uom" => (asked.method == "GET").then(units),
        _ => None,
    };
    answer.unwrap_or_else(|| absent(&parts, PATHS))
}

/// What is answered where nothing is: whether it is the path or the method.
pub(crate) fn absent(parts: &[&str], paths: &[&str]) -> Answer {
    let fits = |path: &&str| {
        let path = path.split('/');
        path.clone().count() == parts.len() && path.zip(parts).all(|(one, part)| one == "*" || one == *part)
    };
    if paths.iter().any(fits) {
        Answer::message(405, "Method Not Allowed")
    } else {
        Answer::message(404, "Not Found")
    }
}

/// The units that come with EdgeX; they are not enforced.
fn units() -> Answer {
    let units = json!({
        "source": "reference to source for all UoM if not specified below",
        "units": {
            "temperature": { "source": "www.weather.com", "values": ["C", "F", "K"] },
            "weights": {
                "source": "www.usa.gov/federal-agencies/weights-and-measures-division",
                "values": ["lbs", "ounces", "kilos", "grams"],
            },
        },
    });
    Answer::v3(200, json!({ "uom": units }))
}

/// What is said of the request around an item: that it has no version of the API, or a number that is none.
fn check_request(item: &Value, request: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if item["apiVersion"].as_str().is_none_or(str::is_empty) {
        wrong.push(format!("{request}.BaseRequest.Versionable.ApiVersion field is required"));
    }
    if item["requestId"].as_str().is_some_and(|id| !id.is_empty() && !crate::now::is_uuid(id)) {
        wrong.push(format!(
            "{request}.BaseRequest.RequestId field validation failed on the len=0|uuid tag with value ''"
        ));
    }
    wrong
}

/// The answer to one item: its status, and what belongs to it.
fn item(status: u16, request: &Value, mut fields: Value) -> Value {
    fields["apiVersion"] = "v3".into();
    fields["statusCode"] = status.into();
    if let Some(id) = request["requestId"].as_str().filter(|id| !id.is_empty()) {
        fields["requestId"] = id.into();
    }
    fields
}

/// What EdgeX says of JSON whose fields have wrong types.
fn unreadable() -> Answer {
    Answer::refused(400, "Failed to unmarshal request body as JSON.")
}
