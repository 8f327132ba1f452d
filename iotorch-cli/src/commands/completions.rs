//! `iotorch completions`

use clap::Args;
use clap_complete::{
    Shell,
    env::{EnvCompleter, Shells},
};
use iotorch_core::{Error, ErrorKind};

use crate::{
    cli::Setting,
    completion::{COMMAND, VARIABLE},
    exit::Exit,
    failure::{Result, cannot},
};

/// Print what a shell needs to complete commands
///
/// The script asks iotorch at each press of the tab key, so that it knows the names of slices, of their gateways, servers and devices,
/// of infrastructures and of open runs.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch completions bash > ~/.local/share/bash-completion/completions/iotorch
  iotorch completions zsh > ~/.zfunc/_iotorch          ~/.zfunc has to be in fpath before compinit
  iotorch completions fish > ~/.config/fish/completions/iotorch.fish
  source <(iotorch completions bash)                   for this shell only

A shell that is open already takes them when it is started again.")]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub(crate) fn exec(args: CompletionsArgs, setting: &Setting) -> Result<Exit> {
    let shell = args.shell.to_string();
    let shells = Shells::builtins();
    let completer: &dyn EnvCompleter = shells.completer(&shell).ok_or_else(|| {
        Error::new(ErrorKind::Unsupported, format!("cannot complete commands in the shell \"{shell}\""))
    })?;
    let mut script = Vec::new();
    completer
        .write_registration(VARIABLE, COMMAND, COMMAND, COMMAND, &mut script)
        .map_err(|error| cannot("write the completions", error))?;
    setting.screen.result(String::from_utf8_lossy(&script).trim())?;
    Ok(Exit::Done)
}
