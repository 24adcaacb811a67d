//! Tests of rows and their quotes.

use proptest::prelude::*;

use super::*;

fn looks_like_row(line: &str) -> bool {
    line.contains(".png")
}

fn read(text: &str, separator: char, quotes: Quotes) -> Result<Vec<(usize, Vec<String>)>, usize> {
    let mut rows = TableRows::new(text, separator, quotes, &looks_like_row);
    let mut all = Vec::new();
    while let Some(row) = rows.next().map_err(|OpenQuote(line)| line)? {
        all.push((row.line, row.cells.into_iter().map(Cow::into_owned).collect()));
    }
    Ok(all)
}

fn cells(text: &str) -> Vec<Vec<String>> {
    read(text, ',', Quotes::Always).unwrap().into_iter().map(|(_, cells)| cells).collect()
}

#[test]
fn quoted_and_plain_cells() {
    assert_eq!(cells("a,\"b, c\"\r\nd,\"e \"\"f\"\"\"\r\n"), [["a", "b, c"], ["d", "e \"f\""]]);
    assert_eq!(cells("a, \"b, c\" \n"), [["a", "b, c"]]);
    assert_eq!(cells("a,\"\",\n"), [["a", "", ""]]);
    assert_eq!(cells("a,b \"c\" d"), [["a", "b \"c\" d"]]);
    // A quoted start of a longer text stays as it is.
    assert_eq!(cells("a,\"Stop\" says the sign\n"), [["a", "\"Stop\" says the sign"]]);
    assert_eq!(read("\"a|\"b\n", '|', Quotes::Never).unwrap()[0].1, ["\"a", "\"b"]);
}

#[test]
fn rows_know_their_lines_and_blank_lines_are_skipped() {
    let rows = read("h\n\n,,\na,\"two\nlines\",z\nb\n", ',', Quotes::Always).unwrap();
    let lines: Vec<_> = rows.iter().map(|(line, cells)| (*line, cells.len())).collect();
    assert_eq!(lines, [(1, 1), (4, 3), (6, 1)]);
    assert_eq!(rows[1].1[1], "two\nlines");
}

#[test]
fn what_is_left_of_a_row_is_as_it_was_written() {
    let mut rows = TableRows::new("a,\"Stop\", she said, \"now\"\n", ',', Quotes::Always, &looks_like_row);
    assert_eq!(rows.next().unwrap().unwrap().rest(1), "\"Stop\", she said, \"now\"");
}

#[test]
fn an_open_quote_names_its_line() {
    assert_eq!(read("h,c\na,b\nc,\"open\nd,e\n", ',', Quotes::Always), Err(3));
    // The next quote opens another cell.
    assert_eq!(read("h,c\na,\"open\nb,\"closed\"\n", ',', Quotes::Always), Err(2));
    assert_eq!(read("h,c\na,\"two\nlines\",\"open", ',', Quotes::Always), Err(3));
}

#[test]
fn between_tabs_a_quote_without_an_end_is_text() {
    let text = "h\tc\na.png\t\"open\nb.png\tx \"y\"\n";
    let mut rows = TableRows::new(text, '\t', Quotes::IfClosed, &looks_like_row);
    rows.next().unwrap();
    let row = rows.next().unwrap().unwrap();
    assert_eq!(row.cells, ["a.png", "\"open"]);
    assert!(matches!(row.doubts[..], [Doubt::Text { line: 2 }]), "{:?}", row.doubts);
    assert_eq!(rows.next().unwrap().unwrap().cells, ["b.png", "x \"y\""]);
}

/// What looks like rows between two quotes is a cell between commas, and rows between tabs; both are doubtful.
#[test]
fn a_quote_that_spans_rows_is_doubtful() {
    for (separator, quotes, count) in [(',', Quotes::Always, 2), ('\t', Quotes::IfClosed, 4)] {
        let text = "h,c\na.png,\"open\nb.png,two\nc.png,three\"\n".replace(',', &separator.to_string());
        let mut rows = TableRows::new(&text, separator, quotes, &looks_like_row);
        let (mut all, mut doubts) = (0, Vec::new());
        while let Some(row) = rows.next().unwrap() {
            all += 1;
            doubts.extend(row.doubts);
        }
        assert_eq!(all, count);
        let [Doubt::Spans { opened: 2, closed: 4, rows }] = &doubts[..] else { panic!("{doubts:?}") };
        assert_eq!(rows.len(), 2);
    }
}

proptest! {
    /// What a careful writer writes is what is read, whatever is in the cells.
    #[test]
    fn quoted_cells_come_back(table in proptest::collection::vec(proptest::collection::vec("[a\", \n\r\té|]{0,6}", 2), 1..6)) {
        let quoted = |cell: &String| format!("\"{}\"", cell.replace('"', "\"\""));
        let line = |row: &Vec<String>| row.iter().map(quoted).collect::<Vec<_>>().join(",");
        let text = table.iter().map(line).collect::<Vec<_>>().join("\r\n");
        prop_assert_eq!(cells(&text), table);
    }

    /// Any text is read or refused; nothing of it gets lost: every line belongs to a row or is blank.
    #[test]
    fn any_text_is_read_to_its_end(text in "[ab\",\n\r\t ]{0,60}", tabs: bool) {
        let (separator, quotes) = if tabs { ('\t', Quotes::IfClosed) } else { (',', Quotes::Always) };
        let mut rows = TableRows::new(&text, separator, quotes, &looks_like_row);
        let mut letters = 0;
        let is_letter = |c: &char| c.is_ascii_alphabetic();
        loop {
            match rows.next() {
                Ok(Some(row)) => letters += row.cells.iter().flat_map(|cell| cell.chars().filter(is_letter).collect::<Vec<_>>()).count(),
                Ok(None) => break,
                Err(OpenQuote(line)) => {
                    prop_assert!(!tabs && line <= text.lines().count());
                    return Ok(());
                }
            }
        }
        prop_assert_eq!(letters, text.chars().filter(is_letter).count());
    }
}
