//! [`Layout`]: which columns of a Parquet file hold the image and its captions.

use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, LogicalType, Type as Physical};
use parquet::file::metadata::ParquetMetaData;
use parquet::schema::types::{Type, TypePtr};

use super::options::CsvColumns;
use super::parquet::CAPTION_IDS;
use gxn_base::{Error, Kind, Remedy, Result};

const IMAGE: [&str; 9] = ["image", "img", "jpg", "jpeg", "png", "webp", "picture", "image_bytes", "bytes"];
const FILE: [&str; 6] = ["file_name", "image", "filepath", "image_path", "filename", "path"];
const CAPTION: [&str; 13] = [
    "captions",
    "caption",
    "text",
    "texts",
    "txt",
    "title",
    "sentences",
    "sentence",
    "description",
    "raw",
    "alt_text",
    "answer",
    "original_alt_text",
];

/// Which columns are read as what.
#[derive(Debug)]
pub(super) struct Layout {
    pub image: ImageField,
    /// Names of the columns of captions, in order.
    pub captions: Vec<String>,
    /// The columns that are read with every row: all but bytes and what JSON has no plain form for.
    pub rows: Type,
    /// Names of columns that are not kept.
    pub ignored: Vec<String>,
}

/// Where a row has its image.
#[derive(Debug)]
pub(super) enum ImageField {
    /// Bytes in the leaf column `leaf`, of the root column `name`.
    Bytes { name: String, leaf: usize },
    /// The name of a file, in the root column `name` or its field `path`.
    File { name: String },
}

impl ImageField {
    pub fn name(&self) -> &str {
        let (Self::Bytes { name, .. } | Self::File { name }) = self;
        name
    }
}

impl Layout {
    /// Finds the columns by name and type.
    ///
    /// # Errors
    /// No image, no caption, several that could be meant, or images by address; `what` is the file.
    pub fn find(metadata: &ParquetMetaData, what: &str, columns: &CsvColumns) -> Result<Self> {
        let root = metadata.file_metadata().schema();
        let fields = root.get_fields();
        let names = || fields.iter().map(|field| field.name()).collect::<Vec<_>>().join(", ");
        let complain = |kind, expected: &str| Error::new(kind, what, format!("columns {}", names()), expected);
        let Some(image) = find_image(fields, metadata, columns.image.as_deref()) else {
            let is_there = |name: &str| fields.iter().any(|field| field.name().eq_ignore_ascii_case(name));
            if ["url", "image_url", "URL"].into_iter().any(is_there) {
                return Err(complain(Kind::Unsupported, "a column of image bytes")
                    .with_hint("nothing is downloaded: fetch the images first, for example with img2dataset"));
            }
            return Err(complain(Kind::Invalid, "one column of images: a struct of bytes and path, or file names")
                .with_remedy(Remedy::NameColumns));
        };
        let captions = find_captions(fields, image.name(), columns.caption.as_deref());
        if captions.is_empty() {
            let expected = "a column of captions (caption, captions, text, …): strings or lists of strings";
            return Err(complain(Kind::Invalid, expected).with_remedy(Remedy::NameColumns));
        }
        let (mut kept, mut ignored) = (Vec::new(), Vec::new());
        for field in fields {
            match without_bytes(field, image.name(), &captions) {
                Some(field) => kept.push(field),
                None if field.name() != image.name() => ignored.push(field.name().to_owned()),
                None => {}
            }
        }
        let rows = Type::group_type_builder(root.name()).with_fields(kept).build();
        let rows = rows.map_err(|error| super::parquet_cell::damaged(what.to_owned(), &error))?;
        Ok(Self { image, captions, rows, ignored })
    }

    /// Refuses columns whose pages are compressed as this program does not read; `what` is the file.
    ///
    /// # Errors
    /// Names the first of them.
    pub fn require_codecs(&self, metadata: &ParquetMetaData, what: &str) -> Result<()> {
        let is_kept = |name: &str| self.rows.get_fields().iter().any(|field| field.name() == name);
        let is_image = |leaf: usize| matches!(self.image, ImageField::Bytes { leaf: image, .. } if image == leaf);
        for group in metadata.row_groups() {
            for (leaf, column) in group.columns().iter().enumerate() {
                let name = column.column_path().parts().first().map_or("", String::as_str);
                let codec = match column.compression() {
                    Compression::BROTLI(_) => "brotli",
                    Compression::LZO => "LZO",
                    _ => continue,
                };
                if is_image(leaf) || is_kept(name) {
                    let found = format!("the column {name} compressed with {codec}, which is not read");
                    let hint = "write it again with another compression, in Python: \
                                pyarrow.parquet.write_table(pyarrow.parquet.read_table(\"OLD\"), \"NEW\", compression=\"zstd\")";
                    return Err(Error::unsupported(what, found, "snappy, gzip, zstd, lz4 or none").with_hint(hint));
                }
            }
        }
        Ok(())
    }
}

