//! How long work tells what it is doing.

/// Takes one line at a time: a command line that is about to run (`$ ip netns add …`), or a note.
pub type Progress<'a> = &'a (dyn Fn(&str) + Sync);

/// For work that nobody watches.
pub const SILENT: Progress<'static> = &|_| {};
