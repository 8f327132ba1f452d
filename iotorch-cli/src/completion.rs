//! Answers to a shell that completes a command: what can be typed next, names of what is stored among it.

mod names;

use std::{ffi::OsString, path::PathBuf, sync::Arc};

use clap::{Arg, Command, CommandFactory};
use clap_complete::{
    CompleteEnv,
    engine::{ArgValueCandidates, CompletionCandidate},
};

use self::names::Source;
use crate::{cli::Cli, environment::Environment, exit::Exit};

/// The command that is completed.
pub(crate) const COMMAND: &str = "iotorch";

/// The variable by which a shell asks; its value is the name of the shell.
pub(crate) const VARIABLE: &str = "IOTORCH_COMPLETE";

/// Answers a shell that asks for completions; `None` when this is a command to be done.
pub(crate) fn answer(environment: &Environment) -> Option<Exit> {
    let words: Vec<OsString> = std::env::args_os().collect();
    let typed: Vec<String> = words.iter().filter_map(|word| word.to_str().map(str::to_owned)).collect();
    let kubeconfig = value_of(&typed, &["--kubeconfig"]).map(PathBuf::from);
    let source = Arc::new(Source {
        state: state(&typed).or_else(|| environment.state_directory()),
        kubeconfig: kubeconfig.or_else(|| environment.kubeconfig.clone()),
        typed,
    });
    let completer = CompleteEnv::with_factory(|| with_names(Cli::command(), &source))
        .var(VARIABLE)
        .bin(COMMAND)
        .completer(COMMAND);
    match completer.try_complete(words, std::env::current_dir().ok().as_deref()) {
        Ok(true) => Some(Exit::Done),
        Ok(false) => None,
        Err(error) => {
            // Printing can only fail when nobody reads.
            let _ = error.print();
            Some(Exit::Invalid)
        }
    }
}

/// The state directory that the typed words name.
fn state(typed: &[String]) -> Option<PathBuf> {
    value_of(typed, &["--state", "--configfile"]).map(PathBuf::from)
}

/// The value of the last of these options, however it is written.
fn value_of<'a>(typed: &'a [String], options: &[&str]) -> Option<&'a str> {
    let mut value = None;
    for (index, word) in typed.iter().enumerate() {
        for option in options {
            match word.strip_prefix(option) {
                Some("") => value = typed.get(index + 1).map(String::as_str),
                Some(rest) => value = rest.strip_prefix('=').or(value),
                None => {}
            }
        }
    }
    value
}

/// Lets every argument that stands for something stored be completed by its names.
fn with_names(command: Command, source: &Arc<Source>) -> Command {
    command.mut_args(|arg| named(arg, source)).mut_subcommands(|verb| with_names(verb, source))
}

fn named(arg: Arg, source: &Arc<Source>) -> Arg {
    let Some(find) = finder(&arg) else { return arg };
    let source = Arc::clone(source);
    arg.add(ArgValueCandidates::new(move || find(&source)))
}

type Find = fn(&Source) -> Vec<CompletionCandidate>;

/// What finds the names that an argument takes: it is known by what its value is called, or else by its own name.
fn finder(arg: &Arg) -> Option<Find> {
    let value = arg.get_value_names().and_then(|names| names.first()).map(|name| name.as_str());
    match value.unwrap_or_default() {
        "SLICE" => Some(Source::slices),
        "INFRASTRUCTURE" => Some(Source::infrastructures),
        "SERVER" => Some(Source::servers),
        "GATEWAY" => Some(Source::gateways),
        "DEVICE" => Some(Source::devices),
        "RUN" => Some(Source::runs),
        "CONTEXT" => Some(Source::contexts),
        "NAME" => match arg.get_long().unwrap_or_else(|| arg.get_id().as_str()) {
            "server" => Some(Source::servers),
            "gateway" => Some(Source::gateways),
            "device" => Some(Source::devices),
            "part" => Some(Source::parts),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_found_however_it_is_written() {
        let typed = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let options = ["--state", "--configfile"];
        assert_eq!(value_of(&typed(&["status", "--state", "a"]), &options), Some("a"));
        assert_eq!(value_of(&typed(&["status", "--state=b", "c"]), &options), Some("b"));
        assert_eq!(value_of(&typed(&["--configfile=d"]), &options), Some("d"));
        assert_eq!(value_of(&typed(&["status", "--state"]), &options), None);
        assert_eq!(value_of(&typed(&["--statement", "e"]), &options), None);
    }
}
