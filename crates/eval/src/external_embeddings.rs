//! [`ExternalEmbeddings`]: embeddings of another program, two npy files with ids or with equal numbers of captions in order.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::embeddings::{Embeddings, LevelEmbeddings, Scoring, check_rows};
use crate::judging::Judging;
use crate::npy::{NpyMatrix, read_npy};
use crate::protocol::{Evaluation, Protocol};
use gxn_base::text::read_text;
use gxn_base::words::{counted, first_few};
use gxn_base::{Error, Remedy, Result, Similarity};

/// The files of external embeddings.
#[derive(Debug, Clone, Default)]
pub struct EmbeddingPaths {
    /// Image rows (npy).
    pub images: PathBuf,
    /// Caption rows (npy), of the same width.
    pub captions: PathBuf,
    /// Ids of the image rows, one per line. Without them the images are called `0`, `1`, ….
    pub image_ids: Option<PathBuf>,
    /// The image's id for every caption row, one per line; needs `image_ids`. Without them every image has equally many
    /// captions, in order.
    pub caption_image_ids: Option<PathBuf>,
}

/// Embeddings of one level, checked, with each caption's image.
#[derive(Debug, Clone, PartialEq)]
pub struct ExternalEmbeddings {
    /// Image rows.
    pub images: NpyMatrix,
    /// Caption rows.
    pub captions: NpyMatrix,
    /// The images' ids.
    pub image_ids: Vec<String>,
    /// For every caption the row of its image.
    pub caption_image: Vec<usize>,
    /// What a reader should know: assumptions made and zero rows.
    pub notes: Vec<String>,
}

impl ExternalEmbeddings {
    /// Reads and checks the files.
    ///
    /// # Errors
    /// When a file is unreadable or malformed, the shapes or ids do not fit together, a value is NaN or infinite (its row
    /// is named), an image row is repeated for every caption, or, for the cosine, a row is zero.
    pub fn read(paths: &EmbeddingPaths, similarity: Similarity) -> Result<Self> {
        let (images, captions) = (read_npy(&paths.images)?, read_npy(&paths.captions)?);
        let (image_name, caption_name) = (paths.images.display().to_string(), paths.captions.display().to_string());
        if images.dim != captions.dim {
            let expected = format!("{}, the width of {image_name}", images.dim);
            return Err(Error::conflict(format!("{caption_name}: width"), captions.dim.to_string(), expected));
        }
        let mut notes = Vec::new();
        for (name, rows) in [(&image_name, &images), (&caption_name, &captions)] {
            check_rows(name, &rows.values, rows.dim, rows.rows)?;
            check_zero_rows(name, rows, similarity, &mut notes)?;
        }
        let image_ids = match &paths.image_ids {
            None => (0..images.rows).map(|row| row.to_string()).collect(),
            Some(path) => read_ids(path, images.rows)?,
        };
        let caption_image = match (&paths.caption_image_ids, &paths.image_ids) {
            (Some(owners), Some(ids)) => owners_by_id(owners, captions.rows, ids, &image_ids)?,
            (Some(owners), None) => {
                return Err(Error::invalid(owners.display().to_string(), "no ids of the images", "both id files")
                    .with_remedy(Remedy::GiveImageIds));
            }
            (None, _) => owners_in_order(&images, captions.rows, &image_name, &caption_name, &mut notes)?,
        };
        Ok(Self { images, captions, image_ids, caption_image, notes })
    }

    /// Ranks and metrics under a protocol, by the one level that these embeddings have.
    ///
    /// # Errors
    /// As [`Protocol::evaluate`].
    pub fn evaluate(&self, protocol: Protocol, similarity: Similarity) -> Result<Evaluation> {
        self.evaluate_by(protocol, similarity, &Judging::default())
    }

    /// [`ExternalEmbeddings::evaluate`] by another rule of what counts as right.
    ///
    /// # Errors
    /// As [`Protocol::evaluate_by`].
    pub fn evaluate_by(&self, protocol: Protocol, similarity: Similarity, judging: &Judging) -> Result<Evaluation> {
        let scoring = Scoring { similarity, lambda: 1.0 };
        protocol.evaluate_by(self.image_ids.len(), &self.caption_image, &self.embeddings(), scoring, judging)
    }

    /// The embeddings, as one level; score them with λ = 1.
    pub fn embeddings(&self) -> Embeddings<'_> {
        let (images, captions) = (&self.images.values, &self.captions.values);
        Embeddings {
            abstract_level: LevelEmbeddings { images, captions, dim: self.images.dim },
            grounded_level: None,
            hubness: None,
        }
    }
}

