//! Requests about profiles.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    check_request, item,
    list::{Page, has_all, labels},
    profile::{Profile, Resource, without_null},
    unreadable,
};
use crate::{
    answer::{self, Answer, Asked, Refusal},
    now,
    state::State,
    system,
    world::World,
};

/// What is answered to `/deviceprofile/…`; nothing where there is nothing.
pub(super) fn answer(world: &Arc<World>, asked: &Asked, parts: &[&str]) -> Option<Answer> {
    let method = asked.method.as_str();
    let answer = match (method, parts) {
        ("POST", []) => add(world, asked),
        ("PUT", []) => replace(world, asked),
        ("POST", ["uploadfile"]) => upload(world, asked),
        ("PATCH", ["basicinfo"]) => change(world, asked),
        ("POST", ["resource"]) => add_resource(world, asked),
        ("GET", ["all"]) => list(world, asked, Profile::told, |_| true),
        ("GET", ["basicinfo", "all"]) => list(world, asked, Profile::basic, |_| true),
        ("GET", ["manufacturer", maker]) => {
            list(world, asked, Profile::told, |one| one.manufacturer == *maker)
        }
        ("GET", ["model", model]) => list(world, asked, Profile::told, |one| one.model == *model),
        ("GET", ["manufacturer", maker, "model", model]) => {
            list(world, asked, Profile::told, |one| one.manufacturer == *maker && one.model == *model)
        }
        ("GET", ["name", name]) => get(world, name),
        ("DELETE", ["name", name]) => delete(world, name),
        ("DELETE", ["name", name, "resource", resource]) => delete_resource(world, name, resource),
        ("PATCH", ["name", name, "tags"]) => tag(world, asked, name),
        _ => return None,
    };
    Some(answer.unwrap_or_else(|refused| refused))
}

/// What is answered to `/deviceresource/…`.
pub(super) fn resource(world: &Arc<World>, asked: &Asked, parts: &[&str]) -> Option<Answer> {
    let (["profile", profile, "resource", resource], "GET") = (parts, asked.method.as_str()) else {
        return None;
    };
    let answer = || {
        let (profile, resource) = (answer::name(profile)?, answer::name(resource)?);
        let state = world.state();
        let found = state.stored.profiles.get(&profile).ok_or_else(|| unknown(&profile))?;
        let absent = || Answer::refused(404, format!("resource {resource} not exists"));
        let found = found.resource(&resource).ok_or_else(absent)?;
        Ok(Answer::v3(200, json!({ "resource": found })))
    };
    Some(answer().unwrap_or_else(|refused: Answer| refused))
}

type Answered = Result<Answer, Answer>;

fn unknown(name: &str) -> Answer {
    Answer::refused(404, format!("no device profile with name '{name}' found"))
}

/// Profiles as they were sent, with the items around them.
fn sent(asked: &Asked) -> Result<Vec<(Value, Profile)>, Answer> {
    let items = answer::array(&asked.body, "DeviceProfileRequest")?;
    let read = items.into_iter().map(|item| {
        let profile = Profile::sent(&item["profile"]).map_err(|_| unreadable())?;
        let mut wrong = check_request(&item, "DeviceProfileRequest");
        wrong.extend(profile.check("DeviceProfileRequest"));
        if !wrong.is_empty() {
            return Err(Answer::refused(400, wrong.join("; ")));
        }
        profile.check_whole()?;
        Ok((item, profile))
    });
    read.collect()
}

fn add(world: &Arc<World>, asked: &Asked) -> Answered {
    let sent = sent(asked)?;
    let mut state = world.state();
    let made = sent.into_iter().map(|(request, profile)| match make(world, &mut state, profile) {
        Ok(id) => item(201, &request, json!({ "id": id })),
        Err(refusal) => item(refusal.status, &request, json!({ "message": refusal.message })),
    });
    Ok(Answer::items(made.collect()))
}

