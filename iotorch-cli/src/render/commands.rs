//! Commands to devices.

use iotorch_lite::api::{Command, CommandState};
use jiff::{Timestamp, tz::TimeZone};

use super::{messages::moment, sent, table::table, time};
use crate::{
    commands::command::edgex::{Got, Set},
    device::Device,
};

/// One command, and what became of it or what it waits for.
pub(crate) fn command(command: &Command, device: &Device, now: Timestamp, zone: &TimeZone) -> String {
    let Command { id, resource, value, .. } = command;
    let what = format!("command {id} to device \"{}\": {resource} = {value}", device.name);
    let until = clock(command.expires, now, zone);
    let (slice, name) = (&device.slice, &device.name);
    match command.state {
        CommandState::Delivered => format!("{what}: delivered{}", after(command)),
        CommandState::Waiting => format!(
            "{what}: waits for the device until {until}\n\
             see what becomes of it:  iotorch command {slice} {name} --list\n\
             take it back:            iotorch command {slice} {name} --withdraw {id}"
        ),
        CommandState::Expired => format!("{what}: expired at {until}; the device did not acknowledge it"),
        CommandState::Withdrawn => format!("{what}: withdrawn"),
        other => format!("{what}: {other:?}"),
    }
}

/// Commands as a table, the oldest first.
pub(crate) fn commands(commands: &[Command], now: Timestamp, zone: &TimeZone) -> String {
    if commands.is_empty() {
        return "no commands".into();
    }
    let rows = commands.iter().map(|command| {
        [
            command.id.to_string(),
            command.resource.clone(),
            command.value.to_string(),
            state(command, now, zone),
            clock(command.created, now, zone),
        ]
    });
    table(["NUMBER", "RESOURCE", "VALUE", "STATE", "SINCE"], rows)
}

/// What a gateway that answers at once said of a command.
pub(crate) fn set(set: &Set, device: &Device) -> String {
    let took = time::short(std::time::Duration::from_secs_f64(set.seconds));
    format!("device \"{}\" has {} = {}, answered in {took}", device.name, set.resource, set.value)
}

/// Values that were asked for.
pub(crate) fn got(got: &[Got]) -> String {
    let line = |got: &Got| {
        let unit = got.unit.as_ref().map(|unit| format!(" {unit}")).unwrap_or_default();
        format!("{} = {}{unit}", got.resource, got.value)
    };
    got.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn state(command: &Command, now: Timestamp, zone: &TimeZone) -> String {
    match command.state {
        CommandState::Waiting => format!("waiting until {}", clock(command.expires, now, zone)),
        CommandState::Delivered => format!("delivered{}", after(command)),
        CommandState::Expired => "expired".into(),
        CommandState::Withdrawn => "withdrawn".into(),
        other => format!("{other:?}").to_lowercase(),
    }
}

fn after(command: &Command) -> String {
    let took =
        command.ended.map(|ended| std::time::Duration::from_secs_f64((ended - command.created).max(0.0)));
    took.map(|took| format!(" after {}", time::short(took))).unwrap_or_default()
}

fn clock(seconds: f64, now: Timestamp, zone: &TimeZone) -> String {
    moment(seconds).map_or_else(|| seconds.to_string(), |at| time::clock(now, at, zone))
}

/// What a device can be told, in a sentence.
pub(crate) fn writable(device: &Device) -> String {
    let writable = device.resources.iter().filter(|known| known.access.can_write()).map(sent::resource);
    let writable: Vec<String> = writable.collect();
    match writable.is_empty() {
        true => format!(
            "no resource of device \"{}\" can be written: its profile gives none access: write",
            device.name
        ),
        false => format!("device \"{}\" can be told: {}", device.name, writable.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{device, render::status::tests::now};

    fn orders() -> Vec<Command> {
        let created = 1_717_252_000.0;
        let order = |id, state, ended| Command {
            id,
            resource: "vent".into(),
            value: json!(true),
            created,
            expires: created + 3600.0,
            ended,
            state,
        };
        vec![
            order(1, CommandState::Delivered, Some(created + 0.25)),
            order(2, CommandState::Expired, Some(created + 3600.0)),
            order(3, CommandState::Withdrawn, Some(created + 5.0)),
            order(4, CommandState::Waiting, None),
        ]
    }

    #[test]
    fn commands_say_what_became_of_them() {
        let all = orders();
        let device = device::tests::bench();
        let mut told: Vec<String> =
            all.iter().map(|it| command(it, &device, now(), &TimeZone::UTC)).collect();
        told.push(commands(&all, now(), &TimeZone::UTC));
        told.push(commands(&[], now(), &TimeZone::UTC));
        told.push(writable(&device));
        let value = || json!(true);
        told.push(set(&Set { resource: "vent".into(), value: value(), seconds: 0.505 }, &device));
        let unit = Some("Cel".to_owned());
        told.push(got(&[
            Got { resource: "temperature".into(), value: json!(21.5), unit, time: None },
            Got { resource: "vent".into(), value: value(), unit: None, time: Some(5.0) },
        ]));
        insta::assert_snapshot!(told.join("\n\n"));
    }
}
