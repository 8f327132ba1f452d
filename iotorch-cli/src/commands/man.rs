//! `iotorch man`

use std::{fs, path::PathBuf};

use clap::{Args, Command, CommandFactory, builder::Resettable::Reset};
use clap_mangen::{
    Man,
    roff::{Roff, roman},
};
use iotorch_core::{Error, ErrorKind};

use crate::{
    cli::{Cli, Setting},
    exit::Exit,
    failure::{Result, cannot},
};

/// Print or write manual pages
///
/// There is one page for iotorch and one for each verb, also of those that are below another: iotorch-iotserver-set.1.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch man ~/.local/share/man/man1        all pages, for man iotorch and man iotorch-apply
  iotorch man --page apply | man -l -
  iotorch man --page iotserver-set > iotorch-iotserver-set.1")]
pub(crate) struct ManArgs {
    /// Write all pages into this directory; without it, one page is printed
    #[arg(value_name = "DIR", conflicts_with = "page")]
    directory: Option<PathBuf>,
    /// The page to print: the words of a verb, joined by "-"; without it that of iotorch
    #[arg(long, value_name = "PAGE")]
    page: Option<String>,
}

/// Where the pages come from, at their foot.
const SOURCE: &str = concat!("iotorch ", env!("CARGO_PKG_VERSION"));

/// A manual page.
struct Page {
    /// Its name without the section, such as `iotorch-apply`.
    name: String,
    text: Vec<u8>,
}

pub(crate) fn exec(args: ManArgs, setting: &Setting) -> Result<Exit> {
    let mut command = Cli::command();
    command.build();
    let mut pages = Vec::new();
    add_pages(&command, &mut pages).map_err(|error| cannot("write the manual", error))?;
    match args.directory {
        Some(directory) => {
            fs::create_dir_all(&directory)
                .map_err(|error| cannot(format!("make directory \"{}\"", directory.display()), error))?;
            for page in pages {
                let path = directory.join(format!("{}.1", page.name));
                fs::write(&path, page.text)
                    .map_err(|error| cannot(format!("write \"{}\"", path.display()), error))?;
                setting.screen.note(path.display());
            }
        }
        None => setting
            .screen
            .result(String::from_utf8_lossy(&find(pages, args.page.as_deref())?.text).trim_end())?,
    }
    Ok(Exit::Done)
}

fn find(pages: Vec<Page>, wanted: Option<&str>) -> Result<Page> {
    let name = wanted.map_or_else(|| "iotorch".to_owned(), |verb| format!("iotorch-{verb}"));
    Ok(pages.into_iter().find(|page| page.name == name).ok_or_else(|| {
        Error::new(ErrorKind::NotFound, format!("cannot find a manual page \"{name}\""))
            .with_help("a page is called as its verb, as in: iotorch man --page apply")
    })?)
}

/// The pages of a command and of all below it.
fn add_pages(command: &Command, pages: &mut Vec<Page>) -> std::io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let without_closing = command.clone().after_help(Reset).after_long_help(Reset);
    let mut text = Vec::new();
    Man::new(without_closing).source(SOURCE).manual("iotorch").render(&mut text)?;
    closing(command).to_writer(&mut text)?;
    pages.push(Page { name, text });
    command.get_subcommands().try_for_each(|verb| add_pages(verb, pages))
}

/// What stands after the options in the help of a command, its heading as a section and its lines as they are.
fn closing(command: &Command) -> Roff {
    let mut roff = Roff::default();
    let Some(help) = command.get_after_long_help().or_else(|| command.get_after_help()) else { return roff };
    let help = help.to_string();
    let (heading, lines) = help.split_once(":\n").unwrap_or(("Notes", &help));
    roff.control("SH", [heading.to_uppercase().as_str()]);
    roff.control("nf", []);
    for line in lines.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff
}
