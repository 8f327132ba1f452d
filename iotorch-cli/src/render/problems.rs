//! Faults in documents, each with its place.

use std::fmt;

use iotorch_core::model::{Problem, Problems, Source};
use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents,
    SourceCode, SourceSpan, SpanContents,
};

use crate::screen::Ink;

/// Lines longer than this are cut around the fault; a file of one line is no reason to print it whole.
const LONGEST_LINE: usize = 160;

/// All problems in order, and how many there are.
pub(crate) fn problems(problems: &Problems, ink: Ink) -> String {
    let theme = match ink {
        Ink::Plain => GraphicalTheme::unicode_nocolor(),
        Ink::Colour => GraphicalTheme::unicode(),
    };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_context_lines(1)
        .with_links(false)
        .without_syntax_highlighting()
        .with_width(110);
    let mut text = String::new();
    for problem in problems {
        let drawn = is_drawable(problem) && handler.render_report(&mut text, &Shown(problem)).is_ok();
        if !drawn {
            text.push_str(&problem.render());
        }
        text.push('\n');
    }
    let count = problems.len() + problems.omitted();
    let omitted = match problems.omitted() {
        0 => String::new(),
        n => format!(", {n} of them not shown"),
    };
    let noun = if count == 1 { "problem" } else { "problems" };
    text.push_str(&format!("{} {count} {noun} in the documents{omitted}\n", ink.red(ink.bold("error:"))));
    text
}

/// Whether the lines around a fault can be printed as they are: short, and without characters that act on a terminal.
fn is_drawable(problem: &Problem) -> bool {
    let line = problem.line();
    let near = problem.source().text().split('\n').skip(line.saturating_sub(2)).take(3);
    let acts = |c: char| c.is_control() && c != '\t' && c != '\r';
    near.into_iter().all(|line| line.chars().count() <= LONGEST_LINE && !line.contains(acts))
}

/// A problem as the reporter takes it.
struct Shown<'a>(&'a Problem);

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.message())
    }
}

impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.0.help().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(self)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = Some(self.0.label()).filter(|label| !label.is_empty()).map(str::to_owned);
        let span = LabeledSpan::new_primary_with_span(label, SourceSpan::from(self.0.span()));
        Some(Box::new(std::iter::once(span)))
    }
}

impl SourceCode for Shown<'_> {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let source: &Source = self.0.source();
        let read = source.text().read_span(span, before, after)?;
        Ok(Box::new(MietteSpanContents::new_named(
            source.name().to_owned(),
            read.data(),
            *read.span(),
            read.line(),
            read.column(),
            read.line_count(),
        )))
    }
}

#[cfg(test)]
mod tests {
    use iotorch_core::model::Documents;

    use super::*;

    fn shown(text: &str) -> String {
        let read = Documents::read(vec![Source::new("greenhouse.yaml", text)]);
        problems(&read.unwrap_err(), Ink::Plain)
    }

    #[test]
    fn every_fault_is_shown_in_its_line_with_the_way_out() {
        insta::assert_snapshot!(shown(
            "apiVersion: iotorch.dev/v1alpha1
kind: Slice
metadata: { name: greenhouse }
spec:
  onFailure: retry
  gateways:
    - { name: gw }
  devices:
    - { name: a, prot: mqtt, resources: [ { name: t, type: float } ] }
    - { name: a, gateway: gateway, resources: [ { name: t, type: float } ] }
"
        ));
    }

    #[test]
    fn a_file_of_one_long_line_is_cut_around_the_fault() {
        let padding = "x".repeat(5_000);
        let text = format!(
            r#"{{"apiVersion":"iotorch.dev/v1alpha1","kind":"Slice","metadata":{{"name":"s"}},"spec":{{"x":"{padding}"}}}}"#
        );
        assert!(shown(&text).lines().all(|line| line.chars().count() < 200));
    }

    #[test]
    fn what_would_act_on_the_terminal_is_not_printed() {
        let text = "apiVersion: iotorch.dev/v1alpha1\nkind: Slice\nmetadata: { name: s }\nspec: { \"\\u001b\u{7f}x\": 1 }\n";
        assert!(!shown(text).contains(['\u{1b}', '\u{7f}']));
    }
}
