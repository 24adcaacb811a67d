//! [`IndexPlace`]: where an index lies, and where its source lies as seen from it.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use gxn_base::{Error, Remedy, Result};
use gxn_index::{Index, IndexMeta, IndexSettings, IndexWriter, VectorStore, VectorStoreWriter};
use gxn_milvus::{MilvusPlace, MilvusStore, MilvusWriter};

use super::shard::Shard;

/// Name of the index's folder inside an indexed folder.
pub const INDEX_FOLDER: &str = ".gxn";

/// Where an index lies: in a folder, or in a [Milvus](https://milvus.io) server.
#[derive(Debug, Clone, PartialEq)]
pub enum IndexPlace {
    /// A folder.
    Folder(PathBuf),
    /// Collections of a server.
    Milvus(Box<MilvusPlace>),
}

impl IndexPlace {
    /// A path, or an address such as `milvus://127.0.0.1:19530/photos`.
    ///
    /// # Errors
    /// When an address is malformed.
    pub fn parse(text: &OsStr) -> Result<Self> {
        match text.to_str().filter(|text| MilvusPlace::is_address(text)) {
            Some(address) => Ok(Self::Milvus(Box::new(address.parse()?))),
            None => Ok(Self::Folder(text.into())),
        }
    }

    /// The index that is meant by a folder, as [`index_at`] finds it.
    ///
    /// # Errors
    /// As [`index_at`]; a server is asked later.
    pub fn at(&self) -> Result<Self> {
        match self {
            Self::Folder(dir) => Ok(Self::Folder(index_at(dir)?)),
            Self::Milvus(_) => Ok(self.clone()),
        }
    }

    /// The index that is meant by a folder, as [`find_index`] finds it.
    ///
    /// # Errors
    /// As [`find_index`]; a server is asked later.
    pub fn find(&self) -> Result<Self> {
        match self {
            Self::Folder(dir) => Ok(Self::Folder(find_index(dir)?)),
            Self::Milvus(_) => Ok(self.clone()),
        }
    }

    /// The folder.
    ///
    /// # Errors
    /// When it is in a server, which cannot `verb` it.
    pub fn require_folder(&self, verb: &str) -> Result<&Path> {
        match self {
            Self::Folder(dir) => Ok(dir),
            Self::Milvus(place) => {
                let (what, expected) = (format!("the index to {verb}"), "an index in a folder");
                Err(Error::unsupported(what, place.to_string(), expected)
                    .with_hint("Milvus looks after its own files; `gxn index copy` brings an index into a folder"))
            }
        }
    }

    /// Opens the index.
    ///
    /// # Errors
    /// When there is none, it is damaged, or its server cannot be reached.
    pub fn open(&self) -> Result<Box<dyn VectorStore>> {
        Ok(match self {
            Self::Folder(dir) => Box::new(Index::open(dir)?),
            Self::Milvus(place) => Box::new(MilvusStore::open(place)?),
        })
    }

    /// Continues the index, or begins one. `sample_texts` are embeddings of some texts, which a server is asked for under order
    /// similarity ([`MilvusWriter::update`]).
    ///
    /// # Errors
    /// When the index is of another model or space, is damaged or being written, or its server cannot be reached; and those of
    /// `sample_texts`.
    pub(super) fn update(
        &self,
        settings: IndexSettings,
        sample_texts: impl FnOnce() -> Result<Vec<f32>>,
    ) -> Result<Box<dyn VectorStoreWriter>> {
        Ok(match self {
            Self::Folder(dir) => Box::new(IndexWriter::update(dir, settings)?),
            Self::Milvus(place) => Box::new(MilvusWriter::update(place, settings, &sample_texts()?)?),
        })
    }

    /// Opens the finished index to change it, whatever model made it ([`IndexWriter::change`]).
    ///
    /// # Errors
    /// When there is none, it is damaged or being written, or its server cannot be reached.
    pub(super) fn change(&self) -> Result<Box<dyn VectorStoreWriter>> {
        if let Self::Folder(dir) = self {
            return Ok(Box::new(IndexWriter::change(dir)?));
        }
        let IndexMeta { model, space, extra, .. } = self.meta()?;
        // An index that is there has its tables.
        self.update(IndexSettings { model, space, extra }, || Ok(Vec::new()))
    }

