//! Faults in documents, each with its place and the way out.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use super::tree::Span;
use crate::error::{Error, ErrorKind};

/// A file's name and text, or `<stdin>` and what came from there.
#[derive(Debug)]
pub struct Source {
    name: String,
    text: String,
    /// Where each line begins, in bytes.
    lines: OnceLock<Vec<usize>>,
}

impl Source {
    /// A text and the name that messages give it. A byte order mark at its beginning is dropped.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let mut text = text.into();
        if text.starts_with('\u{feff}') {
            text.drain(..'\u{feff}'.len_utf8());
        }
        Self { name: name.into(), text, lines: OnceLock::new() }
    }

    /// The bytes of a file, which have to be UTF-8.
    ///
    /// # Errors
    /// One problem, at the first byte that is not UTF-8.
    pub fn from_bytes(name: impl Into<String>, bytes: Vec<u8>) -> Result<Self, Problems> {
        let wrong = match String::from_utf8(bytes) {
            Ok(text) => return Ok(Self::new(name, text)),
            Err(wrong) => wrong,
        };
        let start = wrong.utf8_error().valid_up_to();
        let source = Arc::new(Self::new(name, String::from_utf8_lossy(wrong.as_bytes())));
        let mut findings = Findings::new(source, 0);
        findings.add(start..start + 1, || {
            Fault::new("the text is not UTF-8").label("this byte").help("save the file as UTF-8")
        });
        Err(findings.into_problems())
    }

    /// The file's name, as it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A place for a message: `file:line:column`.
    pub(super) fn position(&self, at: usize) -> String {
        let line = self.line_of(at);
        format!("{}:{}:{}", self.name, line + 1, self.text[self.line(line).0..at].chars().count() + 1)
    }

    fn lines(&self) -> &[usize] {
        self.lines.get_or_init(|| {
            let bytes = self.text.as_bytes();
            // YAML also breaks lines at a CR of its own.
            let ends =
                |at: usize| bytes[at] == b'\n' || (bytes[at] == b'\r' && bytes.get(at + 1) != Some(&b'\n'));
            std::iter::once(0).chain((0..bytes.len()).filter(|at| ends(*at)).map(|at| at + 1)).collect()
        })
    }

    /// The line (from 0) that the byte `at` is in.
    fn line_of(&self, at: usize) -> usize {
        self.lines().partition_point(|start| *start <= at).saturating_sub(1)
    }

    /// Where line `line` (from 0) begins, and its text without the break.
    fn line(&self, line: usize) -> (usize, &str) {
        let start = self.lines().get(line).copied().unwrap_or(self.text.len());
        let end = self.lines().get(line + 1).copied().unwrap_or(self.text.len());
        (start, self.text[start..end].trim_end_matches(['\r', '\n']))
    }

    /// `span` moved to lie in the text, between characters.
    fn clamp(&self, span: &Span) -> Span {
        let start = self.text.floor_char_boundary(span.start.min(self.text.len()));
        let end = self.text.ceil_char_boundary(span.end.clamp(start, self.text.len()));
        start..end
    }
}

/// A fault in a document: what, where, and the way out.
#[derive(Clone, Debug)]
pub struct Problem {
    source: Arc<Source>,
    order: usize,
    span: Span,
    line: usize,
    column: usize,
    message: String,
    label: String,
    help: Option<String>,
}

impl Problem {
    pub(super) fn new(source: Arc<Source>, order: usize, span: &Span, fault: Fault) -> Self {
        let span = source.clamp(span);
        let line = source.line_of(span.start);
        let column = source.text[source.line(line).0..span.start].chars().count() + 1;
        let Fault { message, label, help } = fault;
        Self { source, order, span, line: line + 1, column, message, label, help }
    }

    /// The file it is in.
    #[must_use]
    pub const fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// The bytes of the source to point at; may be empty.
    #[must_use]
    pub fn span(&self) -> std::ops::Range<usize> {
        self.span.clone()
    }

    /// The line, from 1.
    #[must_use]
    pub const fn line(&self) -> usize {
        self.line
    }

    /// The column, from 1, in characters.
    #[must_use]
    pub const fn column(&self) -> usize {
        self.column
    }

    /// What is wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// A few words to stand beside the place; may be empty.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The way out, where one is known.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The problem with the lines it is in, for people, several lines of plain text.
    #[must_use]
    pub fn render(&self) -> String {
        let row = self.line - 1;
        let (start, text) = self.source.line(row);
        let width = self.line.to_string().len();
        let gutter = " ".repeat(width);
        let mut out = format!("  × {}\n", self.message);
        out += &format!("{gutter}  ╭─[{}:{}:{}]\n", self.source.name, self.line, self.column);
        if let Some(above) = row.checked_sub(1).map(|above| self.source.line(above).1) {
            let above = Window::new(above, 0, 0);
            if !above.text.trim().is_empty() {
                out += format!(" {row:>width$} │ {}", above.text).trim_end();
                out.push('\n');
            }
        }
        let from = text[..(self.span.start - start).min(text.len())].chars().count();
        let to = text[..text.floor_char_boundary((self.span.end - start).min(text.len()))].chars().count();
        let window = Window::new(text, from, to);
        out += format!(" {} │ {}", self.line, window.text).trim_end();
        let marked = window.to.saturating_sub(window.from).max(1);
        let indent = " ".repeat(window.from);
        let middle = (marked - 1) / 2;
        let line = format!("{}┬{}", "─".repeat(middle), "─".repeat(marked - 1 - middle));
        if self.label.is_empty() {
            out += &format!("\n {gutter} · {indent}{}\n", "─".repeat(marked));
        } else {
            out += &format!("\n {gutter} · {indent}{line}\n");
            out += &format!(" {gutter} · {indent}{}╰── {}\n", " ".repeat(middle), self.label);
        }
        out += &format!(" {gutter} ╰────\n");
        if let Some(help) = &self.help {
            out += &format!("  help: {help}\n");
        }
        out
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.source.name, self.line, self.column, self.message)
    }
}

