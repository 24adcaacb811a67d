//! Writes shards as Hugging Face's `datasets` does: a struct of bytes and path, lists of captions, splits in file names.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::Value;

use super::dataset::Dataset;
use super::split::Split;
use gxn_base::fs::write_atomically;
use gxn_base::{Error, Progress, Result};

/// Rows in each row group, as `datasets` writes images.
const GROUP: usize = 100;

const SCHEMA: &str = "message schema {
  required group image { required binary bytes; required binary path (UTF8); }
  required group captions (LIST) { repeated group list { required binary element (UTF8); } }
  required group caption_ids (LIST) { repeated group list { required binary element (UTF8); } }
  required binary id (UTF8);
  required binary meta (UTF8);
}";

/// What tells `datasets` that the structs are images.
const FEATURES: &str = r#"{"info":{"features":{"image":{"_type":"Image"},"captions":{"feature":{"dtype":"string","_type":"Value"},"_type":"Sequence"},"caption_ids":{"feature":{"dtype":"string","_type":"Value"},"_type":"Sequence"},"id":{"dtype":"string","_type":"Value"},"meta":{"dtype":"string","_type":"Value"}}}}"#;

/// Writes `data/train-00000-of-00002.parquet` and so on below `folder`, at most `rows` rows each.
pub(super) fn write_shards(
    data: &Dataset,
    names: &[String],
    rows: usize,
    folder: &Path,
    progress: &dyn Progress,
) -> Result<()> {
    let folder = folder.join("data");
    std::fs::create_dir_all(&folder).map_err(|error| Error::io("cannot write", &folder, error))?;
    for (split, called) in [(Split::Train, "train"), (Split::Val, "validation"), (Split::Test, "test")] {
        let images = data.split_indices(split);
        let count = images.len().div_ceil(rows);
        for (number, shard) in images.chunks(rows).enumerate() {
            let path = folder.join(format!("{called}-{number:05}-of-{count:05}.parquet"));
            let mut failure = None;
            let written = write_atomically(&path, |file| {
                write_shard(data, names, shard, file, progress).map_err(|error| {
                    failure = Some(error);
                    std::io::ErrorKind::Other.into()
                })
            });
            written.map_err(|error| failure.take().unwrap_or(error))?;
        }
    }
    Ok(())
}

fn write_shard(
    data: &Dataset,
    names: &[String],
    images: &[usize],
    file: &mut (impl Write + Send),
    progress: &dyn Progress,
) -> Result<()> {
    let fail = |error: ParquetError| Error::invalid("a Parquet shard", error.to_string(), "one that can be written");
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_dictionary_enabled(false)
        .set_key_value_metadata(Some(vec![KeyValue::new("huggingface".to_owned(), FEATURES.to_owned())]));
    let schema = Arc::new(parse_message_type(SCHEMA).map_err(fail)?);
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties.build())).map_err(fail)?;
    for group in images.chunks(GROUP) {
        if progress.cancelled() {
            return Err(Error::interrupted());
        }
        let columns = columns(data, names, group)?;
        let mut rows = writer.next_row_group().map_err(fail)?;
        for Column { values, first } in &columns {
            let Some(mut column) = rows.next_column().map_err(fail)? else { break };
            let levels = vec![1; values.len()];
            let (define, repeat) = if first.is_empty() { (None, None) } else { (Some(&levels[..]), Some(&first[..])) };
            column.typed::<ByteArrayType>().write_batch(values, define, repeat).map_err(fail)?;
            column.close().map_err(fail)?;
        }
        rows.close().map_err(fail)?;
        progress.update("images", group.last().map_or(0, |at| at + 1), data.images.len());
    }
    writer.close().map_err(fail)?;
    Ok(())
}

/// The values of a column of a row group; of lists also 0 where one begins and 1 where it goes on.
struct Column {
    values: Vec<ByteArray>,
    first: Vec<i16>,
}

/// The columns of the schema, in order.
fn columns(data: &Dataset, names: &[String], group: &[usize]) -> Result<Vec<Column>> {
    let plain = |value: &dyn Fn(usize) -> String| Column {
        values: group.iter().map(|&at| value(at).into_bytes().into()).collect(),
        first: Vec::new(),
    };
    let list = |value: &dyn Fn(usize) -> String| {
        let all = || group.iter().flat_map(|&at| data.captions_of(at));
        let first = group.iter().flat_map(|&at| data.captions_of(at).enumerate().map(|(k, _)| i16::from(k > 0)));
        Column { values: all().map(|at| value(at).into_bytes().into()).collect(), first: first.collect() }
    };
    let bytes = group.iter().map(|&at| data.images[at].source.read().map(ByteArray::from)).collect::<Result<_>>()?;
    let file_name = |at: usize| names[at].strip_prefix("images/").unwrap_or(&names[at]).to_owned();
    Ok(vec![
        Column { values: bytes, first: Vec::new() },
        plain(&file_name),
        list(&|caption| data.captions[caption].text.clone()),
        list(&|caption| data.captions[caption].id.clone()),
        plain(&|at| data.images[at].id.clone()),
        plain(&|at| Value::Object(data.images[at].meta.clone()).to_string()),
    ])
}
