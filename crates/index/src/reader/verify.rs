//! Checking everything that an index holds.

use super::Index;
use crate::catalogue::{CATALOGUE_FILE, check_integrity, sketch_path};
use crate::folder::is_held;
use crate::item::{CaptionItem, ImageItem, Item};
use crate::kernel::Measure;
use crate::quantized::Sketches;
use gxn_base::{Modality, Remedy, Result};

impl Index {
    /// Reads every row and every page of the catalogue and compares them with their checksums, and the catalogue with
    /// itself and with the rows. It changes nothing.
    ///
    /// # Errors
    /// If something is damaged, which the error names, cannot be read, or a writer is at work.
    pub fn verify(&self) -> Result<()> {
        if is_held(self.dir()) {
            return Err(crate::fault::busy(self.dir()));
        }
        self.verify_all().map_err(|error| match error.remedy() {
            Some(Remedy::IndexAgain) => error.with_remedy(Remedy::RepairIndex),
            _ => error,
        })
    }

    fn verify_all(&self) -> Result<()> {
        check_integrity(&self.dir().join(CATALOGUE_FILE))?;
        for modality in [Modality::Image, Modality::Text] {
            for segment in self.segments(modality) {
                segment.rows.verify(&segment.record.chain(), &segment.path)?;
                let sketches = sketch_path(&segment.path);
                if sketches.exists() {
                    let measure = Measure::of(self.meta().space.similarity, modality);
                    Sketches::open(&sketches, &segment.rows, measure)?.verify()?;
                }
            }
        }
        self.verify_items::<ImageItem>()?;
        if self.meta().captions.is_some() {
            self.verify_items::<CaptionItem>()?;
        }
        Ok(())
    }

    fn verify_items<T: Item>(&self) -> Result<()> {
        let (catalogue, modality) = (&self.catalogue, T::MODALITY);
        let (mut items, mut rows, mut last) = (0, 0, None);
        self.each_stored(modality, |stored| {
            self.place(modality, stored.row as usize)?;
            let item: T = catalogue.parse(stored)?;
            if item.id() != stored.id || catalogue.row_of(modality, &stored.id)? != Some(stored.row) {
                return Err(catalogue.malformed(format!("item {} at two places", stored.id)));
            }
            let content = item.content();
            if !content.is_empty() && catalogue.row_of_content(modality, &content)? != Some(stored.row) {
                return Err(catalogue.malformed(format!("content of item {} at another row", stored.id)));
            }
            if let Some(image) = item.image_id()
                && catalogue.row_of(Modality::Image, image)?.is_none()
            {
                return Err(catalogue.malformed(format!("caption {} of a missing image {image}", stored.id)));
            }
            items += 1;
            if last.replace(stored.row) != Some(stored.row) {
                rows += 1;
            }
            Ok(())
        })?;
        let live = self.rows(modality).count() as u64;
        let all: u64 = self.segments(modality).iter().map(|segment| segment.rows.len() as u64).sum();
        let recorded = self.meta().collection(modality).copied().unwrap_or_default();
        let found = (items, rows, all - live, (items, items), live);
        let expected = (recorded.count, recorded.rows, recorded.dead_rows, catalogue.lengths(modality)?, recorded.rows);
        if found != expected {
            return Err(catalogue.malformed(format!("{} of {found:?} for {expected:?}", modality.plural())));
        }
        Ok(())
    }
}
