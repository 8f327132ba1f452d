//! Roles: whoever makes something may do everything with it.

use serde_json::{Value, json};

use crate::{Release, world::World};

const CLIENT: [&str; 9] = [
    "add_role_users",
    "connect_to_channel",
    "delete",
    "manage_role",
    "read",
    "remove_role_users",
    "set_parent_group",
    "update",
    "view_role_users",
];

const CHANNEL: [&str; 11] = [
    "add_role_users",
    "connect_to_client",
    "delete",
    "manage_role",
    "publish",
    "read",
    "remove_role_users",
    "set_parent_group",
    "subscribe",
    "update",
    "view_role_users",
];

const RULE: [&str; 11] = [
    "add_role_users",
    "alarm_acknowledge",
    "alarm_assign",
    "alarm_read",
    "alarm_resolve",
    "delete",
    "manage_role",
    "read",
    "remove_role_users",
    "update",
    "view_role_users",
];

const GROUP: [&str; 11] = [
    "add_role_users",
    "create",
    "delete",
    "manage_role",
    "membership",
    "read",
    "remove_role_users",
    "set_child",
    "set_parent",
    "update",
    "view_role_users",
];

const DOMAIN: [&str; 8] =
    ["add_role_users", "delete", "disable", "enable", "manage_role", "read", "remove_role_users", "update"];

const OF_ALL: [&str; 7] =
    ["add_role_users", "create", "delete", "manage_role", "read", "remove_role_users", "update"];

/// What a role is about.
#[derive(Clone, Copy)]
pub(super) enum Of {
    Domain,
    Client,
    Channel,
    Rule,
}

impl Of {
    fn name(self) -> &'static str {
        match self {
            Self::Domain => "domain",
            Self::Client => "client",
            Self::Channel => "channel",
            Self::Rule => "rule",
        }
    }

    fn actions(self, world: &World) -> Vec<String> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        match self {
            Self::Client => owned(&CLIENT),
            Self::Channel => owned(&CHANNEL),
            Self::Rule => owned(&RULE),
            Self::Domain => {
                let mut all: Vec<String> = owned(&DOMAIN);
                all.push("view_role_users".to_owned());
                let mut add =
                    |of: &str, names: &[&str]| all.extend(names.iter().map(|name| format!("{of}_{name}")));
                add("client", &CLIENT);
                add("client", &["create"]);
                add("channel", &CHANNEL);
                add("channel", &["create"]);
                add("group", &GROUP);
                if world.release == Release::Magistrala030 {
                    add("alarm", &["acknowledge", "assign", "delete", "read", "resolve", "update"]);
                    for of in ["report", "rule"] {
                        add(of, &OF_ALL);
                        add(of, &["view_role_users"]);
                    }
                }
                all
            }
        }
    }
}

/// A new role.
pub(super) fn new(of: Of) -> String {
    let id = crate::world::uuid();
    match of {
        Of::Rule => format!("rule_{id}"),
        // 24 letters and digits, without the signs between them.
        _ => format!("{}_{}", of.name(), &id.replace('-', "")[..24]),
    }
}

/// Adds to what is told of something the role by which the caller has it.
pub(super) fn tell(told: &mut Value, world: &World, of: Of, role: &str) {
    told["role_id"] = json!(role);
    told["role_name"] = json!("admin");
    told["actions"] = json!(of.actions(world));
}

/// The same for something that may come from elsewhere.
pub(super) fn tell_direct(told: &mut Value, world: &World, of: Of, role: &str) {
    tell(told, world, of, role);
    told["access_type"] = json!("direct");
}
