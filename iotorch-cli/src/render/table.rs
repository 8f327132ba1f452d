//! Tables without lines.

use comfy_table::{Table, TableStyle};

/// The space between two columns.
const GAP: u16 = 2;

/// A table with a heading, its columns as wide as they need to be.
pub(crate) fn table<const N: usize>(
    heading: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_style(TableStyle::new()).force_no_tty().set_header(heading).add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, GAP));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_end_where_their_text_ends() {
        let rows = [["a".to_owned(), "1".to_owned()], ["größer".to_owned(), String::new()]];
        assert_eq!(table(["NAME", "N"], rows), "NAME    N\na       1\ngrößer");
    }
}
