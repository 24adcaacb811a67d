//! [`refresh`]: makes an index, or brings it up to date with its source.

use std::path::{Path, PathBuf};
use std::time::Instant;

use gxn_base::{Error, Kind, Progress, Remedy, Result};
use gxn_data::{Account, Dataset};
use gxn_index::{IndexSettings, IndexWriter, Modality, Similarity, VectorStoreWriter};

use super::discovery::{Discovery, dataset_root};
use super::indexer::Indexer;
use super::location::{IndexPlace, real};
use super::options::{IndexOptions, Resolved};
use super::provenance::{Provenance, SourceKind};
use super::report::IndexReport;
use super::shard::Shard;
use super::source::Source;
use crate::encoder::Encoder;

/// Makes the index of `source` at `place`, or brings it up to date: what is new or changed is encoded, what is
/// gone is deleted, what has another name is linked to the embedding it has. The source is a dataset or a folder of
/// images, which is found out. An index of another model serves until the new one is whole.
///
/// What is done is committed every half minute and when `progress` cancels; the same call goes on from there.
///
/// # Errors
/// As [`Refresh::plan`] and [`Refresh::run`].
pub fn refresh(
    encoder: &Encoder,
    source: &Path,
    place: impl Into<IndexPlace>,
    options: &IndexOptions,
    progress: &dyn Progress,
) -> Result<IndexReport> {
    Refresh::plan(source, place, options)?.run(encoder, progress)
}

/// Texts that are encoded to fit the tables of order similarity.
const SAMPLE_TEXTS: usize = 256;

/// A [`refresh`] in two steps, for programs that show which stored options hold before the work begins.
#[derive(Debug)]
pub struct Refresh {
    source: PathBuf,
    place: IndexPlace,
    resolved: Resolved,
    before: Option<Before>,
}

/// What the index is before.
#[derive(Debug)]
struct Before {
    model: String,
    provenance: Provenance,
}

impl Refresh {
    /// Reads what the index at `place` is of, if there is one, and brings the options that it stores to where `options` has
    /// defaults.
    ///
    /// # Errors
    /// When the index is of another source or shard, what it stores is damaged, or its server cannot be reached.
    pub fn plan(source: &Path, place: impl Into<IndexPlace>, options: &IndexOptions) -> Result<Self> {
        let place = place.into();
        let meta = match (place.meta(), &place) {
            (Ok(meta), _) => Some(meta),
            // The writer repairs or refuses what is damaged.
            (Err(_), IndexPlace::Folder(_)) => None,
            (Err(error), IndexPlace::Milvus(_)) if error.kind() == Kind::NotFound => None,
            (Err(error), IndexPlace::Milvus(_)) => return Err(error),
        };
        let before = match meta {
            Some(meta) => Some(Before { provenance: Provenance::of(&place, &meta)?, model: meta.model }),
            None => None,
        };
        let stored = match &before {
            Some(before) if !options.replace_source => before.provenance.options()?,
            _ => None,
        };
        let resolved = options.resolve(stored.as_ref())?;
        let plan = Self { source: source.to_path_buf(), place, resolved, before };
        plan.require_same_source()?;
        Ok(plan)
    }

    /// The same source with the same options once more, as the index stores them, for another model. Every file is read.
    ///
    /// # Errors
    /// When there is no index, an older version made it and did not store that, or the source is not there.
    pub fn again(place: impl Into<IndexPlace>) -> Result<Self> {
        let place = place.into();
        let (source, options) = stored(&place)?;
        Self::plan(&source, place, &IndexOptions { reread: true, ..options })
    }

    /// The same source with the same options and the same model: what is damaged in the index is encoded again.
    ///
    /// # Errors
    /// As [`Refresh::again`].
    pub fn repair(place: impl Into<IndexPlace>) -> Result<Self> {
        let place = place.into();
        let (source, options) = stored(&place)?;
        Self::plan(&source, place, &IndexOptions { repair: true, ..options })
    }

    /// The run or checkpoint that made the index, where it was then.
    pub fn model(&self) -> Option<&Path> {
        self.before.as_ref()?.provenance.model.as_deref()
    }

    /// The source.
    pub fn source(&self) -> &Path {
        &self.source
    }