fn check_zero_rows(name: &str, rows: &NpyMatrix, similarity: Similarity, notes: &mut Vec<String>) -> Result<()> {
    let zero: Vec<String> = (rows.values.chunks_exact(rows.dim).enumerate())
        .filter(|(_, row)| row.iter().all(|&value| value == 0.0))
        .map(|(place, _)| place.to_string())
        .collect();
    if zero.is_empty() {
        return Ok(());
    }
    let found = format!("{} (from 0: {})", counted(zero.len(), "zero row"), first_few(&zero));
    if similarity == Similarity::Cosine {
        return Err(Error::invalid(name, found, "rows with a direction, for the cosine")
            .with_hint("an encoder that failed often leaves zero rows; leave these items out or encode them again"));
    }
    notes.push(format!("{name}: {found}"));
    Ok(())
}

/// `count` different ids, one per line.
fn read_ids(path: &Path, count: usize) -> Result<Vec<String>> {
    let ids = read_lines(path, count)?;
    let mut seen = HashMap::new();
    for (row, id) in ids.iter().enumerate() {
        if let Some(first) = seen.insert(id, row) {
            let found = format!("`{id}` in lines {} and {}", first + 1, row + 1);
            return Err(Error::invalid(path.display().to_string(), found, "different ids"));
        }
    }
    Ok(ids)
}

fn read_lines(path: &Path, count: usize) -> Result<Vec<String>> {
    let text = read_text(path)?;
    let lines: Vec<String> = text.lines().map(|line| line.trim().to_string()).collect();
    if let Some(line) = lines.iter().position(String::is_empty) {
        let what = format!("{}, line {}", path.display(), line + 1);
        return Err(Error::invalid(what, "an empty line", "one id per line"));
    }
    if lines.len() != count {
        let expected = format!("{count}, one for each row");
        return Err(Error::conflict(path.display().to_string(), format!("{} ids", lines.len()), expected));
    }
    Ok(lines)
}

fn owners_by_id(owners: &Path, captions: usize, ids: &Path, image_ids: &[String]) -> Result<Vec<usize>> {
    let rows: HashMap<&String, usize> = image_ids.iter().enumerate().map(|(row, id)| (id, row)).collect();
    let lines = read_lines(owners, captions)?;
    let unknown: Vec<String> = lines.iter().filter(|id| !rows.contains_key(id)).cloned().collect();
    if !unknown.is_empty() {
        let found = format!("{} of no image ({})", counted(unknown.len(), "id"), first_few(&unknown));
        return Err(Error::conflict(owners.display().to_string(), found, format!("ids of {}", ids.display())));
    }
    Ok(lines.iter().map(|id| rows[id]).collect())
}

fn owners_in_order(
    images: &NpyMatrix,
    captions: usize,
    image_name: &str,
    caption_name: &str,
    notes: &mut Vec<String>,
) -> Result<Vec<usize>> {
    if let Some(times) = repeated(images) {
        let found = format!("every row {times} times in a row");
        let hint = format!("pass every {times}th row (array[::{times}]): repeated images would tie with themselves");
        return Err(Error::invalid(image_name, found, "one row for each image").with_hint(hint));
    }
    if !captions.is_multiple_of(images.rows) {
        let expected = format!("a multiple of the {} images", images.rows);
        return Err(
            Error::conflict(caption_name, format!("{captions} rows"), expected).with_remedy(Remedy::GiveCaptionImages)
        );
    }
    let each = captions / images.rows;
    notes.push(format!("no caption ids: took {} for each image, in order", counted(each, "caption")));
    Ok((0..captions).map(|caption| caption / each).collect())
}

