//! Visiting everything that an index holds.

use super::Index;
use crate::item::{CaptionItem, ImageItem, Item};
use gxn_base::{Error, Modality, Result};
use half::slice::HalfFloatSliceExt;

impl Index {
    /// Visits every image with the number of its row and its embedding `[h ; l]`, in the order of rows, in a row in that
    /// of ids: [`Index::count`] visits. Images of equal content have the same row and embedding. Rows that were removed
    /// are left out, so that numbers may be missing. One embedding and the items of 4,096 rows are in memory at a time.
    ///
    /// # Errors
    /// If an item is damaged, and with the first error of `visit`, which ends it.
    ///
    /// ```
    /// # use gxn_index::{Error, Index};
    /// # fn save(index: &Index, mut file: impl std::io::Write) -> Result<(), Box<dyn std::error::Error>> {
    /// index.export_images(|_row, image, embedding| -> Result<(), Box<dyn std::error::Error>> {
    ///     Ok(writeln!(file, "{} {}", image.path, embedding[0])?)
    /// })
    /// # }
    /// ```
    pub fn export_images<E: From<Error>>(
        &self,
        visit: impl FnMut(usize, ImageItem, &[f32]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.export(visit)
    }

    /// [`Index::export_images`] for captions.
    ///
    /// # Errors
    /// The same, and if no captions were indexed.
    pub fn export_captions<E: From<Error>>(
        &self,
        visit: impl FnMut(usize, CaptionItem, &[f32]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.require_modality(Modality::Text)?;
        self.export(visit)
    }

    fn export<T: Item, E: From<Error>>(
        &self,
        mut visit: impl FnMut(usize, T, &[f32]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut embedding = vec![0.0f32; self.meta().space.dims()];
        let mut last = None;
        for rows in self.batches(T::MODALITY) {
            for stored in self.catalogue.items_in(T::MODALITY, rows)? {
                let row = stored.row as usize;
                if last.replace(row) != Some(row) {
                    let (segment, at) = self.place(T::MODALITY, row)?;
                    segment.rows.row(at).convert_to_f32_slice(&mut embedding);
                }
                visit(row, self.catalogue.parse(&stored)?, &embedding)?;
            }
        }
        Ok(())
    }
}
