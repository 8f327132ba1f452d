//! Requests about devices, and the work on arrays that may go on after its answer.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    check_request,
    device::{Device, Sent},
    item,
    list::{Page, has_all, labels},
    unreadable,
};
use crate::{
    Release,
    answer::{self, Answer, Asked, Refusal},
    now, south,
    state::State,
    system,
    world::World,
};

/// How long core-metadata works on a request before it answers that this takes too long.
const LIMIT: Duration = Duration::from_secs(5);

/// How long it waits for a device service that does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a device costs that no device service is asked about.
const UNCHECKED: Duration = Duration::from_micros(1500);

/// What is to be done with a device, now or after the answer.
#[derive(Clone, Debug)]
pub(crate) struct Late {
    request: Value,
    sent: Sent,
    whole: bool,
    force: bool,
    bypass: bool,
}

/// What is answered to `/device/…`; nothing where there is nothing.
pub(super) async fn answer(world: &Arc<World>, asked: &Asked, parts: &[&str]) -> Option<Answer> {
    let answer = match (asked.method.as_str(), parts) {
        ("POST", []) => change(world, asked, true).await,
        ("PATCH", []) => change(world, asked, false).await,
        ("GET", ["all"]) => list(world, asked, |_| true),
        ("GET", ["id", id]) => get(world, |state| find_by_id(state, id)),
        ("GET", ["name", name]) => get(world, |state| find(state, &answer::name(name)?)),
        ("GET", ["check", "name", name]) => check(world, name),
        ("GET", ["profile", "name", name]) => of(world, asked, name, |device| &device.profile_name),
        ("GET", ["service", "name", name]) => of(world, asked, name, |device| &device.service_name),
        ("DELETE", ["name", name]) => delete(world, name),
        _ => return None,
    };
    Some(answer.unwrap_or_else(|refused| refused))
}

type Answered = Result<Answer, Answer>;

fn sent(asked: &Asked, whole: bool, ways_around: bool) -> Result<VecDeque<Late>, Answer> {
    let type_name = if whole { "AddDeviceRequest" } else { "UpdateDeviceRequest" };
    // A value that is none is as if it had not been sent.
    let (force, bypass) = (asked.is_set("force") && whole, asked.is_set("bypassValidation"));
    // 3.1 knows neither.
    let (force, bypass) = (force && ways_around, bypass && ways_around);
    let read = answer::array(&asked.body, type_name)?.into_iter().map(|request| {
        let sent = Sent::read(&request["device"]).map_err(|_| unreadable())?;
        let mut wrong = check_request(&request, type_name);
        wrong.extend(if whole { sent.check_whole() } else { sent.check_part() });
        if !wrong.is_empty() {
            return Err(Answer::refused(400, wrong.join("; ")));
        }
        Ok(Late { request, sent, whole, force, bypass })
    });
    read.collect()
}

/// Works on an array. What is not done within the limit is done later, and nobody is told.
async fn change(world: &Arc<World>, asked: &Asked, whole: bool) -> Answered {
    let mut waiting = sent(asked, whole, world.config.release == Release::V4)?;
    let mut items = Vec::new();
    let mut spent = Duration::ZERO;
    let answer = {
        let mut state = world.state();
        let mut most = state.exceed.take();
        while spent < LIMIT && most != Some(0) {
            let Some(work) = waiting.pop_front() else { break };
            let (item, took) = work.done(world, &mut state);
            items.push(item);
            spent += took;
            most = most.map(|most| most - 1);
        }
        let late = spent >= LIMIT || !waiting.is_empty();
        if late {
            let told = waiting.is_empty().then(|| Answer::items(items.clone()));
            state.late.extend(waiting);
            state.requests_until_late = world.config.late_after;
            state.late_answer = told;
            Answer::timeout(world.config.release)
        } else {
            Answer::items(items)
        }
    };
    if world.config.real_time {
        tokio::time::sleep(spent.min(LIMIT)).await;
        work_later(world);
    }
    Ok(answer)
}

