//! Errors of YAML's grammar in words for people who do not know it.

use serde_saphyr::granit_parser::{ErrorKind, ScanError};

use super::{problem::Fault, tree::Span, yaml::DEPTH};

pub(super) fn too_deep() -> Fault {
    Fault::new(format!("values lie in each other more than {DEPTH} deep"))
        .label("one too deep")
        .help("no slice needs that; is a bracket too many?")
}

/// One character at the place of a syntax error.
pub(super) fn place(wrong: &ScanError) -> Span {
    let at = wrong.marker().byte_offset().unwrap_or(0);
    at..at + 1
}

/// A syntax error in words for people who do not know YAML's grammar.
pub(super) fn fault(wrong: &ScanError) -> Fault {
    use ErrorKind as K;
    match wrong.kind() {
        K::TabNotAllowed
        | K::TabInBlockIndentation
        | K::TabInIndentation
        | K::TabInPlainScalar
        | K::TabAtBlockScalarStart => {
            Fault::new("a tab stands where only spaces may").label("near this").help("indent with spaces")
        }
        K::ExpectedFlowMappingSeparator | K::UnexpectedEofFlowMapping => {
            Fault::new("a \",\" or \"}\" is missing")
                .label("before this")
                .help("a comma stands between two fields, and \"}\" after the last")
        }
        K::ExpectedFlowSequenceSeparator | K::UnexpectedEofFlowSequence => {
            Fault::new("a \",\" or \"]\" is missing")
                .label("before this")
                .help("a comma stands between two values, and \"]\" after the last")
        }
        K::UnclosedFlowCollection { open } => {
            Fault::new(format!("the \"{open}\" is never closed")).label("opened here").help(close_with(*open))
        }
        K::MismatchedFlowCollectionEnd { open, close } => {
            Fault::new(format!("\"{close}\" cannot close the \"{open}\""))
                .label("opened here")
                .help(close_with(*open))
        }
        K::UnclosedQuotedScalar => Fault::new("the quote is never closed")
            .label("opened here")
            .help("end the text with the same quote"),
        K::ExpectedBlockMappingKey | K::ExpectedBlockSequenceEntry | K::InvalidIndentation => {
            Fault::new("this does not fit the lines above")
                .label("here")
                .help("the fields of one thing begin in the same column, and so do the \"-\" of a list")
        }
        K::SimpleKeyExpected => Fault::new("a \":\" is missing")
            .label("here")
            .help("a field is written name: value, with a space after the colon"),
        K::MappingValueNotAllowed => Fault::new("a \":\" cannot stand here")
            .label("a second one on this line, or a wrong indentation")
            .help(
                "the fields of one thing begin in the same column, each with a space after its colon; \
                 text that holds \": \" is put in quotes",
            ),
        K::RecursionLimitExceeded => too_deep(),
        other => Fault::new(format!("cannot read this as YAML: {other}"))
            .label("here")
            .help("is a quote, a bracket or a space missing near this?"),
    }
}

fn close_with(open: char) -> String {
    format!("end it with \"{}\"", if open == '[' { ']' } else { '}' })
}