    /// Where the index lies.
    pub fn place(&self) -> &IndexPlace {
        &self.place
    }

    /// The options that count, and where they differ from those given or stored.
    pub fn resolved(&self) -> &Resolved {
        &self.resolved
    }

    /// Does it.
    ///
    /// # Errors
    /// When the source cannot be read or nothing in it, its kind is not that of the index, the index cannot be written, or
    /// `progress` cancels ([`Kind::Interrupted`]).
    pub fn run(&self, encoder: &Encoder, progress: &dyn Progress) -> Result<IndexReport> {
        let start = Instant::now();
        let options = &self.resolved.options;
        let kind_before = self.provenance_to_keep().and_then(|before| before.kind);
        let source = Source::open(&self.source, options, kind_before)?;
        self.require_same_kind(&source)?;
        let mut found = match &source {
            Source::Images(reason) => {
                progress.note(&match reason {
                    Some(reason) => {
                        format!("indexing images without captions; this is not a dataset: {}", reason.in_full())
                    }
                    None => "indexing images without captions".to_owned(),
                });
                let decode_cmd = options.source.decode_cmd.as_ref();
                Discovery::of_folder(&self.source, options.include_hidden, &options.excluded_folders, decode_cmd)?
            }
            Source::Dataset(_) if options.include_hidden || !options.excluded_folders.is_empty() => {
                let what = format!("--exclude-dir or --include-hidden of {}", self.source.display());
                return Err(Error::unsupported(what, "a dataset, images with captions", "a folder of images")
                    .with_hint("--images-only indexes the folder without captions"));
            }
            Source::Dataset(dataset) => {
                let Dataset { name, format, .. } = &**dataset;
                progress.note(&format!("indexing {name} as a dataset ({format}) with its captions"));
                let texts = dataset.captions.iter().map(|caption| caption.text.as_str());
                encoder.note_cut_texts(texts, dataset.account.strict, progress)?;
                Discovery::of_dataset(dataset, &self.source)
            }
        };
        if let Some(shard) = options.shard {
            found = found.of_shard(shard);
        }
        let is_folder = matches!(self.place, IndexPlace::Folder(_));
        if is_folder && self.before.as_ref().is_some_and(|before| before.model != encoder.fingerprint()) {
            progress.note("another model made this index; it serves until the new one is whole");
        }
        let settings = self.settings(encoder, &source);
        let mut writer: Box<dyn VectorStoreWriter> = match &self.place {
            IndexPlace::Folder(dir) if options.repair => Box::new(IndexWriter::repair(dir, settings)?),
            place => place.update(settings, || sample_texts(encoder, &source))?,
        };
        writer.expect(&|id| options.shard.is_none_or(|shard| shard.has(id)))?;
        let mut indexer = Indexer::new(encoder, writer, &found, source.dataset(), options, progress);
        if options.repair {
            indexer.repair()?;
        }
        if let Err(error) = indexer.encode() {
            if error.kind() == Kind::Interrupted {
                indexer.commit()?;
            }
            return Err(error);
        }
        indexer.remove_gone(options.replace_source)?;
        let (index, mut report) = indexer.finish()?;
        (report.images, report.captions) = (index.count(Modality::Image), index.count(Modality::Text));
        report.kind = source.kind();
        report.account = source.dataset().map_or_else(Account::default, |dataset| dataset.account.clone());
        let strict = options.source.strict;
        let unreadable = Account { dropped: report.dropped.clone(), strict, ..Account::default() };
        unreadable.require_clean(&self.source.display().to_string())?;
        report.seconds = start.elapsed().as_secs_f64();
        Ok(report)
    }

    /// Where the index comes from, unless that may be replaced.
    fn provenance_to_keep(&self) -> Option<&Provenance> {
        Some(&self.before.as_ref().filter(|_| !self.resolved.options.replace_source)?.provenance)
    }