/// What waits is worked on in the time that it takes.
fn work_later(world: &Arc<World>) {
    if world.state().late.is_empty() {
        return;
    }
    let later = Arc::downgrade(world);
    world.spawn(async move {
        while let Some(world) = later.upgrade() {
            let Some(took) = finish_one(&world) else { return };
            drop(world);
            tokio::time::sleep(took).await;
        }
    });
}

fn finish_one(world: &Arc<World>) -> Option<Duration> {
    let mut state = world.state();
    let work = state.late.pop_front()?;
    Some(work.done(world, &mut state).1)
}

/// Does at most so much of what waits.
pub(crate) fn finish(world: &Arc<World>, most: usize) {
    (0..most).map_while(|_| finish_one(world)).for_each(drop);
}

impl Late {
    /// The answer to this item, and how long it took.
    fn done(&self, world: &World, state: &mut State) -> (Value, Duration) {
        let mut took = if self.force || self.bypass { UNCHECKED } else { world.config.device_takes };
        let done = if self.whole { self.add(world, state) } else { self.change(world, state) };
        let answer = match done {
            Ok(Some(id)) => item(201, &self.request, json!({ "id": id })),
            Ok(None) => item(200, &self.request, json!({})),
            Err(Unmade::Refused(Refusal { status, message })) => {
                item(status, &self.request, json!({ "message": message }))
            }
            Err(Unmade::NotAnswered(service)) => {
                if !world.is_bus_lost() {
                    took = PATIENCE;
                }
                let message = format!("Error sending request to topic 'edgex/{service}/validate/device'");
                item(503, &self.request, json!({ "message": message }))
            }
        };
        (answer, took)
    }

    fn add(&self, world: &World, state: &mut State) -> Result<Option<String>, Unmade> {
        let mut device = self.sent.clone().made();
        let service = &device.service_name;
        if state.lost.database {
            let message = format!("device service '{service}' existence check failed");
            return Err(Refusal::new(500, message).into());
        }
        if !state.stored.services.has(service) {
            return Err(Refusal::new(400, format!("device service '{service}' does not exists")).into());
        }
        if device.name.contains('\0') {
            let message = format!(
                "failed to query device by name '{}' from core_metadata.device table: ERROR: unsupported Unicode \
                 escape sequence (SQLSTATE 22P05) \\u0000 cannot be converted to text.",
                device.name
            );
            return Err(Refusal::new(500, message).into());
        }
        let before = state.stored.devices.get(&device.name);
        match before {
            Some(before) if self.force => {
                (device.id, device.created) = (before.id.clone(), before.created);
            }
            Some(_) => {
                return Err(Refusal::new(409, format!("device name {} already exists", device.name)).into());
            }
            None => {}
        }
        let replaced = before.is_some();
        check_profile(state, &device)?;
        if !self.force && !self.bypass {
            validate(world, state, &device, true)?;
        }
        let id = device.id.clone();
        keep(world, state, if replaced { "update" } else { "add" }, replaced, device);
        Ok(Some(id))
    }

    fn change(&self, world: &World, state: &mut State) -> Result<Option<String>, Unmade> {
        if state.lost.database {
            return Err(Refusal::new(500, "failed to scan row to device model").into());
        }
        let (name, id) = (self.sent.name.as_deref(), self.sent.id.as_deref());
        let found = match (name, id) {
            (Some(name), _) => state.stored.devices.get(name),
            (None, id) => state.stored.devices.iter().find(|device| id == Some(&device.id)),
        };
        let before = found.cloned().ok_or_else(|| {
            let (field, value) = name.map_or_else(|| ("id", id.unwrap_or_default()), |name| ("name", name));
            Refusal::new(404, format!("no device with {field} '{value}' found"))
        })?;
        let mut device = self.sent.clone().put_into(before);
        device.modified = now::milliseconds();
        if self.sent.service_name.is_some() && !state.stored.services.has(&device.service_name) {
            let message = format!("device service '{}' does not exists", device.service_name);
            return Err(Refusal::new(400, message).into());
        }
        check_profile(state, &device)?;
        if !self.bypass {
            validate(world, state, &device, false)?;
        }
        keep(world, state, "update", false, device);
        Ok(None)
    }
}

