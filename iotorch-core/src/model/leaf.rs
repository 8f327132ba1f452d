//! The texts of the model that have a grammar of their own, by the names of their types.

use std::{net::IpAddr, str::FromStr};

use super::{
    Bandwidth, ByteSize, Cpu, Distance, DriverName, InfrastructureName, MessageRate, PartName, Percent,
    ResourceName, SliceDifferentiator, SliceName, TimeSpan, problem::Fault, suggest::quoted,
};
use crate::{error::Error, secret::SecretRef};

/// Whether a text is right, and if not, why.
pub(super) type Reader = fn(&str) -> Result<(), Fault>;

/// The longest text that is handed to a reader; the longest right one is a secret's name with its version.
const LONGEST: usize = 300;

/// How the texts of the type called `name` in a schema are read; `None` for plain text.
pub(super) fn reader(name: &str) -> Option<Reader> {
    Some(match name {
        "Bandwidth" => quantity::<Bandwidth>,
        "ByteSize" => quantity::<ByteSize>,
        "Cpu" => quantity::<Cpu>,
        "Distance" => quantity::<Distance>,
        "MessageRate" => quantity::<MessageRate>,
        "Percent" => quantity::<Percent>,
        "TimeSpan" => quantity::<TimeSpan>,
        "DriverName" => label::<DriverName>,
        "InfrastructureName" => label::<InfrastructureName>,
        "PartName" => label::<PartName>,
        "SliceName" => label::<SliceName>,
        "ResourceName" => resource,
        "SecretRef" => read::<SecretRef>,
        "SliceDifferentiator" => differentiator,
        _ => return None,
    })
}

/// How texts with the `format` of a schema are read.
pub(super) fn format_reader(format: &str) -> Option<Reader> {
    match format {
        "ip" => Some(address),
        _ => None,
    }
}

fn read<T: FromStr<Err = Error>>(text: &str) -> Result<(), Fault> {
    if text.len() > LONGEST {
        return Err(Fault::new(format!("cannot use {}", quoted(text)))
            .label(format!("{} bytes long", text.len()))
            .help("write a shorter one"));
    }
    text.parse::<T>().map(drop).map_err(|error| {
        let cause = std::error::Error::source(&error)
            .map_or_else(|| "not in its form".to_owned(), ToString::to_string);
        Fault::new(error.to_string()).label(cause).or_help(|| error.help().map(str::to_owned))
    })
}

fn quantity<T: FromStr<Err = Error>>(text: &str) -> Result<(), Fault> {
    read::<T>(text).map_err(
        |fault| {
            if text.starts_with('-') { fault.help("a quantity is 0 or more") } else { fault }
        },
    )
}

/// Reads a name, and knows what it could be called instead.
fn label<T: FromStr<Err = Error>>(text: &str) -> Result<(), Fault> {
    read::<T>(text).map_err(|fault| {
        let other = text.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let other = other.trim_matches('-');
        if other.parse::<T>().is_ok() {
            fault.help(format!("write {other:?}, for instance"))
        } else {
            fault.help("1 to 63 of a-z, 0-9 and \"-\"; the first and last a letter or digit, as in \"gw-1\"")
        }
    })
}

fn resource(text: &str) -> Result<(), Fault> {
    read::<ResourceName>(text)
        .map_err(|fault| fault.help("1 to 63 of letters, digits and \"-:._\"; the first a letter or digit"))
}

fn differentiator(text: &str) -> Result<(), Fault> {
    text.parse::<SliceDifferentiator>().map(drop).map_err(|why| {
        Fault::new(format!("cannot read {} as a slice differentiator", quoted(text)))
            .label(why)
            .help("fill it up with zeros on the left, in quotes")
    })
}

fn address(text: &str) -> Result<(), Fault> {
    text.parse::<IpAddr>().map(drop).map_err(|_| {
        Fault::new(format!("{} is not an IP address", quoted(text)))
            .label("an IP address")
            .help("as in 192.0.2.7 or 2001:db8::7")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::schema;

    #[test]
    fn every_text_with_a_grammar_in_the_schemas_has_a_reader() {
        for schema in [schema::slice(), schema::infrastructure()] {
            for (name, definition) in schema["$defs"].as_object().unwrap() {
                if definition.get("pattern").is_some() {
                    assert!(reader(name).is_some(), "{name}");
                }
            }
        }
    }
}
