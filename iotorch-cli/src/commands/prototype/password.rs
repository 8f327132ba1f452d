//! A password that a person has chosen.

use std::{convert::Infallible, fmt, io::stdin, str::FromStr};

use iotorch_core::{Error, ErrorKind, secret::SecretValue};

use super::note;
use crate::{
    cli::Setting,
    failure::{Result, cannot},
};

/// The most bytes a password has: servers take it in a line of a header.
const LONGEST: usize = 256;

/// A password as it was typed: itself, or `-` for standard input.
#[derive(Clone)]
pub(super) struct Password(SecretValue);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

impl FromStr for Password {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(SecretValue::new(text.to_owned())))
    }
}

impl Password {
    /// The password itself.
    pub(super) fn read(self, setting: &Setting) -> Result<SecretValue> {
        if self.0.expose() != "-" {
            note(
                &setting.screen,
                "a password in a command can be seen in process lists and in the shell's history; --password - reads it from standard input",
            );
            return checked(self.0);
        }
        let mut line = String::new();
        stdin().read_line(&mut line).map_err(|error| cannot("read standard input", error))?;
        line.truncate(line.trim_end_matches(['\r', '\n']).len());
        checked(SecretValue::new(line))
    }
}

fn checked(value: SecretValue) -> Result<SecretValue> {
    let text = value.expose();
    let why = if text.is_empty() {
        "it is empty"
    } else if text.len() > LONGEST {
        "it is too long"
    } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        "it has a character that not every server takes"
    } else {
        return Ok(value);
    };
    Err(Error::new(ErrorKind::Invalid, format!("cannot use the password: {why}"))
        .with_help(format!("1 to {LONGEST} of ASCII letters, digits and signs, without spaces"))
        .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_that_a_header_cannot_carry_are_refused() {
        for wrong in ["", "two words", "größer", "line\nbreak", &"x".repeat(LONGEST + 1)] {
            assert!(checked(SecretValue::new(wrong.to_owned())).is_err(), "{wrong:?}");
        }
        assert!(checked(SecretValue::new("123456".to_owned())).is_ok());
    }

    #[test]
    fn a_password_is_not_printed() {
        let password: Password = "123456".parse().unwrap();
        assert_eq!(format!("{password:?}"), "Password(…)");
    }
}