/// The part of a line that is shown, safe to print, and the marked characters in it.
struct Window {
    text: String,
    from: usize,
    to: usize,
}

impl Window {
    fn new(line: &str, from: usize, to: usize) -> Self {
        /// Characters shown of a line; a file of one line is no reason to print it whole.
        const WIDTH: usize = 120;
        /// Characters kept before the mark when the line is cut.
        const BEFORE: usize = 40;
        let skipped = if from > WIDTH - BEFORE { from - BEFORE } else { 0 };
        let mut characters = line.chars().skip(skipped);
        // A control character would act on the terminal.
        let safe = |c: char| if c.is_control() { if c == '\t' { ' ' } else { '\u{fffd}' } } else { c };
        let mut text = characters.by_ref().take(WIDTH).map(safe).collect::<String>();
        if skipped > 0 {
            text = std::iter::once('…').chain(text.chars().skip(1)).collect();
        }
        if characters.next().is_some() {
            text.push('…');
        }
        Self { text, from: from - skipped, to: to.saturating_sub(skipped).min(WIDTH) }
    }
}

/// All faults of some documents, in the order of the files and the places in them. Never empty.
#[derive(Clone, Debug)]
pub struct Problems {
    list: Vec<Problem>,
    omitted: usize,
}

impl Problems {
    /// Some problems put in order; `None` when there are none.
    pub fn of(problems: impl IntoIterator<Item = Problem>) -> Option<Self> {
        Self::gather(problems.into_iter().map(Self::from)).err()
    }

    /// The problems, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.list.iter()
    }

    /// How many problems are listed; at least 1.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "there is always a problem")]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// How many more there are, beyond the first of each file that are listed.
    #[must_use]
    pub const fn omitted(&self) -> usize {
        self.omitted
    }

    /// All problems as [`Problem::render`] shows them.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = self.list.iter().map(Problem::render).collect::<Vec<_>>().join("\n");
        if self.omitted > 0 {
            out += &format!("\nand {} more\n", self.omitted);
        }
        out
    }

    /// Puts the findings of several files together; nothing when nothing was found.
    pub(super) fn gather(findings: impl IntoIterator<Item = Self>) -> Result<(), Self> {
        let mut all = Self { list: Vec::new(), omitted: 0 };
        for Self { list, omitted } in findings {
            all.list.extend(list);
            all.omitted += omitted;
        }
        if all.list.is_empty() {
            return Ok(());
        }
        let key = |problem: &Problem| (problem.order, problem.span.start);
        all.list.sort_by_key(key);
        // An alias is read wherever it stands, but its fault was written once.
        all.list.dedup_by(|b, a| key(a) == key(b) && a.message == b.message);
        Err(all)
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self { list: vec![problem], omitted: 0 }
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        if self.omitted > 0 {
            write!(f, "\nand {} more", self.omitted)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl From<Problems> for Error {
    fn from(problems: Problems) -> Self {
        Self::new(ErrorKind::Invalid, "cannot read the documents").with_source(problems)
    }
}

/// What is wrong, before it has a place.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    message: String,
    label: String,
    help: Option<String>,
}

impl Fault {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), label: String::new(), help: None }
    }

    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds the way out, unless a better one was named.
    pub(super) fn or_help(mut self, help: impl FnOnce() -> Option<String>) -> Self {
        self.help = self.help.or_else(help);
        self
    }
}

/// Collects the problems of one file.
#[derive(Debug)]
pub(super) struct Findings {
    source: Arc<Source>,
    order: usize,
    list: Vec<Problem>,
    omitted: usize,
}

impl Findings {
    /// As many problems as a person will read; a hostile file could have millions.
    const MOST: usize = 200;

    /// For the file that is `order`th of those read together.
    pub(super) const fn new(source: Arc<Source>, order: usize) -> Self {
        Self { source, order, list: Vec::new(), omitted: 0 }
    }

    pub(super) const fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// How many problems were found so far.
    pub(super) const fn count(&self) -> usize {
        self.list.len() + self.omitted
    }

    /// Adds a problem; `fault` is only asked while somebody would read it.
    pub(super) fn add(&mut self, span: Span, fault: impl FnOnce() -> Fault) {
        if self.list.len() < Self::MOST {
            self.list.push(Problem::new(Arc::clone(&self.source), self.order, &span, fault()));
        } else {
            self.omitted += 1;
        }
    }

    pub(super) fn into_problems(self) -> Problems {
        Problems { list: self.list, omitted: self.omitted }
    }
}
