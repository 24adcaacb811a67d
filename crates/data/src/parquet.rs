//! Parquet: shards of `datasets` (Hugging Face) with the bytes of images, and tables that name image files.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row as ParquetRow};
use serde_json::{Map, Value};

use super::image_resolver::ImageResolver;
use super::image_source::{ContentHash, ImageSource};
use super::options::{GivenSplit, SourceOptions};
use super::parquet_cell::{ImageColumn, ParquetCell, damaged, guarded};
use super::parquet_layout::{ImageField, Layout};
use super::parsed_source::{ParsedCaption, ParsedSource, Record, plain};
use super::record_builder::{RecordBuilder, Row};
use super::split::Split;
use gxn_base::words::{counted, first_few};
use gxn_base::{Error, Result};

/// The column of captions' ids.
pub(super) const CAPTION_IDS: &str = "caption_ids";
/// Columns that tell images apart.
const ID: [&str; 5] = ["id", "image_id", "img_id", "imgid", "cocoid"];

/// One file of a dataset.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ParquetShard {
    pub path: PathBuf,
    /// Its name in the ids of its images: distinct.
    pub name: String,
    /// The split that its name tells.
    pub split: Option<String>,
}

/// Reads the shards in order. An image's id is its column `id` or `image_id`, else its `path` where no other image has
/// it, else `SHARD#ROW`. Of several shards a damaged one is dropped by name.
///
/// # Errors
/// No columns for image and caption; the only shard cannot be read.
pub(super) fn read(shards: &[ParquetShard], options: &SourceOptions) -> Result<ParsedSource> {
    let parsed = ParsedSource::new("Parquet");
    let mut reader = Reader { parsed, options, ids: HashMap::new(), paths: Vec::new(), restval: HashSet::new() };
    let (mut rows, mut ignored) = (0, BTreeSet::new());
    for shard in shards {
        match reader.read_shard(shard, &mut ignored) {
            Ok(count) => rows += count,
            Err(error) if shards.len() == 1 => return Err(error),
            Err(error) => {
                reader.parsed.account.drop(shard.path.display().to_string(), error.to_string());
                // Which images it holds is not known: none may be taken for gone.
                reader.parsed.account.unread.push(String::new());
            }
        }
    }
    let mut found = format!("{} with {}", counted(shards.len(), "shard"), counted(rows, "row"));
    if !ignored.is_empty() {
        let names: Vec<&String> = ignored.iter().collect();
        found += &format!("; columns that are not kept: {}", first_few(&names));
    }
    reader.parsed.account.found.push(found);
    reader.parsed.account.exclude_restval(reader.restval.len());
    reader.name_by_path();
    Ok(reader.parsed)
}

struct Reader<'a> {
    parsed: ParsedSource,
    options: &'a SourceOptions,
    /// Given id → its record, the shard, and the content once it was compared.
    ids: HashMap<String, (usize, String, Option<ContentHash>)>,
    /// Records without a given id and their `path`.
    paths: Vec<(usize, String)>,
    /// Images of the split restval, which the options leave out.
    restval: HashSet<String>,
}

/// Whose an id is.
enum Claim {
    New,
    /// Of the same image, in this record.
    Same(usize),
    /// Of another image.
    Other,
}

