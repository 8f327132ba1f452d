//! `iotorch completions`

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use crate::{
    cli::{Cli, Setting},
    exit::Exit,
    failure::Result,
};

/// Print what a shell needs to complete commands
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch completions bash > ~/.local/share/bash-completion/completions/iotorch
  iotorch completions zsh > ~/.zfunc/_iotorch
  iotorch completions fish > ~/.config/fish/completions/iotorch.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub(crate) fn exec(args: CompletionsArgs, setting: &Setting) -> Result<Exit> {
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "iotorch", &mut script);
    setting.screen.result(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Exit::Done)
}