fn make(world: &Arc<World>, state: &mut State, profile: Profile) -> Result<String, Refusal> {
    if state.lost.database {
        return Err(Refusal::new(500, "failed to query device profile by name"));
    }
    if state.stored.profiles.has(&profile.name) {
        return Err(Refusal::new(409, format!("device profile name {} already exists", profile.name)));
    }
    let profile = profile.made();
    let id = profile.id.clone().unwrap_or_default();
    system::profile(world, "add", &profile, &[]);
    state.stored.profiles.put(profile);
    Ok(id)
}

/// A profile that is replaced has no identity and no time of its making any more.
fn replace(world: &Arc<World>, asked: &Asked) -> Answered {
    let sent = sent(asked)?;
    let mut state = world.state();
    let replaced = sent.into_iter().map(|(request, mut profile)| {
        if !state.stored.profiles.has(&profile.name) {
            let message = format!("device profile '{}' does not exist", profile.name);
            return item(404, &request, json!({ "message": message }));
        }
        profile.modified = Some(now::milliseconds());
        system::profile(world, "update", &profile, &state.users_of(&profile.name));
        state.stored.profiles.put(profile);
        item(200, &request, json!({}))
    });
    Ok(Answer::items(replaced.collect()))
}

/// The file of a form, in YAML.
fn upload(world: &Arc<World>, asked: &Asked) -> Answered {
    let text = String::from_utf8_lossy(&asked.body);
    let boundary = text.lines().next().unwrap_or_default().to_owned();
    let file = text.split_once("\r\n\r\n").map_or("", |(_, rest)| rest);
    let file = file.split(&boundary).next().unwrap_or_default();
    let read: Value =
        serde_saphyr::from_str(file).map_err(|error| Answer::refused(400, error.to_string()))?;
    let profile = Profile::sent(&read).map_err(|_| unreadable())?;
    let wrong = profile.check("DeviceProfile");
    if !wrong.is_empty() {
        return Err(Answer::refused(400, wrong.join("; ")));
    }
    profile.check_whole()?;
    let id = make(world, &mut world.state(), profile)?;
    Ok(Answer::v3(201, json!({ "id": id })))
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Basic {
    name: String,
    manufacturer: Option<String>,
    description: Option<String>,
    model: Option<String>,
    labels: Option<Vec<String>>,
}

fn change(world: &Arc<World>, asked: &Asked) -> Answered {
    let items = answer::array(&asked.body, "DeviceProfileBasicInfoRequest")?;
    let read = items.into_iter().map(|item| {
        let basic = Basic::deserialize(without_null(item["basicinfo"].clone())).map_err(|_| unreadable())?;
        let wrong = check_request(&item, "DeviceProfileBasicInfoRequest");
        if wrong.is_empty() { Ok((item, basic)) } else { Err(Answer::refused(400, wrong.join("; "))) }
    });
    let sent: Vec<(Value, Basic)> = read.collect::<Result<_, Answer>>()?;
    let mut state = world.state();
    let changed = sent.into_iter().map(|(request, basic)| {
        let Some(profile) = state.stored.profiles.get_mut(&basic.name) else {
            let message = format!("no device profile with name '{}' found", basic.name);
            return item(404, &request, json!({ "message": message }));
        };
        profile.modified = Some(now::milliseconds());
        let texts = [
            (&mut profile.manufacturer, basic.manufacturer),
            (&mut profile.description, basic.description),
            (&mut profile.model, basic.model),
        ];
        texts.into_iter().for_each(|(field, sent)| *field = sent.unwrap_or_else(|| field.clone()));
        profile.labels = basic.labels.unwrap_or_else(|| profile.labels.clone());
        let profile = profile.clone();
        system::profile(world, "update", &profile, &state.users_of(&basic.name));
        item(200, &request, json!({}))
    });
    Ok(Answer::items(changed.collect()))
}

fn list(
    world: &Arc<World>,
    asked: &Asked,
    tell: fn(&Profile, usize) -> Value,
    fits: impl Fn(&Profile) -> bool,
) -> Answered {
    let page = Page::of(asked)?;
    let labels = labels(asked);
    let state = world.state();
    if state.lost.database {
        return Err(Answer::refused(500, "failed to query total rows count"));
    }
    let profiles = state.stored.profiles.iter();
    let all: Vec<&Profile> =
        profiles.filter(|profile| fits(profile) && has_all(&profile.labels, &labels)).collect();
    Ok(page.tell("profiles", &all, |profile| tell(profile, state.devices_of(&profile.name))))
}

fn get(world: &Arc<World>, name: &str) -> Answered {
    let name = answer::name(name)?;
    let state = world.state();
    if state.lost.database {
        return Err(Answer::refused(500, "failed to scan row to device profile model"));
    }
    let profile = state.stored.profiles.get(&name).ok_or_else(|| unknown(&name))?;
    Ok(Answer::v3(200, json!({ "profile": profile.told(state.devices_of(&name)) })))
}

fn delete(world: &Arc<World>, name: &str) -> Answered {
    let name = answer::name(name)?;
    let mut state = world.state();
    if !state.stored.profiles.has(&name) {
        return Err(unknown(&name));
    }
    if state.devices_of(&name) > 0 {
        let message = "fail to delete the device profile when associated device exists";
        return Err(Answer::refused(409, message));
    }
    if let Some(profile) = state.stored.profiles.remove(&name) {
        system::profile(world, "delete", &profile, &[]);
    }
    Ok(Answer::done())
}

fn add_resource(world: &Arc<World>, asked: &Asked) -> Answered {
    let items = answer::array(&asked.body, "AddDeviceResourceRequest")?;
    let read = items.into_iter().map(|item| {
        let resource = Resource::deserialize(without_null(item["resource"].clone()));
        Ok((item, resource.map_err(|_| unreadable())?))
    });
    let sent: Vec<(Value, Resource)> = read.collect::<Result<_, Answer>>()?;
    let mut state = world.state();
    let added = sent.into_iter().map(|(request, resource)| {
        let name = request["profileName"].as_str().unwrap_or_default();
        let Some(mut profile) = state.stored.profiles.get(name).cloned() else {
            let message = format!("no device profile with name '{name}' found");
            return item(404, &request, json!({ "message": message }));
        };
        profile.device_resources.push(resource);
        if let Err(refusal) = profile.check_whole() {
            return item(refusal.status, &request, json!({ "message": refusal.message }));
        }
        system::profile(world, "update", &profile, &state.users_of(&profile.name));
        state.stored.profiles.put(profile);
        item(201, &request, json!({}))
    });
    Ok(Answer::items(added.collect()))
}

fn delete_resource(world: &Arc<World>, name: &str, resource: &str) -> Answered {
    let (name, resource) = (answer::name(name)?, answer::name(resource)?);
    let mut state = world.state();
    let mut profile = state.stored.profiles.get(&name).cloned().ok_or_else(|| unknown(&name))?;
    if profile.resource(&resource).is_none() {
        return Err(Answer::refused(404, format!("device resource {resource} not found")));
    }
    profile.device_resources.retain(|one| one.name != resource);
    profile.check_whole()?;
    system::profile(world, "update", &profile, &state.users_of(&profile.name));
    state.stored.profiles.put(profile);
    Ok(Answer::done())
}

/// The tags are for resources and commands, and a profile has none of its own: it is only said to be updated.
fn tag(world: &Arc<World>, asked: &Asked, name: &str) -> Answered {
    let name = answer::name(name)?;
    let sent = answer::value(&asked.body)?;
    Map::<String, Value>::deserialize(&sent["updateDeviceProfileTags"]).map_err(|_| unreadable())?;
    let mut state = world.state();
    let profile = state.stored.profiles.get_mut(&name).ok_or_else(|| unknown(&name))?;
    profile.modified = Some(now::milliseconds());
    let profile = profile.clone();
    system::profile(world, "update", &profile, &state.users_of(&name));
    Ok(Answer::done())
}

impl State {
    /// The device services with devices that have a profile, in the order of these.
    fn users_of(&self, profile: &str) -> Vec<String> {
        let mut users = Vec::new();
        for device in self.stored.devices.iter().filter(|device| device.profile_name == profile) {
            if !users.contains(&device.service_name) {
                users.push(device.service_name.clone());
            }
        }
        users
    }

    /// How many devices have a profile.
    pub(crate) fn devices_of(&self, profile: &str) -> usize {
        self.stored.devices.iter().filter(|device| device.profile_name == profile).count()
    }
}
