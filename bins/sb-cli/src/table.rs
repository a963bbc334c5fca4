use std::fmt;

use crate::terminal::{Colour, Ink};

/// Spaces between two columns.
const GAP: usize = 2;

/// Text in columns, each as wide as its widest cell.
pub struct Table {
    colour: Colour,
    rows: Vec<Vec<Cell>>,
}

/// One cell.
pub struct Cell {
    text: String,
    ink: Ink,
}

impl Table {
    /// A table with these column titles.
    pub fn new(colour: Colour, titles: &[&str]) -> Self {
        let titles = titles.iter().map(|title| Cell { text: (*title).into(), ink: Ink::Dim });
        Self { colour, rows: vec![titles.collect()] }
    }

    /// Adds a row with a cell for each column.
    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column| self.rows.iter().filter_map(|row| row.get(column)).map(Cell::width).max();
        (0..columns).map(|column| width(column).unwrap_or(0)).collect()
    }
}

impl Cell {
    /// A cell with this text; `-` for none.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { text: if text.is_empty() { "-".into() } else { text }, ink: Ink::Plain }
    }

    /// A cell that may have nothing to show.
    pub fn of(value: Option<impl fmt::Display>) -> Self {
        Self::new(value.map(|value| value.to_string()).unwrap_or_default())
    }

    /// The cell in this ink.
    pub fn ink(self, ink: Ink) -> Self {
        Self { ink, ..self }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for (index, row) in self.rows.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line += &cell.ink.paint(&cell.text, self.colour);
                line += &" ".repeat(width - cell.width() + GAP);
            }
            f.write_str(line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(Colour::No, &["A", "LONG"]);
        table.row(vec![Cell::new("wider"), Cell::of(None::<u8>)]);
        assert_eq!(table.to_string(), "A      LONG\nwider  -");
    }

    #[test]
    fn colour_does_not_move_columns() {
        let mut table = Table::new(Colour::Yes, &["A", "B"]);
        table.row(vec![Cell::new("é").ink(Ink::Green), Cell::new("y")]);
        assert!(table.to_string().ends_with("\x1b[32mé\x1b[0m  y"));
    }
}
