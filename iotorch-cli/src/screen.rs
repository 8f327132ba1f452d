//! Where output goes: results to standard output, everything else to standard error.

use std::{
    fmt,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use clap::{
    ValueEnum,
    builder::styling::{AnsiColor, Style},
};
use indicatif::MultiProgress;
use iotorch_core::{Error, ErrorKind};
use serde::Serialize;

use crate::failure::{Result, cannot};

/// The forms of a result: for a person, for a program, for a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    #[default]
    Table,
    Json,
    Yaml,
}

/// The terminal, or what stands in its place.
#[derive(Clone, Debug)]
pub(crate) struct Screen {
    /// The form that was asked for; none when the command may choose.
    pub(crate) format: Option<Format>,
    /// Whether to keep to results and errors.
    pub(crate) quiet: bool,
    /// Whether results may be coloured.
    pub(crate) out: Ink,
    /// Whether messages may be coloured.
    pub(crate) err: Ink,
    /// Whether lines on standard error can be drawn again.
    pub(crate) is_live: bool,
    /// What is drawn again and again at the foot of the screen, above which messages have to go.
    pub(crate) foot: Arc<Mutex<Option<MultiProgress>>>,
}

impl Screen {
    /// The form of the result.
    pub(crate) fn format(&self) -> Format {
        self.format.unwrap_or_default()
    }

    /// Writes a result.
    pub(crate) fn result(&self, text: impl fmt::Display) -> Result<()> {
        let written = writeln!(io::stdout().lock(), "{text}");
        match written {
            // Whoever read the result has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(|error| cannot("write the result", error).into()),
        }
    }

    /// Writes a result as data; as YAML when a table was asked for.
    pub(crate) fn data<T: Serialize>(&self, value: &T) -> Result<()> {
        let text = match self.format() {
            Format::Json => serde_json::to_string_pretty(value).map_err(|error| unwritable(&error))?,
            Format::Yaml | Format::Table => {
                serde_saphyr::to_string(value).map_err(|error| unwritable(&error))?
            }
        };
        self.result(text.trim_end())
    }

    /// Writes one of many results as data, while more may come: a line of JSON, or a YAML document.
    pub(crate) fn item<T: Serialize>(&self, value: &T) -> Result<()> {
        match self.format() {
            Format::Json => self.result(serde_json::to_string(value).map_err(|error| unwritable(&error))?),
            Format::Yaml | Format::Table => {
                let text = serde_saphyr::to_string(value).map_err(|error| unwritable(&error))?;
                self.result(format_args!("---\n{}", text.trim_end()))
            }
        }
    }

    /// Tells a person something, unless they want quiet.
    pub(crate) fn note(&self, text: impl fmt::Display) {
        if !self.quiet {
            self.complain(text);
        }
    }

    /// Tells a person something that they have to know.
    pub(crate) fn complain(&self, text: impl fmt::Display) {
        let foot = self.foot.lock().unwrap_or_else(PoisonError::into_inner);
        // With nobody to tell there is nothing to do about it.
        let _ = match &*foot {
            Some(foot) => foot.println(text.to_string()),
            None => writeln!(io::stderr().lock(), "{text}"),
        };
    }
}

fn unwritable(why: &impl fmt::Display) -> Error {
    Error::new(ErrorKind::Unexpected, format!("cannot write the result: {why}"))
}

/// Whether text is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    /// Not at all.
    Plain,
    /// With ANSI colours.
    Colour,
}

macro_rules! inks {
    ($($name:ident => $style:expr;)*) => {
        $(
            pub(crate) fn $name(self, text: impl fmt::Display) -> String {
                self.paint($style, text)
            }
        )*
    };
}

impl Ink {
    fn paint(self, style: Style, text: impl fmt::Display) -> String {
        match self {
            Self::Plain => text.to_string(),
            Self::Colour => format!("{style}{text}{style:#}"),
        }
    }

    inks! {
        bold => Style::new().bold();
        dim => Style::new().dimmed();
        green => AnsiColor::Green.on_default();
        yellow => AnsiColor::Yellow.on_default();
        red => AnsiColor::Red.on_default();
        cyan => AnsiColor::Cyan.on_default();
    }
}
