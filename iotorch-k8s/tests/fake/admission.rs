//! What is refused, or changed, for what else there is: namespaces that end, quotas, limits.

use serde_json::{Value, json};

use super::{
    kinds,
    refusal::Refusal,
    store::{Key, Store},
};

/// Refuses objects in namespaces that are not there, or end.
pub fn space(store: &Store, key: &Key) -> Result<(), Refusal> {
    if !key.kind.is_namespaced {
        return Ok(());
    }
    match store.get(&Key::new(&kinds::NAMESPACE, "", &key.namespace)) {
        None => Err(Refusal::not_found(&kinds::NAMESPACE, &key.namespace)),
        Some(space) if !space["metadata"]["deletionTimestamp"].is_null() => {
            Err(Refusal::namespace_is_going(key.kind, &key.name, &key.namespace))
        }
        Some(_) => Ok(()),
    }
}

/// Gives containers that ask for nothing what the namespace's LimitRange says.
pub fn set_limits(store: &Store, key: &Key, pod: &mut Value) {
    if key.kind != &kinds::POD {
        return;
    }
    let ranges = store.all(&kinds::LIMITS, Some(&key.namespace)).into_iter();
    let items = ranges.flat_map(|(_, range)| range["spec"]["limits"].as_array().cloned().unwrap_or_default());
    for item in items.filter(|item| item["type"] == "Container") {
        for container in pod["spec"]["containers"].as_array_mut().into_iter().flatten() {
            for (from, to) in [("default", "limits"), ("defaultRequest", "requests")] {
                for (resource, amount) in item[from].as_object().into_iter().flatten() {
                    let asked = &mut container["resources"][to][resource];
                    if asked.is_null() {
                        *asked = amount.clone();
                    }
                }
            }
        }
    }
}

/// Refuses pods for which the namespace's quotas leave no room.
pub fn quotas(store: &Store, key: &Key, pod: &Value) -> Result<(), Refusal> {
    if key.kind != &kinds::POD {
        return Ok(());
    }
    for (quota_key, quota) in store.all(&kinds::QUOTA, Some(&key.namespace)) {
        let hard = quota["spec"]["hard"].as_object().into_iter().flatten();
        let hard: Vec<_> =
            hard.filter(|(name, _)| name.ends_with(".memory") || name.ends_with(".cpu")).collect();
        let unasked: Vec<_> = hard.iter().filter(|(name, _)| asked(pod, name).is_none()).collect();
        if !unasked.is_empty() {
            let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
            let containers =
                containers.filter_map(|container| container["name"].as_str()).collect::<Vec<_>>().join(",");
            let missing =
                unasked.iter().map(|(name, _)| format!("{name} for: {containers}")).collect::<Vec<_>>();
            let why = format!("failed quota: {}: must specify {}", quota_key.name, missing.join("; "));
            return Err(Refusal::forbidden(key.kind, &key.name, &why));
        }
        let used = |name: &str| {
            let pods = store.all(&kinds::POD, Some(&key.namespace)).into_iter();
            pods.filter_map(|(_, pod)| asked(pod, name)).sum::<f64>()
        };
        let over: Vec<_> = hard
            .iter()
            .map(|(name, limit)| {
                (name.as_str(), asked(pod, name).unwrap_or_default(), used(name), amount(limit))
            })
            .filter(|(_, asked, used, limit)| asked + used > *limit)
            .collect();
        if !over.is_empty() {
            let tell = |pick: fn(&(&str, f64, f64, f64)) -> f64| {
                over.iter()
                    .map(|it| format!("{}={}", it.0, written(it.0, pick(it))))
                    .collect::<Vec<_>>()
                    .join(",")
            };
            let why = format!(
                "exceeded quota: {}, requested: {}, used: {}, limited: {}",
                quota_key.name,
                tell(|it| it.1),
                tell(|it| it.2),
                tell(|it| it.3)
            );
            return Err(Refusal::forbidden(key.kind, &key.name, &why));
        }
    }
    Ok(())
}

/// What the containers of a pod ask for together, by a name such as `limits.memory`; none where one does not say.
fn asked(pod: &Value, name: &str) -> Option<f64> {
    let (which, resource) = name.split_once('.')?;
    let containers = pod["spec"]["containers"].as_array()?.iter();
    containers.map(|container| container["resources"][which].get(resource).map(amount)).sum()
}

/// What a pod asks of its node.
pub fn requested(pod: &Value, resource: &str) -> f64 {
    asked(pod, &format!("requests.{resource}")).unwrap_or_default()
}

/// The amounts that tests write: whole ones, thousandths, and powers of two.
pub fn amount(quantity: &Value) -> f64 {
    let text = quantity.as_str().map_or_else(|| quantity.to_string(), str::to_owned);
    let unit = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let factor = match unit {
        "m" => 1e-3,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        _ => 1.0,
    };
    number.parse::<f64>().unwrap_or_default() * factor
}

/// The shortest way to write an amount, as the API server does.
fn written(name: &str, amount: f64) -> String {
    if name.ends_with(".cpu") {
        return if amount.fract() == 0.0 {
            format!("{amount}")
        } else {
            format!("{}m", (amount * 1e3).round())
        };
    }
    let units = [(1u64 << 30, "Gi"), (1 << 20, "Mi"), (1 << 10, "Ki")];
    let whole = amount as u64;
    match units.iter().find(|(unit, _)| whole > 0 && whole.is_multiple_of(*unit)) {
        Some((unit, letters)) => format!("{}{letters}", whole / unit),
        None => whole.to_string(),
    }
}

/// What a quota says of itself.
pub fn quota_status(store: &Store, key: &Key, quota: &Value) -> Value {
    let hard = quota["spec"]["hard"].clone();
    let pods = store.all(&kinds::POD, Some(&key.namespace));
    let used = hard.as_object().into_iter().flatten().map(|(name, _)| {
        let sum: f64 = pods.iter().filter_map(|(_, pod)| asked(pod, name)).sum();
        (name.clone(), Value::from(written(name, sum)))
    });
    json!({ "hard": hard, "used": used.collect::<serde_json::Map<_, _>>() })
}
