//! Failures of the file, as a person reads them.

use std::io;

use crate::error::{Error, ErrorKind};

/// The store called `name` cannot be opened.
pub(super) fn open(name: &str, error: impl Into<::redb::Error>) -> Error {
    with_cause(format!("cannot open the store \"{name}\""), error.into())
}

/// The store called `name` cannot be read.
pub(super) fn read(name: &str, error: impl Into<::redb::Error>) -> Error {
    with_cause(format!("cannot read the store \"{name}\""), error.into())
}

/// The store called `name` cannot be written to; nothing was changed.
pub(super) fn write(name: &str, cause: &Cause) -> Error {
    Error::new(cause.kind, format!("cannot write to the store \"{name}\"")).with_source(cause.text.clone())
}

/// A value in the store called `name` does not mean anything.
pub(super) fn damaged(name: &str, cause: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unexpected, format!("cannot read the store \"{name}\""))
        .with_help("the store is damaged; restore it from a backup or an export")
        .with_source(cause.into())
}

/// A failure that is told to every commit of a batch.
#[derive(Clone, Debug)]
pub(super) struct Cause {
    kind: ErrorKind,
    text: String,
}

impl Cause {
    pub(super) fn of(error: impl Into<::redb::Error>) -> Self {
        let (kind, text) = match error.into() {
            ::redb::Error::Io(error) => (kind_of(&error), text_of(&error)),
            ::redb::Error::PreviousIo => (ErrorKind::Unavailable, "an earlier write failed".to_owned()),
            ::redb::Error::Corrupted(what) => (ErrorKind::Unexpected, format!("the file is damaged: {what}")),
            ::redb::Error::DatabaseAlreadyOpen => {
                (ErrorKind::Conflict, "another process holds it".to_owned())
            }
            error => (ErrorKind::Unexpected, error.to_string()),
        };
        Self { kind, text }
    }

    /// The cause of `error`, which came up while something else was to be done.
    pub(super) fn again(error: &Error) -> Self {
        Self { kind: error.kind(), text: error.to_cause().root().to_owned() }
    }
}

fn with_cause(message: String, error: ::redb::Error) -> Error {
    let cause = Cause::of(error);
    Error::new(cause.kind, message).with_source(cause.text)
}

fn kind_of(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ErrorKind::NotFound,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Denied,
        io::ErrorKind::AlreadyExists => ErrorKind::Conflict,
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::IsADirectory => {
            ErrorKind::Unexpected
        }
        _ => ErrorKind::Unavailable,
    }
}

fn text_of(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "no space left on device".to_owned(),
        io::ErrorKind::NotFound => "there is no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::AlreadyExists => "there is a file of this name already".to_owned(),
        io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        // The database says so of a file without its magic number.
        io::ErrorKind::InvalidData => "it is not a store of iotorch, or is damaged".to_owned(),
        io::ErrorKind::UnexpectedEof => "the file ends too early: it is damaged".to_owned(),
        _ => error.to_string(),
    }
}