fn is_text(field: &Type) -> bool {
    let info = field.get_basic_info();
    field.is_primitive()
        && field.get_physical_type() == Physical::BYTE_ARRAY
        && (matches!(info.converted_type(), ConvertedType::UTF8 | ConvertedType::JSON | ConvertedType::ENUM)
            || matches!(info.logical_type_ref(), Some(LogicalType::String | LogicalType::Json | LogicalType::Enum)))
}

fn is_bytes(field: &Type) -> bool {
    field.is_primitive() && field.get_physical_type() == Physical::BYTE_ARRAY && !is_text(field)
}

fn child<'a>(field: &'a Type, name: &str) -> Option<&'a TypePtr> {
    if field.is_primitive() { None } else { field.get_fields().iter().find(|child| child.name() == name) }
}

fn find_image(fields: &[TypePtr], metadata: &ParquetMetaData, given: Option<&str>) -> Option<ImageField> {
    let holds_bytes = |field: &TypePtr| is_bytes(field) || child(field, "bytes").is_some_and(|bytes| is_bytes(bytes));
    let candidates: Vec<&TypePtr> = fields.iter().filter(|field| holds_bytes(field)).collect();
    let named = |wanted: &str| candidates.iter().find(|field| field.name().eq_ignore_ascii_case(wanted)).copied();
    let by_bytes = match given {
        Some(name) => named(name),
        None => {
            IMAGE.into_iter().find_map(named).or(if candidates.len() == 1 { candidates.first().copied() } else { None })
        }
    };
    if let Some(field) = by_bytes {
        let name = field.name().to_owned();
        let parts: Vec<&str> = if field.is_primitive() { vec![&name] } else { vec![&name, "bytes"] };
        let columns = metadata.file_metadata().schema_descr().columns();
        let leaf = columns.iter().position(|column| column.path().parts() == parts)?;
        if child(field, "path").is_some() && is_all_null(metadata, leaf) {
            return Some(ImageField::File { name });
        }
        return Some(ImageField::Bytes { name, leaf });
    }
    let file = |wanted: &str| fields.iter().find(|field| field.name().eq_ignore_ascii_case(wanted) && is_text(field));
    let found = match given {
        Some(name) => file(name),
        None => FILE.into_iter().find_map(file),
    };
    found.map(|field| ImageField::File { name: field.name().to_owned() })
}

/// Whether the footer says that the column holds nothing: the images lie beside the file.
fn is_all_null(metadata: &ParquetMetaData, leaf: usize) -> bool {
    metadata.row_groups().iter().all(|group| {
        let nulls = group.column(leaf).statistics().and_then(|statistics| statistics.null_count_opt());
        nulls.is_some_and(|nulls| i64::try_from(nulls) == Ok(group.num_rows()))
    })
}

/// The column that the user names, else the first usual one, else `caption_0`, `caption_1`, ….
fn find_captions(fields: &[TypePtr], image: &str, given: Option<&str>) -> Vec<String> {
    let usable = || fields.iter().map(|field| field.name()).filter(|name| *name != image);
    let named =
        |wanted: &str| usable().find(|name| name.eq_ignore_ascii_case(wanted)).map(|name| vec![name.to_owned()]);
    if let Some(name) = given {
        return named(name).unwrap_or_default();
    }
    let numbered = || -> Vec<String> {
        let is_numbered = |name: &&str| {
            let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
            stem.len() < name.len() && CAPTION.contains(&stem.trim_end_matches('_'))
        };
        usable().filter(is_numbered).map(str::to_owned).collect()
    };
    CAPTION.into_iter().find_map(named).unwrap_or_else(numbered)
}

/// The part of a column that is read with every row.
fn without_bytes(field: &TypePtr, image: &str, captions: &[String]) -> Option<TypePtr> {
    let is_caption = field.name() == CAPTION_IDS || captions.iter().any(|caption| caption == field.name());
    if is_caption || field.is_primitive() && !is_bytes(field) {
        return Some(field.clone());
    }
    if field.name() == image {
        let path = child(field, "path").filter(|path| is_text(path))?;
        let group = Type::group_type_builder(field.name())
            .with_repetition(field.get_basic_info().repetition())
            .with_fields(vec![path.clone()]);
        return group.build().ok().map(Arc::new);
    }
    None
}
