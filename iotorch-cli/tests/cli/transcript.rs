//! Commands and what they print, as a person sees them one after the other on a terminal.

use std::{
    fs::{self, File, OpenOptions},
    process::Stdio,
};

use crate::home::Home;

/// What differs from run to run, and what stands for it.
const FILTERS: [(&str, &str); 3] = [
    (r"<?\b\d+(\.\d+)? ?(ms|s)\b", "TIME"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
    (r"\b\d+ (s|min) ago\b", "NOW"),
];

/// A session on a terminal.
pub(crate) struct Transcript<'a> {
    home: &'a Home,
    text: String,
}

impl<'a> Transcript<'a> {
    pub(crate) const fn new(home: &'a Home) -> Self {
        Self { home, text: String::new() }
    }

    /// Types a command that ends with `code`; what it says of its results and of its errors comes as it is written.
    pub(crate) fn types(&mut self, line: &str, code: i32) {
        self.types_with(line, "", code);
    }

    /// The same with something on standard input.
    pub(crate) fn types_with(&mut self, line: &str, input: &str, code: i32) {
        let words: Vec<&str> = line.split_whitespace().skip(1).collect();
        let (path, given) = (self.home.path().join("screen"), self.home.path().join("keyboard"));
        fs::write(&path, "").unwrap();
        fs::write(&given, input).unwrap();
        let screen = || OpenOptions::new().append(true).open(&path).unwrap();
        let status = self
            .home
            .command(&words)
            .stdin(Stdio::from(File::open(&given).unwrap()))
            .stdout(screen())
            .stderr(screen())
            .status()
            .unwrap();
        let shown = fs::read_to_string(&path).unwrap();
        assert_eq!(status.code(), Some(code), "{line}: {shown}");
        self.text.push_str(&format!("$ {line}\n{}", in_order(&shown)));
        if code != 0 {
            self.text.push_str(&format!("[{code}]\n"));
        }
    }

    /// Compares the session with the one that is recorded under this name.
    pub(crate) fn compare_with(self, name: &str) {
        let home = self.home.path().display().to_string();
        let text = self.text.replace(&home, "~");
        insta::with_settings!({ filters => FILTERS }, { insta::assert_snapshot!(name, text) });
    }
}

/// What steps say that go side by side comes in any order: here by its name. Whether one has to wait depends on the machine.
fn in_order(shown: &str) -> String {
    let mut lines: Vec<&str> = shown.lines().filter(|line| !line.contains(": waits: ")).collect();
    let is_step =
        |line: &&str| line.split_once(": ").is_some_and(|(id, _)| id.contains('/') && !id.contains(' '));
    for block in lines.chunk_by_mut(|one, other| is_step(one) && is_step(other)) {
        block.sort_unstable();
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}