impl Reader<'_> {
    /// Reads a shard and returns its number of rows.
    fn read_shard(&mut self, shard: &ParquetShard, ignored: &mut BTreeSet<String>) -> Result<usize> {
        let what = shard.path.display().to_string();
        let fail = |error| Error::io("cannot read", &shard.path, error);
        let file = File::open(&shard.path).map_err(fail)?;
        let length = file.metadata().map_err(fail)?.len();
        if length == 0 {
            let hint = "copy or download the file again";
            return Err(Error::invalid(what, "an empty file", "a complete Parquet file").with_hint(hint));
        }
        let reader = guarded(|| SerializedFileReader::new(file)).map_err(|error| damaged(what.clone(), &error))?;
        let metadata = Arc::new(reader.metadata().clone());
        let layout = Layout::find(&metadata, &what, &self.options.csv)?;
        layout.require_codecs(&metadata, &what)?;
        ignored.extend(layout.ignored.iter().cloned());
        match layout.image {
            ImageField::File { .. } => self.read_table(shard, &reader, layout),
            ImageField::Bytes { leaf, .. } => {
                let column = Arc::new(ImageColumn { path: shard.path.clone(), length, metadata, leaf });
                self.read_images(shard, &reader, &layout, &column)
            }
        }
    }

    fn read_images(
        &mut self,
        shard: &ParquetShard,
        reader: &dyn FileReader,
        layout: &Layout,
        column: &Arc<ImageColumn>,
    ) -> Result<usize> {
        for_each_row(shard, reader, layout, |group, row, row_in_file, mut object| {
            let path = take_path(&mut object, layout.image.name());
            let cell = ParquetCell {
                column: column.clone(),
                group,
                row_in_group: row,
                row_in_file,
                name: path.clone().unwrap_or_default().into(),
            };
            self.add(shard, ImageSource::ParquetCell(cell), path, object, layout);
        })
    }

    fn add(
        &mut self,
        shard: &ParquetShard,
        source: ImageSource,
        path: Option<String>,
        mut object: Map<String, Value>,
        layout: &Layout,
    ) {
        let place = match &source {
            ImageSource::ParquetCell(cell) => format!("{}#{}", shard.name, cell.row_in_file),
            other => other.to_string(),
        };
        let mut captions = self.take_captions(&place, &mut object, layout);
        if let Some(Value::Array(ids)) = object.shift_remove(CAPTION_IDS)
            && ids.len() == captions.len()
        {
            captions.iter_mut().zip(&ids).for_each(|(caption, id)| caption.id = Some(plain(id)));
        }
        if let Some(Value::String(meta)) = object.get("meta")
            && let Ok(Value::Object(meta)) = serde_json::from_str(meta)
        {
            object.shift_remove("meta");
            object.extend(meta);
        }
        let given = ID.into_iter().find_map(|key| object.shift_remove(key)).map(|id| plain(&id));
        let split = match self.split(object.shift_remove("split"), shard) {
            Ok(GivenSplit::None) => None,
            Ok(GivenSplit::Of(split)) => Some(split),
            Ok(GivenSplit::LeftOut) => {
                self.restval.insert(given.unwrap_or(place));
                return;
            }
            Err(reason) => return self.parsed.account.drop(place, reason),
        };
        let id = match (given, path) {
            (Some(given), _) => match self.claim(&given, &shard.name, split, &source) {
                Claim::New => given,
                Claim::Same(first) => return self.parsed.records[first].captions.extend(captions),
                // Shards and splits are often numbered from zero each.
                Claim::Other => place,
            },
            (None, Some(path)) => {
                self.paths.push((self.parsed.records.len(), path));
                place
            }
            (None, None) => place,
        };
        self.parsed.records.push(Record { id, source, split, captions, meta: object });
    }

    /// Whose the id is. One row for each caption repeats the image; only in one shard and split is that looked for.
    fn claim(&mut self, id: &str, shard: &str, split: Option<Split>, source: &ImageSource) -> Claim {
        let Some((first, of, _)) = self.ids.get(id) else {
            self.ids.insert(id.to_owned(), (self.parsed.records.len(), shard.to_owned(), None));
            return Claim::New;
        };
        let first = *first;
        let is_near = of == shard && self.parsed.records[first].split == split;
        if is_near && self.is_same_image(id, source) { Claim::Same(first) } else { Claim::Other }
    }

    /// Whether the image is, byte for byte, that of the record that has this id.
    fn is_same_image(&mut self, id: &str, source: &ImageSource) -> bool {
        let Some((first, _, content)) = self.ids.get_mut(id) else { return false };
        if content.is_none() {
            *content = self.parsed.records[*first].source.content_hash().ok();
        }
        content.is_some() && *content == source.content_hash().ok()
    }

    /// The captions of a row: strings, lists of them, or objects with `raw`.
    fn take_captions(&mut self, place: &str, object: &mut Map<String, Value>, layout: &Layout) -> Vec<ParsedCaption> {
        let (mut captions, mut others) = (Vec::new(), 0);
        let mut open: Vec<Value> = layout.captions.iter().rev().filter_map(|name| object.shift_remove(name)).collect();
        while let Some(value) = open.pop() {
            match value {
                Value::String(text) => captions.push(ParsedCaption::new(&text)),
                Value::Array(values) => open.extend(values.into_iter().rev()),
                Value::Object(mut fields) => {
                    match ["raw", "caption", "text"].iter().find_map(|key| fields.shift_remove(*key)) {
                        Some(text) => open.push(text),
                        None => others += 1,
                    }
                }
                _ => others += 1,
            }
        }
        if others > 0 {
            self.parsed.account.drop(format!("{} of {place}", counted(others, "caption")), "not a string");
        }
        captions
    }

    /// The split in a row, else that of the shard.
    fn split(&self, given: Option<Value>, shard: &ParquetShard) -> std::result::Result<GivenSplit, String> {
        let given = given.as_ref().map(plain).filter(|split| !split.trim().is_empty());
        self.options.given_split(given.as_deref().or(shard.split.as_deref()))
    }

    /// A table of file names, which are looked up beside it.
    fn read_table(&mut self, shard: &ParquetShard, reader: &dyn FileReader, layout: Layout) -> Result<usize> {
        let resolver = ImageResolver::new(&shard.path, self.options.images.as_deref(), &[])?;
        let mut builder = RecordBuilder::new("Parquet", resolver, self.options);
        let folder = shard.name.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        let rows = for_each_row(shard, reader, &layout, |_, _, row, mut object| {
            let place = format!("{}#{row}", shard.name);
            let name = take_path(&mut object, layout.image.name());
            let Some(image) = name.or_else(|| object.shift_remove(layout.image.name()).as_ref().map(plain)) else {
                return builder.drop(place, "no image file");
            };
            let captions = self.take_captions(&place, &mut object, &layout);
            let id = ID.into_iter().find_map(|key| object.shift_remove(key)).map(|id| plain(&id));
            let id = Some(id.unwrap_or_else(|| format!("{folder}{image}")));
            let split = object.shift_remove("split").as_ref().map(plain).or_else(|| shard.split.clone());
            builder.add(Row { image, id, split, captions, meta: object });
        })?;
        let mut table = builder.finish(String::new());
        table.account.found.clear(); // counted with all shards
        self.parsed.records.extend(table.records);
        self.parsed.account.append(table.account);
        Ok(rows)
    }

    /// `path` names an image that no other has it in common with.
    fn name_by_path(&mut self) {
        let mut count: HashMap<&str, usize> = HashMap::new();
        self.paths.iter().for_each(|(_, path)| *count.entry(path).or_default() += 1);
        for (at, path) in &self.paths {
            if count[path.as_str()] == 1 && !self.ids.contains_key(path) {
                self.parsed.records[*at].id.clone_from(path);
            }
        }
    }
}

