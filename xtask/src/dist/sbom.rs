//! The bill of materials: what a program consists of (CycloneDX 1.6, ECMA-424).
//!
//! The tool `cargo cyclonedx` writes its files into the source folders of all crates of the workspace, so it is not used.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::failure::Failure;

use super::crates::{Crate, Crates, Facts};

/// The bill of a program, as JSON.
pub(super) fn bill(program: &str, crates: &Crates, date: Timestamp) -> Result<String, Failure> {
    let root = crates.facts.get(&crates.root);
    let root =
        root.ok_or_else(|| Failure::new("cannot write a bill of materials: the program is not in it"))?;
    let others = crates.facts.iter().filter(|(id, _)| **id != crates.root);
    let mut whole = component(&crates.root, root);
    whole["type"] = "application".into();
    whole["name"] = program.into();
    let bill = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": date.to_string(),
            "component": whole,
        },
        "components": others.map(|(id, facts)| component(id, facts)).collect::<Vec<_>>(),
        "dependencies": crates.facts.iter().map(|(id, facts)| json!({
            "ref": url(id),
            "dependsOn": facts.uses.iter().map(url).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
    });
    Ok(format!("{bill:#}\n"))
}

fn component(id: &Crate, facts: &Facts) -> Value {
    let mut component = json!({
        "type": "library",
        "bom-ref": url(id),
        "name": id.name,
        "version": id.version,
        "scope": "required",
        "purl": url(id),
    });
    if !facts.licence.is_empty() {
        // What cargo took before SPDX expressions (The Cargo Book, "The license and license-file fields").
        let expression = facts.licence.replace('/', " OR ");
        component["licenses"] = json!([{ "expression": expression }]);
    }
    if !facts.repository.is_empty() {
        component["externalReferences"] = json!([{ "type": "vcs", "url": facts.repository }]);
    }
    component
}

/// A package URL (purl-spec, type cargo).
fn url(id: &Crate) -> String {
    format!("pkg:cargo/{}@{}", id.name, id.version.replace('+', "%2B"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str, version: &str) -> Crate {
        Crate { name: name.to_owned(), version: version.to_owned() }
    }

    #[test]
    fn a_bill_names_each_crate_its_licence_and_what_it_uses() {
        let net = Facts {
            licence: "MIT/Apache-2.0".to_owned(),
            repository: "https://example.com/net".to_owned(),
            ..Facts::default()
        };
        let app = Facts { uses: [id("net", "2.1.0+3")].into(), ..Facts::default() };
        let crates = Crates {
            root: id("app", "0.1.0"),
            facts: [(id("app", "0.1.0"), app), (id("net", "2.1.0+3"), net)].into(),
            folders: Default::default(),
        };
        let date = Timestamp::from_second(1_700_000_000).unwrap();
        let bill: Value = serde_json::from_str(&bill("program", &crates, date).unwrap()).unwrap();
        assert_eq!(bill["metadata"]["timestamp"], "2023-11-14T22:13:20Z");
        assert_eq!(bill["metadata"]["component"]["name"], "program");
        assert_eq!(
            bill["components"],
            json!([{
                "type": "library",
                "bom-ref": "pkg:cargo/net@2.1.0%2B3",
                "name": "net",
                "version": "2.1.0+3",
                "scope": "required",
                "purl": "pkg:cargo/net@2.1.0%2B3",
                "licenses": [{ "expression": "MIT OR Apache-2.0" }],
                "externalReferences": [{ "type": "vcs", "url": "https://example.com/net" }],
            }])
        );
        assert_eq!(
            bill["dependencies"][0],
            json!({ "ref": "pkg:cargo/app@0.1.0", "dependsOn": ["pkg:cargo/net@2.1.0%2B3"] })
        );
    }
}
