//! Tables for the terminal, Markdown and HTML.

use std::fmt;

/// Rows of text cells under a head. The first column is aligned left, the others right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Creates an empty table with these columns.
    #[must_use]
    pub fn new(head: &[&str]) -> Self {
        Self { head: head.iter().map(|&cell| cell.to_owned()).collect(), rows: Vec::new() }
    }

    /// Adds a row. Missing cells stay empty, and surplus ones are dropped.
    pub fn row(&mut self, mut cells: Vec<String>) {
        cells.resize(self.head.len(), String::new());
        self.rows.push(cells);
    }

    /// Renders the table as Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let rule = format!("|---|{}\n", "---:|".repeat(self.head.len().saturating_sub(1)));
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        line(&self.head) + &rule + &rows
    }

    /// Renders the table as HTML.
    #[must_use]
    pub fn html(&self) -> String {
        let escape = |cell: &String| cell.replace('&', "&amp;").replace('<', "&lt;");
        let line = |cells: &[String], tag: &str| {
            let cell = |cell: &String| format!("<{tag}>{}</{tag}>", escape(cell));
            format!("<tr>{}</tr>\n", cells.iter().map(cell).collect::<String>())
        };
        let rows: String = self.rows.iter().map(|row| line(row, "td")).collect();
        format!("<table>\n{}{rows}</table>\n", line(&self.head, "th"))
    }

    fn widths(&self) -> Vec<usize> {
        let cell = |column: usize| move |row: &Vec<String>| row[column].chars().count();
        let all = || self.rows.iter().chain([&self.head]);
        (0..self.head.len()).map(|column| all().map(cell(column)).max().unwrap_or(0)).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for row in std::iter::once(&self.head).chain(&self.rows) {
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                match column {
                    0 => write!(f, "{cell:<width$}")?,
                    _ => write!(f, "  {cell:>width$}")?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_markdown_is_a_table() {
        let mut table = Table::new(&["", "ours", "a peer"]);
        table.row(vec!["µs".into(), "9.5".into(), "148".into()]);
        table.row(vec!["long name".into(), "–".into()]);
        assert_eq!(
            table.to_string(),
            "           ours  a peer\nµs          9.5     148\nlong name     –        \n"
        );
        assert_eq!(
            table.markdown(),
            "|  | ours | a peer |\n|---|---:|---:|\n| µs | 9.5 | 148 |\n| long name | – |  |\n"
        );
        assert!(table.html().contains("<tr><td>µs</td><td>9.5</td><td>148</td></tr>"));
    }
}