/// Hands every row over: its row group, its place there and in the file, and its columns.
fn for_each_row(
    shard: &ParquetShard,
    reader: &dyn FileReader,
    layout: &Layout,
    mut take: impl FnMut(usize, usize, usize, Map<String, Value>),
) -> Result<usize> {
    let fail = |error| damaged(shard.path.display().to_string(), &error);
    let mut count = 0;
    for group in 0..reader.num_row_groups() {
        let rows = guarded(|| reader.get_row_group(group)).map_err(fail)?;
        let mut rows = guarded(|| RowIter::from_row_group(Some(layout.rows.clone()), &*rows)).map_err(fail)?;
        let mut row = 0;
        while let Some(found) = guarded(|| rows.next().transpose()).map_err(fail)? {
            take(group, row, count, object(&found));
            (row, count) = (row + 1, count + 1);
        }
    }
    Ok(count)
}

/// The field `path` of the image's column.
fn take_path(object: &mut Map<String, Value>, image: &str) -> Option<String> {
    let path = object.get_mut(image)?.as_object_mut()?.shift_remove("path")?;
    object.shift_remove(image);
    path.as_str().filter(|path| !path.is_empty()).map(str::to_owned)
}

fn object(row: &ParquetRow) -> Map<String, Value> {
    row.get_column_iter().map(|(name, field)| (name.clone(), json(field))).filter(|(_, v)| !v.is_null()).collect()
}

fn json(field: &Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(value) => (*value).into(),
        Field::Byte(value) => (*value).into(),
        Field::Short(value) => (*value).into(),
        Field::Int(value) => (*value).into(),
        Field::Long(value) => (*value).into(),
        Field::UByte(value) => (*value).into(),
        Field::UShort(value) => (*value).into(),
        Field::UInt(value) => (*value).into(),
        Field::ULong(value) => (*value).into(),
        Field::Float16(value) => f64::from(*value).into(),
        Field::Float(value) => f64::from(*value).into(),
        Field::Double(value) => (*value).into(),
        Field::Str(text) => text.clone().into(),
        Field::Bytes(bytes) => String::from_utf8_lossy(bytes.data()).into(),
        Field::Group(row) => Value::Object(object(row)),
        Field::ListInternal(list) => list.elements().iter().map(json).collect(),
        // Dates, times and decimals.
        other => other.to_string().into(),
    }
}

#[cfg(test)]
#[path = "parquet_tests.rs"]
mod tests;
