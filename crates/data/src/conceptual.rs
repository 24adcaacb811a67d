//! Tables of two columns without a header, in the shape of Conceptual Captions: `caption<TAB>file`.

use std::path::Path;

use super::image_resolver::ImageResolver;
use super::options::SourceOptions;
use super::parsed_source::{ParsedCaption, ParsedSource};
use super::record_builder::{RecordBuilder, Row};
use super::undecoded::has_any_image_extension;
use gxn_base::{Error, Result};

/// Lines that are read to tell the columns.
const LINES: usize = 20;

/// Which of the two columns has the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Columns {
    CaptionFirst,
    ImageFirst,
}

impl Columns {
    /// Tells the columns by what stands in most of the first lines; `None` where that is no file name.
    ///
    /// # Errors
    /// The second column has web addresses, as in the published file.
    pub fn find(path: &Path, text: &str) -> Result<Option<Self>> {
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).take(LINES).collect();
        let most = |is: &dyn Fn(&str, &str) -> bool| {
            let is = |line: &&&str| line.split_once('\t').is_some_and(|(first, second)| is(first, second.trim()));
            2 * lines.iter().filter(is).count() > lines.len()
        };
        let is_address = |cell: &str| ["http://", "https://"].iter().any(|scheme| cell.starts_with(scheme));
        if most(&|_, second| is_address(second)) {
            let found = "captions with web addresses and no header";
            return Err(Error::unsupported(path.display().to_string(), found, "the names of image files")
                .with_hint("nothing is downloaded: fetch the images first, for example with img2dataset"));
        }
        if most(&|_, second| has_any_image_extension(second)) {
            return Ok(Some(Self::CaptionFirst));
        }
        Ok(most(&|first, _| has_any_image_extension(first)).then_some(Self::ImageFirst))
    }
}

/// Reads one pair a line.
pub(super) fn read(path: &Path, text: &str, columns: Columns, options: &SourceOptions) -> Result<ParsedSource> {
    let resolver = ImageResolver::new(path, options.images.as_deref(), &[])?;
    let mut builder = RecordBuilder::new("TSV without header", resolver, options);
    let mut count = 0;
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        count += 1;
        match line.split('\t').map(str::trim).collect::<Vec<_>>()[..] {
            [first, second] => {
                let (caption, image) = if columns == Columns::CaptionFirst { (first, second) } else { (second, first) };
                let captions = vec![ParsedCaption::new(caption)];
                builder.add(Row { image: image.to_owned(), captions, ..Row::default() });
            }
            ref cells => builder.drop(format!("line {}", at + 1), format!("{} columns in place of 2", cells.len())),
        }
    }
    Ok(builder.finish(format!("{count} lines")))
}

#[cfg(test)]
#[path = "published_tests.rs"]
mod tests;
