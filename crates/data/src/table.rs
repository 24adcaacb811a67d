//! Tables: Flickr's `.token`, and CSV or TSV with a header.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;

use super::image_resolver::ImageResolver;
use super::image_source::has_image_extension;
use super::options::{CsvColumns, SourceOptions};
use super::parsed_source::{ParsedCaption, ParsedSource};
use super::record_builder::{RecordBuilder, Row};
use super::table_rows::{Doubt, OpenQuote, Quotes, TableRow, TableRows};
use gxn_base::text::read_text;
use gxn_base::{Error, Kind, Remedy, Result};

const IMAGE: [&str; 13] = [
    "filepath",
    "image",
    "image_path",
    "file_name",
    "filename",
    "image_name",
    "img",
    "path",
    "image_file",
    "img_path",
    "img_name",
    "image_filename",
    "file",
];
const CAPTION: [&str; 11] = [
    "title",
    "caption",
    "text",
    "comment",
    "sentence",
    "description",
    "raw",
    "captions",
    "sentences",
    "prompt",
    "alt_text",
];
const SEPARATORS: [char; 4] = ['\t', '|', ';', ','];

/// Whether `line` reads `name.jpg#0<TAB>caption`.
pub(super) fn is_token_line(line: &str) -> bool {
    split_token_line(line).is_some()
}

fn split_token_line(line: &str) -> Option<(&str, &str, &str)> {
    let (key, caption) = line.split_once('\t')?;
    let (name, number) = key.rsplit_once('#')?;
    (!name.is_empty() && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
        .then_some((name, number, caption))
}

/// Flickr8k's and Flickr30k's `name.jpg#0<TAB>caption`. Splits come from `…trainImages.txt`, `…devImages.txt` and
/// `…testImages.txt` beside the file, if they are there.
pub(super) fn read_token(path: &Path, text: &str, options: &SourceOptions) -> Result<ParsedSource> {
    let splits = official_splits(path)?;
    let mut builder =
        RecordBuilder::new("Flickr token file", ImageResolver::new(path, options.images.as_deref(), &[])?, options);
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let Some((image, number, caption)) = split_token_line(line) else {
            builder.drop(format!("line {}", at + 1), "not `name.jpg#0<TAB>caption`");
            continue;
        };
        builder.add(Row {
            image: image.to_owned(),
            split: splits.get(image).map(|split| (*split).to_owned()),
            captions: vec![ParsedCaption { id: Some(format!("{image}#{number}")), text: caption.to_owned() }],
            ..Row::default()
        });
    }
    Ok(builder.finish(gxn_base::words::counted(text.lines().count(), "line")))
}

fn official_splits(path: &Path) -> Result<HashMap<String, &'static str>> {
    let mut splits = HashMap::new();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    for entry in std::fs::read_dir(folder).map_err(|error| Error::io("cannot read", folder, error))?.flatten() {
        let name = entry.file_name().to_string_lossy().to_ascii_lowercase();
        for (ending, split) in [("trainimages.txt", "train"), ("devimages.txt", "val"), ("testimages.txt", "test")] {
            if name.ends_with(ending) && !name.starts_with('.') {
                let list = read_text(&entry.path())?;
                splits.extend(list.lines().map(|line| (line.trim().to_owned(), split)));
            }
        }
    }
    Ok(splits)
}

/// Positions of the columns in a table, and what separates them.
#[derive(Debug)]
pub(super) struct Header {
    separator: char,
    names: Vec<String>,
    image: usize,
    caption: usize,
}

