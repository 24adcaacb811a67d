//! [`TableRows`]: the rows of a table, whose cells may be quoted as RFC 4180 has it.

use std::borrow::Cow;

/// Reads rows one after the other. Blank lines, and lines of separators alone, are skipped.
///
/// A quote opens a cell where the cell begins with it, and closes it where the cell ends behind it; `""` inside is one
/// quote. A cell that begins with a quote but does not end with one is text like any other.
pub(super) struct TableRows<'a> {
    text: &'a str,
    separator: char,
    quotes: Quotes,
    /// Whether a line looks like a row of its own.
    is_row: &'a dyn Fn(&str) -> bool,
    at: usize,
    /// Where the row begins that is being read, and in which line.
    start: usize,
    line: usize,
}

/// What a quote at the start of a cell means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quotes {
    /// Text: nobody quotes between bars.
    Never,
    /// It opens the cell, and must be closed.
    Always,
    /// It opens the cell if it is closed before the next row; else it is text. Most writers of tabs do not quote.
    IfClosed,
}

/// A row.
#[derive(Debug, Default)]
pub(super) struct TableRow<'a> {
    /// Its first line, from 1.
    pub line: usize,
    pub cells: Vec<Cow<'a, str>>,
    /// Where each cell begins in `raw`.
    starts: Vec<usize>,
    raw: &'a str,
    pub doubts: Vec<Doubt<'a>>,
}

/// A quote of which it is not certain what it means.
#[derive(Debug)]
pub(super) enum Doubt<'a> {
    /// It closes in another line, and what lies between looks like rows: these.
    Spans { opened: usize, closed: usize, rows: Vec<&'a str> },
    /// It does not close; it is taken as text.
    Text { line: usize },
}

/// A quote in this line opens a cell and does not close it.
#[derive(Debug)]
pub(super) struct OpenQuote(pub usize);

impl TableRow<'_> {
    /// All from the cell at `column` to the end of the row, as it is written.
    pub fn rest(&self, column: usize) -> &str {
        self.raw[self.starts[column]..].trim()
    }
}

/// How a quote that opens a cell ends.
enum End {
    /// The position of the closing quote.
    Closed(usize),
    /// In the same line text follows the next quote.
    Text,
    Open,
}

impl<'a> TableRows<'a> {
    pub fn new(text: &'a str, separator: char, quotes: Quotes, is_row: &'a dyn Fn(&str) -> bool) -> Self {
        Self { text, separator, quotes, is_row, at: 0, start: 0, line: 1 }
    }

    /// The next row.
    pub fn next(&mut self) -> Result<Option<TableRow<'a>>, OpenQuote> {
        let blank = |c: char| c.is_whitespace() || c == self.separator;
        loop {
            let Some(line) = self.text[self.at..].split_inclusive('\n').next() else { return Ok(None) };
            if !line.chars().all(blank) {
                break;
            }
            (self.at, self.line) = (self.at + line.len(), self.line + 1);
        }
        self.start = self.at;
        let mut row = TableRow { line: self.line, ..TableRow::default() };
        loop {
            row.starts.push(self.at - self.start);
            let cell = self.cell(&mut row.doubts)?;
            row.cells.push(cell);
            if !self.text[self.at..].starts_with(self.separator) {
                break;
            }
            self.at += self.separator.len_utf8();
        }
        row.raw = &self.text[self.start..self.at];
        self.line += row.raw.matches('\n').count() + 1;
        self.at += self.text[self.at..].find('\n').map_or(self.text.len() - self.at, |end| end + 1);
        Ok(Some(row))
    }

    /// The cell that begins here; then `self.at` is at the separator or the end of the line behind it.
    fn cell(&mut self, doubts: &mut Vec<Doubt<'a>>) -> Result<Cow<'a, str>, OpenQuote> {
        let rest = &self.text[self.at..];
        let quoted = self.trim(rest);
        if self.quotes == Quotes::Never || !quoted.starts_with('"') {
            return Ok(self.plain_cell());
        }
        let opened = self.line + self.text[self.start..self.at].matches('\n').count();
        let closed = match self.end_of(quoted) {
            End::Closed(at) => at,
            End::Text => return Ok(self.plain_cell()),
            End::Open if self.quotes == Quotes::Always => return Err(OpenQuote(opened)),
            End::Open => {
                doubts.push(Doubt::Text { line: opened });
                return Ok(self.plain_cell());
            }
        };
        let inside = &quoted[1..closed];
        let rows: Vec<&str> = inside.lines().skip(1).filter(|line| (self.is_row)(line)).collect();
        let is_text = !rows.is_empty() && self.quotes == Quotes::IfClosed;
        if !rows.is_empty() {
            doubts.push(Doubt::Spans { opened, closed: opened + inside.matches('\n').count(), rows });
        }
        if is_text {
            return Ok(self.plain_cell());
        }
        let behind = self.trim(&quoted[closed + 1..]);
        self.at = self.text.len() - behind.len();
        Ok(if inside.contains("\"\"") { inside.replace("\"\"", "\"").into() } else { inside.into() })
    }

    fn plain_cell(&mut self) -> Cow<'a, str> {
        let rest = &self.text[self.at..];
        let cell = &rest[..rest.find([self.separator, '\n']).unwrap_or(rest.len())];
        self.at += cell.len();
        cell.strip_suffix('\r').unwrap_or(cell).into()
    }

    /// Where the cell ends that `quoted` begins with.
    fn end_of(&self, quoted: &str) -> End {
        let mut at = 1;
        while let Some(found) = quoted[at..].find('"') {
            let quote = at + found;
            let behind = &quoted[quote + 1..];
            if behind.starts_with('"') {
                at = quote + 2;
                continue;
            }
            let behind = self.trim(behind);
            return if ends_line(behind) || behind.starts_with(self.separator) {
                End::Closed(quote)
            } else if quoted[..quote].contains('\n') {
                End::Open
            } else {
                End::Text
            };
        }
        End::Open
    }

    /// `text` without the spaces that it begins with, unless they separate cells.
    fn trim<'t>(&self, text: &'t str) -> &'t str {
        if self.separator == ' ' { text } else { text.trim_start_matches(' ') }
    }
}

fn ends_line(text: &str) -> bool {
    text.is_empty() || text == "\r" || text.starts_with('\n') || text.starts_with("\r\n")
}

#[cfg(test)]
#[path = "table_rows_tests.rs"]
mod tests;
