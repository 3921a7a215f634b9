//! Aligned tables: numbers to the right, one line a row, the same bytes for the same figures.
//!
//! A terminal that is too narrow loses whole columns, the least telling first, then the end of the widest name; what goes
//! to a file or a program is never cut. Colours only where the caller found that they are wanted.

use std::fmt::Write;

/// How a cell is shown where colours are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Tone {
    #[default]
    Plain,
    Faint,
    Good,
    Warn,
    Bad,
}

impl Tone {
    fn code(self) -> &'static str {
        match self {
            Tone::Plain => "",
            Tone::Faint => "2",
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "31",
        }
    }

    /// The colour of a provider's or a channel's status word.
    pub fn of_status(word: &str) -> Tone {
        match word {
            "healthy" => Tone::Good,
            "circuit_open" | "wrong_chain" | "misconfigured" => Tone::Bad,
            "unknown" => Tone::Faint,
            _ => Tone::Warn,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub title: &'static str,
    pub is_number: bool,
    /// What goes first where there is no room; 0 stays.
    pub drop: u8,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Cell {
    pub text: String,
    pub tone: Tone,
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell { text, tone: Tone::Plain }
    }
}

impl Cell {
    pub fn toned(text: impl Into<String>, tone: Tone) -> Cell {
        Cell { text: text.into(), tone }
    }
}

/// Where a table is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Paper {
    /// `None` where lines may be as long as they are.
    pub width: Option<usize>,
    pub colours: bool,
}

impl Paper {
    pub fn tinted(self, text: &str, tone: Tone) -> String {
        match tone.code() {
            "" => text.to_owned(),
            _ if !self.colours => text.to_owned(),
            code => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

/// Spaces between two columns.
const GAP: usize = 2;

/// Characters as they stand on a terminal; ids and words are ASCII, names are nearly so.
fn width(text: &str) -> usize {
    text.chars().count()
}

/// Which columns are shown, and how wide.
pub struct Layout(Vec<(usize, Column, usize)>);

impl Layout {
    pub fn new(columns: &[Column], rows: &[Vec<Cell>], room: Option<usize>) -> Layout {
        let widest = |index: usize, column: &Column| {
            let cells = rows.iter().filter_map(|row| row.get(index)).map(|cell| width(&cell.text));
            cells.max().unwrap_or(0).max(width(column.title))
        };
        let shown = columns.iter().enumerate().map(|(index, column)| (index, *column, widest(index, column)));
        let mut layout = Layout(shown.collect());
        layout.fit(room);
        layout
    }

    fn total(&self) -> usize {
        self.0.iter().map(|(.., width)| width + GAP).sum()
    }

    /// Drops columns, then shortens the widest one.
    fn fit(&mut self, room: Option<usize>) {
        let Some(room) = room else { return };
        while self.total() > room + GAP {
            let droppable = self.0.iter().enumerate().filter(|(_, (_, column, _))| column.drop > 0);
            let Some((place, _)) = droppable.max_by_key(|(_, (_, column, _))| column.drop) else { break };
            self.0.remove(place);
        }
        let excess = self.total().saturating_sub(room + GAP);
        if let Some((.., width)) = self.0.iter_mut().max_by_key(|(.., width)| *width) {
            *width = width.saturating_sub(excess).max(4);
        }
    }

    pub fn titles(&self) -> Vec<Cell> {
        self.0.iter().map(|(_, column, room)| padded(&Cell::toned(column.title, Tone::Faint), column, *room)).collect()
    }

    /// A row's cells that are shown, each filled up to its width; between them are `GAP` spaces.
    pub fn cells(&self, row: &[Cell]) -> Vec<Cell> {
        let empty = Cell::default();
        self.0.iter().map(|(index, column, room)| padded(row.get(*index).unwrap_or(&empty), column, *room)).collect()
    }
}

fn padded(cell: &Cell, column: &Column, room: usize) -> Cell {
    let text = match width(&cell.text) > room {
        true => cell.text.chars().take(room.saturating_sub(1)).chain(['…']).collect(),
        false => cell.text.clone(),
    };
    let pad = " ".repeat(room.saturating_sub(width(&text)));
    let text = if column.is_number { pad + &text } else { text + &pad };
    Cell { text, tone: cell.tone }
}

pub fn render(columns: &[Column], rows: &[Vec<Cell>], paper: Paper) -> String {
    let layout = Layout::new(columns, rows, paper.width);
    let mut out = String::new();
    for cells in std::iter::once(layout.titles()).chain(rows.iter().map(|row| layout.cells(row))) {
        let line: Vec<String> = cells.iter().map(|cell| painted(cell, paper)).collect();
        let _ = writeln!(out, "{}", line.join("  ").trim_end());
    }
    out
}

/// The spaces around a word are not painted.
fn painted(cell: &Cell, paper: Paper) -> String {
    let word = cell.text.trim();
    let start = cell.text.len() - cell.text.trim_start().len();
    let end = cell.text.len() - start - word.len();
    format!("{}{}{}", " ".repeat(start), paper.tinted(word, cell.tone), " ".repeat(end))
}

/// `12.3`, `0.45`, `1234`: three digits tell enough of a latency.
pub fn ms(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(ms) if ms < 9.995 => format!("{ms:.2}"),
        Some(ms) if ms < 99.95 => format!("{ms:.1}"),
        Some(ms) => format!("{ms:.0}"),
    }
}

/// A share of 1 as `99.95%`; never rounded up to 100.
pub fn percent(share: Option<f64>) -> String {
    match share {
        None => "-".to_owned(),
        Some(share) if share >= 1.0 => "100%".to_owned(),
        Some(share) => format!("{:.2}%", (share * 10_000.0).floor() / 100.0),
    }
}

pub fn whole(value: Option<u64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(width: Option<usize>, colours: bool) -> String {
        let columns = [
            Column { title: "provider", is_number: false, drop: 0 },
            Column { title: "calls", is_number: true, drop: 0 },
            Column { title: "probe", is_number: true, drop: 1 },
        ];
        let row = |id: &str, calls: &str| vec![Cell::toned(id, Tone::Good), calls.to_owned().into(), "1".to_owned().into()];
        render(&columns, &[row("a", "12"), row("a-long-provider-id", "3")], Paper { width, colours })
    }

    #[test]
    fn tables() {
        let check = |width, want: &str| assert_eq!(table(width, false), want, "{width:?}");
        let whole = "provider            calls  probe\na                      12      1\na-long-provider-id      3      1\n";
        check(None, whole);
        check(Some(32), whole);
        check(Some(31), "provider            calls\na                      12\na-long-provider-id      3\n");
        check(Some(20), "provider       calls\na                 12\na-long-provi…      3\n");
        assert!(table(None, true).contains("\x1b[32ma\x1b[0m  ") && !table(None, false).contains('\x1b'));
    }

    #[test]
    fn numbers() {
        let texts = [ms(None), ms(Some(0.4567)), ms(Some(9.996)), ms(Some(12.34)), ms(Some(99.96)), ms(Some(1234.5))];
        assert_eq!(texts, ["-", "0.46", "10.0", "12.3", "100", "1234"]);
        assert_eq!([None, Some(1.0), Some(0.99999), Some(0.0)].map(percent), ["-", "100%", "99.99%", "0.00%"]);
    }
}