    /// What the index is made for; of one in a server without its counts.
    ///
    /// # Errors
    /// As [`IndexPlace::open`].
    pub fn meta(&self) -> Result<IndexMeta> {
        match self {
            Self::Folder(dir) => IndexMeta::read(dir),
            Self::Milvus(place) => MilvusStore::read_meta(place)?.ok_or_else(|| MilvusStore::missing(place)),
        }
    }

    /// The folder that stored paths may be relative to.
    pub(super) fn base(&self) -> &Path {
        match self {
            Self::Folder(dir) => dir,
            // A server stores whole paths.
            Self::Milvus(_) => Path::new("/"),
        }
    }
}

impl fmt::Display for IndexPlace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(dir) => dir.display().fmt(out),
            Self::Milvus(place) => place.fmt(out),
        }
    }
}

impl From<&Path> for IndexPlace {
    fn from(dir: &Path) -> Self {
        Self::Folder(dir.to_path_buf())
    }
}

impl From<&PathBuf> for IndexPlace {
    fn from(dir: &PathBuf) -> Self {
        Self::Folder(dir.clone())
    }
}

impl From<PathBuf> for IndexPlace {
    fn from(dir: PathBuf) -> Self {
        Self::Folder(dir)
    }
}

impl From<&IndexPlace> for IndexPlace {
    fn from(place: &IndexPlace) -> Self {
        place.clone()
    }
}

/// The index for `dir`: `dir` itself, its `.gxn`, or the nearest `.gxn` above.
///
/// # Errors
/// When there is none, or one that is being made or was begun and not finished.
pub fn find_index(dir: &Path) -> Result<PathBuf> {
    if let Some(index) = places(dir).into_iter().find(|index| Index::exists(index) || Index::is_begun(index)) {
        return finished(index);
    }
    let start = std::fs::canonicalize(dir).map_err(|e| Error::io("cannot open", dir, e))?;
    let above = || start.ancestors().map(|folder| folder.join(INDEX_FOLDER));
    // One that is complete can answer for what lies below it.
    let nearest = above().find(|index| Index::exists(index)).or_else(|| above().find(|index| Index::is_begun(index)));
    nearest.map_or_else(
        || {
            let what = format!("the index for {}", dir.display());
            Err(Error::not_found(what, "none here or above", format!("a folder `{INDEX_FOLDER}`"))
                .with_remedy(Remedy::MakeIndex))
        },
        finished,
    )
}

/// The index at `path` or in its `.gxn`; unlike [`find_index`] not one further up.
///
/// # Errors
/// When there is none, or one that is being made or was begun and not finished.
pub fn index_at(path: &Path) -> Result<PathBuf> {
    let places = places(path);
    let found = places.iter().find(|dir| Index::exists(dir)).or_else(|| places.iter().find(|dir| Index::is_begun(dir)));
    if let Some(index) = found {
        return finished(index.clone());
    }
    let what = format!("the index in {}", path.display());
    Err(if path.exists() {
        Error::not_found(what, "none", "an index").with_remedy(Remedy::MakeIndex)
    } else {
        Error::not_found(what, "no such folder", "an index").with_hint("check the path")
    })
}

fn places(path: &Path) -> [PathBuf; 2] {
    [path.to_path_buf(), path.join(INDEX_FOLDER)]
}

/// Refuses an index that nobody has finished yet.
fn finished(index: PathBuf) -> Result<PathBuf> {
    if Index::exists(&index) {
        return Ok(index);
    }
    let what = format!("the index {}", index.display());
    if Index::is_being_written(&index) {
        return Err(Error::busy(what, "one that is being made", "a finished one")
            .with_hint("it can be searched as soon as the other program is done"));
    }
    Err(Error::not_found(what, "one whose making was interrupted", "a finished one")
        .with_hint("gxn index SOURCE --model RUN with the same source and model goes on where it stopped"))
}

/// Where the index of a source goes unless another folder is named: `SOURCE/.gxn`, or beside a file; of a shard
/// `.gxn-shard-I-of-N`.
pub fn default_index(source: &Path, shard: Option<Shard>) -> PathBuf {
    let folder = if source.is_dir() { source } else { source.parent().unwrap_or(Path::new(".")) };
    match shard {
        Some(Shard { index, count }) => folder.join(format!("{INDEX_FOLDER}-shard-{index}-of-{count}")),
        None => folder.join(INDEX_FOLDER),
    }
}

/// The path from the root, links resolved where it exists.
pub(super) fn real(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.into())
}

