//! Requests about device services.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    check_request,
    device::DeviceService,
    item,
    list::{Page, has_all, labels},
    profile::without_null,
    unreadable,
};
use crate::{
    answer::{self, Answer, Asked},
    now, system,
    world::World,
};

/// What is answered to `/deviceservice/…`; nothing where there is nothing.
pub(super) fn answer(world: &Arc<World>, asked: &Asked, parts: &[&str]) -> Option<Answer> {
    let answer = match (asked.method.as_str(), parts) {
        ("POST", []) => add(world, asked),
        ("PATCH", []) => change(world, asked),
        ("GET", ["all"]) => list(world, asked),
        ("GET", ["name", name]) => get(world, name),
        ("DELETE", ["name", name]) => delete(world, name),
        _ => return None,
    };
    Some(answer.unwrap_or_else(|refused| refused))
}

type Answered = Result<Answer, Answer>;

fn unknown(name: &str) -> Answer {
    Answer::refused(404, format!("no device service with name '{name}' found"))
}

fn sent(asked: &Asked, request: &str) -> Result<Vec<(Value, DeviceService)>, Answer> {
    let items = answer::array(&asked.body, request)?;
    let read = items.into_iter().map(|item| {
        let service = DeviceService::deserialize(without_null(item["service"].clone()));
        let service = service.map_err(|_| unreadable())?;
        let mut wrong = check_request(&item, request);
        if service.name.is_empty() && service.id.is_empty() {
            wrong.push(format!("{request}.Service.Name field is required"));
        }
        if wrong.is_empty() { Ok((item, service)) } else { Err(Answer::refused(400, wrong.join("; "))) }
    });
    read.collect()
}

fn add(world: &Arc<World>, asked: &Asked) -> Answered {
    let sent = sent(asked, "AddDeviceServiceRequest")?;
    let mut state = world.state();
    let added = sent.into_iter().map(|(request, sent)| {
        if state.stored.services.has(&sent.name) {
            let message = format!("device service name {} already exists", sent.name);
            return item(409, &request, json!({ "message": message }));
        }
        let registered = DeviceService::registered(&sent.name, sent.base_address.clone());
        let id = registered.id.clone();
        let service = DeviceService {
            description: sent.description,
            admin_state: sent.admin_state,
            labels: sent.labels,
            properties: sent.properties,
            ..registered
        };
        system::service(world, &service);
        state.stored.services.put(service);
        item(201, &request, json!({ "id": id }))
    });
    Ok(Answer::items(added.collect()))
}

fn change(world: &Arc<World>, asked: &Asked) -> Answered {
    let sent = sent(asked, "UpdateDeviceServiceRequest")?;
    let mut state = world.state();
    let changed = sent.into_iter().map(|(request, _)| {
        let fields = &request["service"];
        let name = fields["name"].as_str().unwrap_or_default();
        let Some(service) = state.stored.services.get_mut(name) else {
            let message = format!("no device service with name '{name}' found");
            return item(404, &request, json!({ "message": message }));
        };
        service.modified = now::milliseconds();
        for (field, name) in
            [(&mut service.base_address, "baseAddress"), (&mut service.admin_state, "adminState")]
        {
            *field = fields[name].as_str().unwrap_or(field).to_owned();
        }
        if let Some(labels) = fields["labels"].as_array() {
            service.labels = labels.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        }
        item(200, &request, json!({}))
    });
    Ok(Answer::items(changed.collect()))
}

fn list(world: &Arc<World>, asked: &Asked) -> Answered {
    let page = Page::of(asked)?;
    let labels = labels(asked);
    let state = world.state();
    if state.lost.database {
        return Err(Answer::refused(500, "failed to query total rows count"));
    }
    let services = state.stored.services.iter();
    let all: Vec<&DeviceService> = services.filter(|service| has_all(&service.labels, &labels)).collect();
    Ok(page.tell("services", &all, |service| json!(service)))
}

fn get(world: &Arc<World>, name: &str) -> Answered {
    let name = answer::name(name)?;
    let state = world.state();
    if state.lost.database {
        return Err(Answer::refused(500, "failed to scan row to device service model"));
    }
    let service = state.stored.services.get(&name).ok_or_else(|| unknown(&name))?;
    Ok(Answer::v3(200, json!({ "service": service })))
}

fn delete(world: &Arc<World>, name: &str) -> Answered {
    let name = answer::name(name)?;
    let mut state = world.state();
    if !state.stored.services.has(&name) {
        return Err(unknown(&name));
    }
    if state.stored.devices.iter().any(|device| device.service_name == name) {
        let message = "fail to delete the device service when associated device exists";
        return Err(Answer::refused(409, message));
    }
    state.stored.services.remove(&name);
    Ok(Answer::done())
}
