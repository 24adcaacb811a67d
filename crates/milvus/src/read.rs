//! Reading items and their rows, a few by their ids or all.

use crate::expression::quoted;
use crate::protocol::*;
use crate::schema::{VECTOR, pair};
use crate::write::{Columns, IDS, from_base64, one_of};
use crate::{MOST_CANDIDATES, MilvusStore};
use gxn_base::{Error, Modality, Result};
use gxn_index::{CaptionItem, ImageItem};
use half::f16;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;

/// Items read at once, with their rows and without.
const ROWS: usize = 500;
const ITEMS: usize = 5000;

/// What a page is read of.
#[derive(Clone, Copy)]
enum Read<'a> {
    /// All that pass an expression, some thousands at most.
    Passing(&'a str),
    /// The first of the ids above this one, at most this many.
    After(&'a str, usize),
}

impl MilvusStore {
    pub(super) fn item_of_id<T: Columns>(&self, id: &str) -> Result<Option<T>> {
        let mut columns = self.query(T::MODALITY, &one_of("id", &[id]), &["item"])?;
        Ok(self.parse(&columns.remove(0))?.pop())
    }

    pub(super) fn captions_of(&self, image: &str) -> Result<Vec<CaptionItem>> {
        let mut columns = self.query(Modality::Text, &one_of("image_id", &[image]), &["item"])?;
        let mut captions: Vec<CaptionItem> = self.parse(&columns.remove(0))?;
        captions.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        Ok(captions)
    }

    /// An image of this content; of several, the one whose id comes first.
    pub(super) fn of_content(&self, content: &str) -> Result<Option<ImageItem>> {
        let mut columns = self.query(Modality::Image, &one_of("sha256", &[content]), &["item"])?;
        let found: Vec<ImageItem> = self.parse(&columns.remove(0))?;
        Ok(found.into_iter().min_by(|a, b| a.id.cmp(&b.id)))
    }

    pub(super) fn rows_of(&self, modality: Modality, ids: &[&str]) -> Result<Vec<Option<Vec<f32>>>> {
        let mut rows: HashMap<String, Vec<f32>> = HashMap::new();
        for ids in ids.chunks(IDS) {
            let columns = self.query(modality, &one_of("id", ids), &["id", "row"])?;
            let [found, encoded] = columns.as_slice() else { return Err(self.malformed(modality, "too few fields")) };
            for (id, row) in found.iter().zip(encoded) {
                rows.insert(id.clone(), self.embedding(modality, row)?);
            }
        }
        Ok(ids.iter().map(|&id| rows.get(id).cloned()).collect())
    }

    /// Visits all items without their rows, by id.
    pub(super) fn items<T: Columns>(&self, visit: &mut dyn FnMut(T)) -> Result<()> {
        self.pages(T::MODALITY, &["item"], ITEMS, &mut |columns| {
            self.parse::<T>(&columns[0])?.into_iter().for_each(&mut *visit);
            Ok(())
        })
    }

    /// Visits all items with their rows, by id.
    pub(super) fn each<T: Columns>(&self, visit: &mut dyn FnMut(T, &[f32]) -> Result<()>) -> Result<()> {
        self.pages(T::MODALITY, &["item", "row"], ROWS, &mut |columns| {
            for (item, row) in self.parse::<T>(&columns[0])?.into_iter().zip(&columns[1]) {
                visit(item, &self.embedding(T::MODALITY, row)?)?;
            }
            Ok(())
        })
    }

    /// Whether every row can be read and is what searches compare, every id is that of its item, and every caption has its
    /// image.
    pub(super) fn check_all(&self) -> Result<()> {
        let mut images = HashSet::new();
        self.check::<ImageItem>(&mut |item| {
            images.insert(item.id);
            Ok(())
        })?;
        self.check::<CaptionItem>(&mut |item| {
            // An image may have come since, with its captions.
            if images.contains(&item.image_id) || self.item_of_id::<ImageItem>(&item.image_id)?.is_some() {
                return Ok(());
            }
            let found = format!("no image {}, that of caption {}", item.image_id, item.id);
            Err(self.malformed(Modality::Text, &found))
        })
    }

    fn check<T: Columns>(&self, visit: &mut dyn FnMut(T) -> Result<()>) -> Result<()> {
        let description = self.description(T::MODALITY);
        self.raw_pages(T::MODALITY, &["id", "item", "row", VECTOR], ROWS, &mut |mut answer| {
            let [ids, items, rows] = ["id", "item", "row"].map(|field| texts_of(&mut answer, field));
            let vectors = answer.into_iter().find(|data| data.field_name == VECTOR);
            let vectors = vectors.and_then(|data| data.vectors?.float_vector).unwrap_or_default().data;
            let (Some(ids), Some(items), Some(rows)) = (ids, items, rows) else {
                return Err(self.malformed(T::MODALITY, "fields that are missing"));
            };
            if vectors.len() != ids.len() * description.width() || items.len() != ids.len() || rows.len() != ids.len() {
                return Err(self.malformed(T::MODALITY, "fields of different lengths"));
            }
            let items = self.parse::<T>(&items)?.into_iter().zip(&ids).zip(&rows);
            for (((item, id), row), vector) in items.zip(vectors.chunks_exact(description.width())) {
                let row = self.embedding(T::MODALITY, row)?;
                if item.id() != id || row.iter().any(|v| !v.is_finite()) || description.vector(&row) != vector {
                    return Err(self.malformed(T::MODALITY, &format!("a damaged item, {id}")));
                }
                visit(item)?;
            }
            Ok(())
        })
    }

    /// Text fields of all items, page by page in the order of ids.
    fn pages(
        &self,
        modality: Modality,
        fields: &[&str],
        length: usize,
        visit: &mut dyn FnMut(Vec<Vec<String>>) -> Result<()>,
    ) -> Result<()> {
        let with_id: Vec<&str> = ["id"].iter().chain(fields).copied().collect();
        self.raw_pages(modality, &with_id, length, &mut |mut answer| {
            visit(self.columns(modality, &mut answer, fields)?)
        })
    }

    fn raw_pages(
        &self,
        modality: Modality,
        fields: &[&str],
        length: usize,
        visit: &mut dyn FnMut(Vec<FieldData>) -> Result<()>,
    ) -> Result<()> {
        let mut last = String::new();
        loop {
            let answer = self.read(modality, Read::After(&last, length), fields)?;
            let ids = answer.iter().find(|data| data.field_name == "id").and_then(|data| data.scalars.clone());
            let ids = ids.and_then(|scalars| scalars.string_data).unwrap_or_default().data;
            let is_last = ids.len() < length;
            if let Some(highest) = ids.into_iter().max() {
                last = highest;
                visit(answer)?;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// Text fields of items that pass an expression, field by field; some thousands of items at most.
    pub(super) fn query(&self, modality: Modality, expression: &str, fields: &[&str]) -> Result<Vec<Vec<String>>> {
        let mut answer = self.read(modality, Read::Passing(expression), fields)?;
        self.columns(modality, &mut answer, fields)
    }

    fn columns(&self, modality: Modality, answer: &mut Vec<FieldData>, fields: &[&str]) -> Result<Vec<Vec<String>>> {
        let columns: Option<Vec<Vec<String>>> = fields.iter().map(|field| texts_of(answer, field)).collect();
        let columns = columns.filter(|columns| columns.iter().all(|column| column.len() == columns[0].len()));
        columns.ok_or_else(|| self.malformed(modality, "fields that are missing or of different lengths"))
    }

    fn read(&self, modality: Modality, what: Read<'_>, fields: &[&str]) -> Result<Vec<FieldData>> {
        let (expr, query_params) = match what {
            Read::Passing(expression) => (expression.to_string(), vec![pair("limit", MOST_CANDIDATES.to_string())]),
            // To an iterator the server gives the lowest ids. Never with `reduce_stop_for_best`, as pymilvus sends it: Milvus
            // 2.3.5 then leaves out some rows in a thousand.
            Read::After(id, length) => {
                let params = vec![pair("iterator", "True"), pair("limit", length.to_string())];
                (format!("id > {}", quoted(id)), params)
            }
        };
        let request = QueryRequest {
            collection_name: self.collection(modality),
            expr,
            output_fields: fields.iter().map(|field| field.to_string()).collect(),
            query_params,
            guarantee_timestamp: self.seen_until(),
            consistency_level: SESSION,
        };
        Ok(self.ask_loaded(modality, request)?.fields_data)
    }

    /// Items of a modality, all that anybody put until now.
    pub(super) fn count_items(&self, modality: Modality) -> Result<u64> {
        let request = QueryRequest {
            collection_name: self.collection(modality),
            output_fields: vec!["count(*)".into()],
            consistency_level: STRONG,
            ..Default::default()
        };
        let answer = self.ask_loaded(modality, request)?.fields_data;
        let count = answer.into_iter().next().and_then(|data| data.scalars?.long_data?.data.first().copied());
        count.and_then(|count| u64::try_from(count).ok()).ok_or_else(|| self.malformed(modality, "no count"))
    }

    pub(super) fn parse<T: Columns>(&self, items: &[String]) -> Result<Vec<T>> {
        let parse = |item: &String| {
            serde_json::from_str(item)
                .map_err(|e| self.malformed(T::MODALITY, &format!("an item that is damaged: {e}")))
        };
        items.iter().map(parse).collect()
    }

    fn embedding(&self, modality: Modality, row: &str) -> Result<Vec<f32>> {
        Ok(self.row(modality, row)?.iter().map(|v| v.to_f32()).collect())
    }

    /// A row as it was sent.
    pub(super) fn row(&self, modality: Modality, row: &str) -> Result<Vec<f16>> {
        let dims = self.description(modality).space.dims();
        from_base64(row, dims).ok_or_else(|| self.malformed(modality, "a damaged row"))
    }

    pub(super) fn malformed(&self, modality: Modality, found: &str) -> Error {
        let what = format!("collection {} of {}", self.collection(modality), self.client.endpoint());
        Error::damaged(what, found, "what this program stored")
            .with_hint("another program may have changed it: drop it and index the images again")
    }

    /// The timestamp of the last change made here.
    pub(super) fn seen_until(&self) -> u64 {
        // 0 would ask for a server's own idea of freshness.
        self.last_write.load(Ordering::Relaxed).max(1)
    }
}

/// Takes the values of a text field out of an answer.
fn texts_of(answer: &mut Vec<FieldData>, field: &str) -> Option<Vec<String>> {
    let at = answer.iter().position(|data| data.field_name == field)?;
    Some(answer.swap_remove(at).scalars?.string_data.unwrap_or_default().data)
}