/// Why a device was not made or changed.
enum Unmade {
    Refused(Refusal),
    /// The device service that does not answer.
    NotAnswered(String),
}

impl From<Refusal> for Unmade {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

fn check_profile(state: &State, device: &Device) -> Result<(), Refusal> {
    let name = &device.profile_name;
    if name.is_empty() {
        return Ok(());
    }
    let profile = state.stored.profiles.get(name).ok_or_else(|| {
        let message = format!("device profile '{name}' not found during validating device '{}'", device.name);
        Refusal::new(400, message)
    })?;
    match device.auto_events.iter().find(|event| !profile.has_source(&event.source_name)) {
        None => Ok(()),
        Some(event) => {
            let source = &event.source_name;
            let message =
                format!("auto event source '{source}' cannot be found in the device profile '{name}'");
            Err(Refusal::new(400, message))
        }
    }
}

/// Asks the device service what it thinks of a device.
fn validate(world: &World, state: &State, device: &Device, new: bool) -> Result<(), Unmade> {
    let service = &device.service_name;
    let checked = (!world.is_bus_lost() && world.answers(state, service)).then(|| south::check(device));
    system::validated(world, device, new, checked.as_ref());
    checked
        .ok_or_else(|| Unmade::NotAnswered(service.clone()))?
        .map_err(|why| Refusal::new(500, format!("Device {} validation failed: {why}", device.name)).into())
}

fn keep(world: &World, state: &mut State, action: &str, replaced: bool, device: Device) {
    // The device service learns of it over the bus, and when it starts.
    if world.is_bus_lost() {
        state.unheard.insert(device.name.clone());
    } else {
        state.unheard.remove(&device.name);
    }
    system::device(world, action, &device, replaced);
    state.stored.devices.put(device);
}

fn find<'a>(state: &'a State, name: &str) -> Result<&'a Device, Answer> {
    let found = state.stored.devices.get(name);
    found.ok_or_else(|| Answer::refused(404, format!("no device with name '{name}' found")))
}

fn find_by_id<'a>(state: &'a State, id: &str) -> Result<&'a Device, Answer> {
    let found = state.stored.devices.iter().find(|device| device.id == id);
    found.ok_or_else(|| Answer::refused(404, format!("no device with id '{id}' found")))
}

fn get(world: &Arc<World>, find: impl FnOnce(&State) -> Result<&Device, Answer>) -> Answered {
    let state = world.state();
    if state.lost.database {
        return Err(Answer::refused(500, "failed to scan row to device model"));
    }
    Ok(Answer::v3(200, json!({ "device": find(&state)? })))
}

fn check(world: &Arc<World>, name: &str) -> Answered {
    let name = answer::name(name)?;
    let status = if world.state().stored.devices.has(&name) { 200 } else { 404 };
    Ok(Answer::v3(status, json!({})))
}

fn list(world: &Arc<World>, asked: &Asked, fits: impl Fn(&Device) -> bool) -> Answered {
    let page = Page::of(asked)?;
    let labels = labels(asked);
    let state = world.state();
    if state.lost.database {
        return Err(Answer::refused(500, "failed to query total rows count"));
    }
    let devices = state.stored.devices.iter();
    let all: Vec<&Device> =
        devices.filter(|device| fits(device) && has_all(&device.labels, &labels)).collect();
    Ok(page.tell("devices", &all, |device| json!(device)))
}

fn of(world: &Arc<World>, asked: &Asked, name: &str, field: fn(&Device) -> &String) -> Answered {
    let name = answer::name(name)?;
    list(world, asked, |device| *field(device) == name)
}

fn delete(world: &Arc<World>, name: &str) -> Answered {
    let name = answer::name(name)?;
    let mut state = world.state();
    if state.lost.database {
        return Err(Answer::refused(500, "failed to scan row to device model"));
    }
    find(&state, &name)?;
    if let Some(device) = state.stored.devices.remove(&name) {
        state.unheard.remove(&name);
        system::device(world, "delete", &device, false);
    }
    Ok(Answer::done())
}