impl Header {
    /// Finds the columns in the first line; `None` when it has none of the known names.
    ///
    /// # Errors
    /// Columns named by the user are absent, or the images are given by address (`url`).
    pub fn find(path: &Path, line: &str, columns: &CsvColumns) -> Result<Option<Self>> {
        let seen = |c: &char| line.contains(*c);
        let separator = columns.separator.or_else(|| SEPARATORS.into_iter().find(seen)).unwrap_or(',');
        let names: Vec<String> =
            line.split(separator).map(|name| name.trim().trim_matches('"').trim().to_owned()).collect();
        let place = |wanted: &str| names.iter().position(|name| name.eq_ignore_ascii_case(wanted));
        let pick = |given: &Option<String>, usual: &[&str]| match given {
            Some(name) => place(name),
            None => usual.iter().find_map(|name| place(name)),
        };
        let (image, caption) = (pick(&columns.image, &IMAGE), pick(&columns.caption, &CAPTION));
        let complain = |kind: Kind, expected: String| {
            Error::new(kind, path.display().to_string(), format!("columns {}", names.join(", ")), expected)
        };
        if let (None, Some(_)) = (image, place("url")) {
            return Err(complain(Kind::Unsupported, "a column of image files".into())
                .with_hint("nothing is downloaded: fetch the images first, for example with img2dataset"));
        }
        if let (Some(image), Some(caption)) = (image, caption)
            && image != caption
        {
            return Ok(Some(Self { separator, names, image, caption }));
        }
        let named = columns.image.iter().chain(&columns.caption).map(String::as_str).collect::<Vec<_>>();
        if named.is_empty() && (names.len() < 2 || image.is_none() && caption.is_none()) {
            return Ok(None);
        }
        let wanted = match named[..] {
            [] => "a column for images (image, filepath, …) and one for captions (caption, title, text, …)".to_owned(),
            _ => format!("the columns {}", named.join(" and ")),
        };
        Err(complain(Kind::Invalid, wanted).with_remedy(Remedy::NameColumns))
    }
}

/// A table with a header: one caption a row, or a JSON list of them; `split`, `id` (or `image_id`) and `caption_id` are
/// understood, all other columns become the image's meta.
pub(super) fn read_table(path: &Path, text: &str, header: Header, options: &SourceOptions) -> Result<ParsedSource> {
    let (format, quotes) = match header.separator {
        '\t' => ("TSV", Quotes::IfClosed),
        // Flickr30k's results.csv has stray quotes.
        '|' => ("CSV", Quotes::Never),
        _ => ("CSV", Quotes::Always),
    };
    let mut builder = RecordBuilder::new(format, ImageResolver::new(path, options.images.as_deref(), &[])?, options);
    let is_row = |line: &str| has_image_extension(Path::new(header.image_of(line)));
    let mut rows = TableRows::new(text, header.separator, quotes, &is_row);
    let mut count = 0;
    let open_quote = |OpenQuote(line)| {
        let found = "a quote that opens a cell and does not close at the end of one";
        Error::invalid(format!("{}, line {line}", path.display()), found, "a closed quote")
            .with_hint("close it; where it belongs to the text, put the cell into quotes and double the quotes inside")
    };
    rows.next().map_err(open_quote)?; // the header
    while let Some(row) = rows.next().map_err(open_quote)? {
        count += 1;
        for doubt in &row.doubts {
            header.report(doubt, &mut builder, quotes);
        }
        match header.parse(&row) {
            Ok(row) => builder.add(row),
            Err(reason) => {
                let image = row.cells.get(header.image).map_or("", |cell| cell.trim());
                builder.drop(format!("line {} ({image})", row.line), reason);
                builder.unread(image);
            }
        }
    }
    Ok(builder.finish(gxn_base::words::counted(count, "row") + &header.choice()))
}

impl Header {
    /// Which columns were chosen among several that could be meant; empty where there was no choice.
    fn choice(&self) -> String {
        let others = |usual: &[&str]| -> Vec<String> {
            let known = |name: &&String| usual.iter().any(|usual| name.eq_ignore_ascii_case(usual));
            let own = [&self.names[self.image], &self.names[self.caption]];
            let others = self.names.iter().filter(known).filter(|name| !own.contains(name));
            others.map(|name| format!("`{name}`")).collect()
        };
        let mut text = String::new();
        for (what, chosen, usual, flag) in [
            ("images", self.image, &IMAGE[..], "--csv-img-key"),
            ("captions", self.caption, &CAPTION[..], "--csv-caption-key"),
        ] {
            let others = others(usual);
            if !others.is_empty() {
                let others = others.join(", ");
                text += &format!("; {what} from `{}` and not from {others} ({flag} takes another)", self.names[chosen]);
            }
        }
        text
    }