/// The source as seen from the index's folder, so that both can be moved together: `..` where the index lies in it, `../FILE`
/// where it lies beside that file, else the whole path. Links are followed first: what lies above the end of one is another folder.
pub(super) fn seen_from(dir: &Path, source: &Path) -> String {
    let (dir, source) = (real(dir), real(source));
    let above = dir.parent().map(real);
    match (&above, source.parent(), source.file_name()) {
        (Some(above), ..) if *above == source => "..".into(),
        (Some(above), Some(folder), Some(name)) if above == folder && source.is_file() => {
            Path::new("..").join(name).display().to_string()
        }
        _ => source.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use gxn_index::{IndexSettings, IndexWriter, Similarity, Space};

    use super::*;

    fn begin(dir: &Path) -> IndexWriter {
        let space = Space { similarity: Similarity::Cosine, lambda: 0.5, dims_abstract: 1, dims_grounded: 1 };
        let settings = IndexSettings { model: "m".into(), space, extra: Default::default() };
        let mut writer = IndexWriter::create(dir, settings).unwrap();
        writer.commit().unwrap();
        writer
    }

    #[test]
    fn a_source_in_or_beside_the_index_moves_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let photos = root.join("photos");
        std::fs::create_dir_all(photos.join(INDEX_FOLDER)).unwrap();
        std::fs::write(photos.join("data.json"), "{}").unwrap();
        assert_eq!(seen_from(&photos.join(INDEX_FOLDER), &photos), "..");
        assert_eq!(seen_from(&photos.join(INDEX_FOLDER), &photos.join("data.json")), "../data.json");
        assert_eq!(seen_from(&photos.join("not yet"), &photos), "..");
        for elsewhere in [root.join("index"), root.join("elsewhere/index")] {
            assert_eq!(seen_from(&elsewhere, &photos), photos.display().to_string());
        }
    }

    /// An index on another disk: above the end of the link lies no source.
    #[cfg(unix)]
    #[test]
    fn an_index_behind_a_link_stores_the_whole_path_of_its_source() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let (photos, disk) = (root.join("photos"), root.join("disk/index"));
        std::fs::create_dir_all(&photos).unwrap();
        std::fs::create_dir_all(&disk).unwrap();
        std::os::unix::fs::symlink(&disk, photos.join(INDEX_FOLDER)).unwrap();
        assert_eq!(seen_from(&photos.join(INDEX_FOLDER), &photos), photos.display().to_string());
    }

    #[test]
    fn a_meta_json_of_somebody_else_is_no_index() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("meta.json"), r#"{"a": 1}"#).unwrap();
        begin(&folder.path().join(INDEX_FOLDER)).finish().unwrap();
        assert_eq!(index_at(folder.path()).unwrap(), folder.path().join(INDEX_FOLDER));
    }

    #[test]
    fn an_unfinished_index_is_not_none() {
        let folder = tempfile::tempdir().unwrap();
        let (above, below) = (folder.path().join("photos"), folder.path().join("photos/2024/may"));
        std::fs::create_dir_all(&below).unwrap();
        let found = |find: fn(&Path) -> Result<PathBuf>, at: &Path| find(at).unwrap_err().found().unwrap().to_owned();
        assert_eq!(found(find_index, &below), "none here or above");
        let writer = begin(&above.join(INDEX_FOLDER));
        for find in [find_index, index_at] {
            assert_eq!(found(find, &above), "one that is being made");
        }
        assert_eq!(found(find_index, &below), "one that is being made");
        drop(writer);
        for find in [find_index, index_at] {
            assert_eq!(found(find, &above), "one whose making was interrupted");
            assert_eq!(found(find, &above.join(INDEX_FOLDER)), "one whose making was interrupted");
        }
        assert_eq!(found(index_at, &below), "none");
        assert_eq!(found(index_at, &below.join("x")), "no such folder");
        begin(&above.join(INDEX_FOLDER)).finish().unwrap();
        assert_eq!(find_index(&below).unwrap(), above.canonicalize().unwrap().join(INDEX_FOLDER));
        // The finished one answers for a folder in between, but not for the one that is being indexed.
        let writer = begin(&above.join("2024").join(INDEX_FOLDER));
        assert!(find_index(&below).is_ok());
        assert_eq!(found(find_index, &above.join("2024")), "one that is being made");
        drop(writer);
    }
}