    /// Refuses to delete an index's images for those of another source.
    fn require_same_source(&self) -> Result<()> {
        let Some(Before { provenance, .. }) = &self.before else { return Ok(()) };
        let options = &self.resolved.options;
        let Some(before) = provenance.source.as_ref().or(provenance.root.as_ref()) else { return Ok(()) };
        let now = real(&self.source);
        // In a server all shards share one index.
        let is_same_shard = provenance.shard == options.shard || matches!(self.place, IndexPlace::Milvus(_));
        if options.replace_source || (before == &now && is_same_shard) {
            return Ok(());
        }
        let name = |path: &Path, shard: Option<Shard>| match shard {
            Some(shard) => format!("shard {shard} of {}", path.display()),
            None => path.display().to_string(),
        };
        let what = format!("source of the index {}", self.place);
        Err(Error::conflict(what, name(&now, options.shard), name(before, provenance.shard))
            .with_remedy(Remedy::ReplaceSource))
    }

    /// Refuses to make plain images of a dataset, which would delete all captions, and the other way round, which would
    /// delete all images without any, and to read a dataset as another format. A folder looks like one or the other by what
    /// lies in it today, and what can be read of it.
    fn require_same_kind(&self, now: &Source) -> Result<()> {
        let Some(before) = self.provenance_to_keep() else { return Ok(()) };
        let conflict = |found: String, expected: String, remedy: Remedy| {
            let what = format!("what the index {} is of", self.place);
            Err(Error::conflict(what, found, format!("{expected}, as before")).with_remedy(remedy))
        };
        match (before.kind, now) {
            (Some(SourceKind::Dataset), Source::Images(_)) => {
                conflict(now.kind().to_string(), SourceKind::Dataset.to_string(), Remedy::FixDataset)
            }
            (Some(SourceKind::Images), Source::Dataset(_)) => {
                conflict(now.kind().to_string(), SourceKind::Images.to_string(), Remedy::KeepImages)
            }
            (_, Source::Dataset(dataset)) => match &before.format {
                Some(format) if *format != dataset.format => {
                    conflict(format!("a dataset ({})", dataset.format), format!("one ({format})"), Remedy::KeepFormat)
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn settings(&self, encoder: &Encoder, source: &Source) -> IndexSettings {
        let (options, kind) = (&self.resolved.options, source.kind());
        let provenance = Provenance {
            model: Some(real(encoder.path())),
            source: Some(real(&self.source)),
            root: match kind {
                SourceKind::Images => Some(self.source.clone()),
                SourceKind::Dataset => dataset_root(&self.source),
            },
            kind: Some(kind),
            format: source.dataset().map(|dataset| dataset.format.clone()),
            shard: options.shard.filter(|_| matches!(self.place, IndexPlace::Folder(_))),
            ..Provenance::default()
        };
        let extra = provenance.with_options(options).to_extra(&self.place);
        IndexSettings { model: encoder.fingerprint().to_string(), space: encoder.space(), extra }
    }
}

/// Embeddings of some captions, or words, to which a server's tables of order similarity are fitted.
fn sample_texts(encoder: &Encoder, source: &Source) -> Result<Vec<f32>> {
    if encoder.space().similarity == Similarity::Cosine {
        return Ok(Vec::new());
    }
    let captions = source.dataset().map_or(&[][..], |dataset| &dataset.captions[..]);
    let mut texts: Vec<&str> = captions.iter().take(SAMPLE_TEXTS).map(|caption| caption.text.as_str()).collect();
    let trained = encoder.trained()?;
    if texts.is_empty() {
        texts = trained.vocabulary().tokens().iter().take(SAMPLE_TEXTS).map(String::as_str).collect();
    }
    let rows = encoder.encode_texts(&texts)?;
    Ok((0..texts.len()).flat_map(|row| rows.joined(row)).collect())
}

/// The source and the options of an index.
fn stored(place: &IndexPlace) -> Result<(PathBuf, IndexOptions)> {
    let Provenance { source, shard, options, .. } = Provenance::of(place, &place.meta()?)?;
    let options = options.as_ref().map(IndexOptions::from_stored).transpose()?;
    let (Some(source), Some(options)) = (source, options) else {
        let what = format!("provenance of {place}");
        return Err(Error::not_found(what, "none", "the source that it was made of")
            .with_hint("an older version of this program made it: index the source again, with the new model"));
    };
    std::fs::metadata(&source).map_err(|e| Error::io("cannot open", &source, e))?;
    Ok((source, IndexOptions { shard, ..options }))
}