/// How many times every image row stands in a row, when that is more than once (the layout of vsepp's precomputed
/// features). Embeddings that are all equal are not a layout but a collapse.
fn repeated(images: &NpyMatrix) -> Option<usize> {
    let mut rows = images.values.chunks_exact(images.dim);
    let first = rows.next()?;
    let times = 1 + rows.take_while(|row| *row == first).count();
    let blocks = images.values.chunks_exact(images.dim * times);
    let whole = images.rows.is_multiple_of(times) && times > 1 && times < images.rows;
    (whole && blocks.into_iter().all(|block| block.chunks_exact(images.dim).all(|row| *row == block[..images.dim])))
        .then_some(times)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write_npy;

    const ORDER: Similarity = Similarity::Order;

    struct Case {
        folder: tempfile::TempDir,
    }

    impl Case {
        fn new(images: &[f32], captions: &[f32]) -> Self {
            let case = Self { folder: tempfile::tempdir().unwrap() };
            write_npy(&case.path("i.npy"), images, 2).unwrap();
            write_npy(&case.path("c.npy"), captions, 2).unwrap();
            case
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn read(&self, ids: Option<&str>, owners: Option<&str>, similarity: Similarity) -> Result<ExternalEmbeddings> {
            let write = |name: &str, text: Option<&str>| {
                text.map(|text| {
                    std::fs::write(self.path(name), text).unwrap();
                    self.path(name)
                })
            };
            let paths = EmbeddingPaths {
                images: self.path("i.npy"),
                captions: self.path("c.npy"),
                image_ids: write("i.txt", ids),
                caption_image_ids: write("c.txt", owners),
            };
            ExternalEmbeddings::read(&paths, similarity)
        }
    }

    const IMAGES: [f32; 4] = [1.0, 0.0, 0.0, 1.0];
    const CAPTIONS: [f32; 8] = [1.0, 0.1, 0.9, 0.0, 0.1, 1.0, 0.0, 0.8];

    /// Two images, four captions in order: everything is found first, in both layouts of the ids.
    #[test]
    fn in_order_and_by_id() {
        let case = Case::new(&IMAGES, &CAPTIONS);
        let plain = case.read(None, None, Similarity::Cosine).unwrap();
        assert_eq!(plain.caption_image, [0, 0, 1, 1]);
        assert_eq!(plain.image_ids, ["0", "1"]);
        assert!(plain.notes[0].contains("2 captions for each image"));
        let named = case.read(Some("\u{feff}x\r\ny\n"), Some("\u{feff}x\nx\ny\ny"), Similarity::Cosine).unwrap();
        assert_eq!((named.caption_image.as_slice(), named.notes.len()), (&[0, 0, 1, 1][..], 0));
        let found = named.evaluate(Protocol::Full, Similarity::Cosine).unwrap();
        assert_eq!(found.metrics.rsum(), 600.0);
        let crossed = case.read(Some("x\ny\n"), Some("y\ny\nx\nx\n"), Similarity::Cosine).unwrap();
        let found = crossed.evaluate(Protocol::Full, Similarity::Cosine).unwrap();
        assert_eq!(found.metrics.text_to_image.r1, 0.0);
    }

    #[test]
    fn bad_input_is_explained() {
        let case = Case::new(&IMAGES, &CAPTIONS);
        let refused = |ids, owners| case.read(ids, owners, Similarity::Cosine).unwrap_err().to_string();
        assert!(refused(None, Some("x")).contains("both id files"));
        assert!(refused(Some("x\nx\n"), None).contains("`x` in lines 1 and 2"));
        assert!(refused(Some("x\n"), None).contains("found 1 ids, expected 2"));
        assert!(refused(Some("x\n\n"), None).contains("line 2: found an empty line"));
        assert!(refused(Some("x\ny\n"), Some("x\nq\nr\ny")).contains("2 ids of no image (q, r)"));
        let error = |images: &[f32], captions: &[f32], similarity| {
            Case::new(images, captions).read(None, None, similarity).unwrap_err().to_string()
        };
        let uneven = error(&IMAGES, &CAPTIONS[..6], Similarity::Cosine);
        assert!(uneven.contains("found 3 rows, expected a multiple of the 2 images"), "{uneven}");
        let nan = error(&[1.0, 0.0, f32::NAN, 1.0], &CAPTIONS, ORDER);
        assert!(nan.contains("i.npy, row 1 (from 0), column 0: found NaN"), "{nan}");
        let zero = error(&IMAGES, &[1.0, 0.1, 0.0, 0.0, 0.1, 1.0, 0.0, 0.0], Similarity::Cosine);
        assert!(zero.contains("c.npy: found 2 zero rows (from 0: 1, 3)"), "{zero}");
        let repeated = error(&[1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0], &CAPTIONS, Similarity::Cosine);
        assert!(repeated.contains("every row 2 times in a row"), "{repeated}");
        write_npy(&case.path("c.npy"), &[0.5; 12], 3).unwrap();
        assert!(refused(None, None).contains("width: found 3, expected 2"));
    }

    /// Under order similarity a zero caption is the most general one: kept, with a note.
    #[test]
    fn zero_rows_give_a_note_under_order() {
        let case = Case::new(&IMAGES, &[1.0, 0.1, 0.0, 0.0, 0.1, 1.0, 0.0, 0.8]);
        let found = case.read(None, None, ORDER).unwrap();
        assert!(found.notes[0].contains("1 zero row (from 0: 1)"), "{:?}", found.notes);
    }
}