    /// What a row says of an image, or why it says nothing.
    fn parse(&self, cells: &TableRow<'_>) -> std::result::Result<Row, String> {
        let width = self.names.len();
        let extra = cells.cells.iter().skip(width).any(|cell| !cell.trim().is_empty());
        // A separator inside a caption in the last column need not be quoted.
        let is_long = extra && self.caption + 1 == width;
        if cells.cells.len() <= self.image.max(self.caption) || extra && !is_long {
            let columns = gxn_base::words::counted(cells.cells.len(), "column");
            return Err(format!("{columns} where the header has {width}"));
        }
        let mut row = Row { image: cells.cells[self.image].trim().to_owned(), ..Row::default() };
        let caption = if is_long { cells.rest(self.caption) } else { &cells.cells[self.caption] };
        let mut caption_id = None;
        let mut further = Vec::new();
        for (at, name) in self.names.iter().enumerate().filter(|(at, _)| ![self.image, self.caption].contains(at)) {
            let Some(value) = cells.cells.get(at).map(|cell| cell.trim()).filter(|value| !value.is_empty()) else {
                continue;
            };
            match name.to_ascii_lowercase().as_str() {
                "split" => row.split = Some(value.to_owned()),
                "id" | "image_id" => row.id = Some(value.to_owned()),
                "caption_id" => caption_id = Some(value.to_owned()),
                _ if name.eq_ignore_ascii_case(&self.names[self.caption]) => further.extend(captions_of(value)),
                "" => {} // the index column of pandas
                _ => drop(row.meta.insert(name.clone(), Value::from(value))),
            }
        }
        row.captions = captions_of(caption);
        if let [caption] = &mut row.captions[..] {
            caption.id = caption_id;
        }
        row.captions.append(&mut further);
        Ok(row)
    }

    /// The image that a line would name if it were a row.
    fn image_of<'a>(&self, line: &'a str) -> &'a str {
        line.split(self.separator).nth(self.image).unwrap_or_default().trim().trim_matches('"')
    }

    /// Enters a doubtful quote in the account. What was taken for text may be rows, whose images are not known to be gone.
    fn report(&self, doubt: &Doubt<'_>, builder: &mut RecordBuilder<'_>, quotes: Quotes) {
        match doubt {
            Doubt::Text { line } => builder
                .warn(format!("line {line}: a quote opens a cell and does not close; it is taken as part of the text")),
            Doubt::Spans { opened, closed, rows } => {
                let lines = gxn_base::words::counted(rows.len(), "line");
                let taken = if quotes == Quotes::Always { "the text of one cell" } else { "rows" };
                builder.warn(format!(
                    "lines {opened} to {closed}: the quote that opens in line {opened} closes in line {closed}, and {lines} \
                     between look like rows; they are taken as {taken}"
                ));
                let swallowed = rows.iter().filter(|_| quotes == Quotes::Always);
                swallowed.for_each(|line| builder.unread(self.image_of(line)));
            }
        }
    }
}

/// One caption, or those of a JSON list of texts, as tables made from Hugging Face's have them.
fn captions_of(cell: &str) -> Vec<ParsedCaption> {
    let cell = cell.trim();
    let listed = cell.starts_with('[').then(|| serde_json::from_str::<Vec<String>>(cell).ok()).flatten();
    match listed {
        Some(texts) => texts.iter().map(|text| ParsedCaption::new(text)).collect(),
        None => vec![ParsedCaption::new(cell)],
    }
}
