//! Searching in Milvus: its candidates, scored by the kernels of the index.

use crate::expression::{Bound, bound};
use crate::protocol::*;
use crate::schema::{VECTOR, pair};
use crate::write::{IDS, one_of};
use crate::{MOST_CANDIDATES, MilvusStore};
use gxn_base::{Error, Modality, Result};
use gxn_index::kernel::Measure;
use gxn_index::{
    CaptionItem, Filter, Hit, ImageItem, Method, Plan, QueryPart, RowView, Scored, SearchOptions, Space, candidates,
    inverse_length,
};
use half::f16;
use prost::Message;
use serde_json::{Value, json};
use std::collections::hash_map::{DefaultHasher, Entry};
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};

/// Rows fetched at once.
const FETCHED: usize = 250;

/// A candidate that passes the filter.
struct Candidate {
    id: String,
    item: Kept,
    row: Vec<f16>,
    /// Equal captions of its image that it stands for, itself included.
    copies: usize,
}

enum Kept {
    Image(ImageItem),
    Caption(CaptionItem),
}

/// Images that captions belong to, by their ids.
type Images = HashMap<String, ImageItem>;

impl MilvusStore {
    pub(super) fn find(&self, parts: &[QueryPart<'_>], options: &SearchOptions<'_>) -> Result<Vec<Hit>> {
        let SearchOptions { target, top, offset, filter, lambda, method, fold_captions } = *options;
        let own = self.description(target).space;
        let space = Space { lambda: lambda.unwrap_or(own.lambda), ..own };
        space.check()?;
        let plan = Plan::new(&space, target, parts)?;
        let (bound, exact) = filter.map_or((Bound::Everything, true), |filter| bound(filter, target));
        let expression = match bound {
            Bound::Nothing => return Ok(Vec::new()),
            Bound::Everything => String::new(),
            Bound::Some(expression) => expression,
        };
        let keep = top.saturating_add(offset);
        if keep == 0 {
            return Ok(Vec::new());
        }
        let wanted = candidates(keep).min(MOST_CANDIDATES);
        if method == Method::Exact {
            let (mut images, mut candidates) = (Images::new(), Candidates::new(fold_captions));
            for ids in self.ids_of_all(target, &expression)?.chunks(FETCHED) {
                candidates.extend(self.fetch(target, ids, filter, &mut images)?);
            }
            return self.page(&plan, candidates.kept, options, images);
        }
        let vector = self.query_vector(target, &plan);
        let mut limit = if exact { wanted } else { wanted.saturating_mul(2).min(MOST_CANDIDATES) };
        let (mut seen, mut images, mut candidates) = (HashSet::new(), Images::new(), Candidates::new(fold_captions));
        loop {
            let found = self.nearest(target, &vector, &expression, limit)?;
            let is_all = found.len() < limit;
            let new: Vec<String> = found.into_iter().filter(|id| seen.insert(id.clone())).collect();
            for ids in new.chunks(FETCHED) {
                // Far more may have been found than are wanted, where most were expected not to pass.
                if candidates.kept.len() < wanted {
                    candidates.extend(self.fetch(target, ids, filter, &mut images)?);
                }
            }
            if is_all || candidates.kept.len() >= wanted.max(keep) {
                break;
            }
            if limit == MOST_CANDIDATES {
                if candidates.kept.len() >= keep {
                    break;
                }
                return Err(too_few(candidates.kept.len(), keep, filter));
            }
            limit = limit.saturating_mul(4).min(MOST_CANDIDATES);
        }
        self.page(&plan, candidates.kept, options, images)
    }

    /// The ids of all items that pass an expression, where the items are few enough to be scored one by one.
    fn ids_of_all(&self, modality: Modality, expression: &str) -> Result<Vec<String>> {
        let count = self.count_items(modality)? as usize;
        if count > MOST_CANDIDATES {
            let found = format!("{count} {}", modality.plural());
            return Err(Error::unsupported("exact search in Milvus", found, format!("at most {MOST_CANDIDATES}"))
                .with_hint("search by candidates, whose scores are exact, or use an index in a folder"));
        }
        let expression = if expression.is_empty() { "id != \"\"" } else { expression };
        Ok(self.query(modality, expression, &["id"])?.remove(0))
    }

    /// The vector whose inner products with the stored ones are the scores, nearly.
    fn query_vector(&self, modality: Modality, plan: &Plan) -> Vec<f32> {
        let description = self.description(modality);
        let dims = description.space.dims();
        // Embeddings have unit length at each level, so all rows have one length.
        let levels = if description.space.dims_grounded == 0 { 1.0f32 } else { 2.0 };
        let mut vector = vec![0.0; description.width()];
        for term in plan.terms() {
            match &description.surrogate {
                Some(surrogate) if term.measure != Measure::Dot => {
                    let table_rows = surrogate.query(&term.vector, -term.factor);
                    for (number, values) in table_rows.chunks_exact(term.vector.len()).enumerate() {
                        let start = dims * (number + 1) + term.columns.start;
                        vector[start..start + values.len()].iter_mut().zip(values).for_each(|(sum, v)| *sum += v);
                    }
                }
                _ => {
                    let factor = if term.by_length { term.factor / levels.sqrt() } else { term.factor };
                    let columns = &mut vector[term.columns.clone()];
                    columns.iter_mut().zip(&term.vector).for_each(|(sum, v)| *sum += factor * v);
                }
            }
        }
        vector
    }

    /// Ids of the nearest, at most `limit`.
    fn nearest(&self, modality: Modality, vector: &[f32], expression: &str, limit: usize) -> Result<Vec<String>> {
        let description = self.description(modality);
        let mut params = description.search_params.clone();
        if description.index_kind == "HNSW" {
            // Milvus refuses a smaller one.
            let given = params.get("ef").and_then(Value::as_u64).unwrap_or(0);
            params.insert("ef".into(), json!(given.max(limit as u64)));
        }
        let value = vector.iter().flat_map(|v| v.to_le_bytes()).collect();
        let placeholder = PlaceholderValue { tag: "$0".into(), placeholder_type: FLOAT_VECTOR, values: vec![value] };
        let request = SearchRequest {
            collection_name: self.collection(modality),
            dsl: expression.into(),
            placeholder_group: PlaceholderGroup { placeholders: vec![placeholder] }.encode_to_vec(),
            dsl_type: BOOL_EXPR,
            search_params: vec![
                pair("anns_field", VECTOR),
                pair("topk", limit.to_string()),
                pair("metric_type", "IP"),
                pair("params", Value::Object(params).to_string()),
                pair("round_decimal", "-1"),
            ],
            guarantee_timestamp: self.seen_until(),
            nq: 1,
            consistency_level: SESSION,
        };
        let results = self.ask_loaded(modality, request)?.results.unwrap_or_default();
        Ok(results.ids.and_then(|ids| ids.str_id).unwrap_or_default().data)
    }

    /// Those of `ids` that pass the filter.
    fn fetch(
        &self,
        modality: Modality,
        ids: &[String],
        filter: Option<&Filter>,
        images: &mut Images,
    ) -> Result<Vec<Candidate>> {
        let columns = self.query(modality, &one_of("id", ids), &["item", "row"])?;
        let [items, rows] = columns.as_slice() else { return Err(self.malformed(modality, "too few fields")) };
        let rows = rows.iter().map(|row| self.row(modality, row)).collect::<Result<Vec<_>>>()?.into_iter();
        match modality {
            Modality::Image => {
                let items = self.parse::<ImageItem>(items)?.into_iter().zip(rows);
                let passing = items.filter(|(item, _)| filter.is_none_or(|filter| filter.passes_image(item)));
                Ok(passing
                    .map(|(item, row)| Candidate { id: item.id.clone(), item: Kept::Image(item), row, copies: 1 })
                    .collect())
            }
            Modality::Text => {
                let items = self.parse::<CaptionItem>(items)?;
                self.fetch_images(&items, images)?;
                let mut candidates = Vec::new();
                for (item, row) in items.into_iter().zip(rows) {
                    // An image that was removed in between took its captions along.
                    let Some(image) = images.get(&item.image_id) else { continue };
                    let passes = match filter {
                        None => true,
                        Some(filter) => filter.passes_caption(&item, || Ok::<_, Error>(image.clone()))?,
                    };
                    if passes {
                        candidates.push(Candidate { id: item.id.clone(), item: Kept::Caption(item), row, copies: 1 });
                    }
                }
                Ok(candidates)
            }
        }
    }

    fn fetch_images(&self, captions: &[CaptionItem], images: &mut Images) -> Result<()> {
        let wanted: HashSet<&str> = captions.iter().map(|caption| caption.image_id.as_str()).collect();
        let missing: Vec<&str> = wanted.into_iter().filter(|id| !images.contains_key(*id)).collect();
        for ids in missing.chunks(IDS) {
            let items = self.query(Modality::Image, &one_of("id", ids), &["item"])?.remove(0);
            images.extend(self.parse::<ImageItem>(&items)?.into_iter().map(|image| (image.id.clone(), image)));
        }
        Ok(())
    }

    /// The best candidates by their true scores.
    fn page(
        &self,
        plan: &Plan,
        mut candidates: Vec<Candidate>,
        options: &SearchOptions<'_>,
        images: Images,
    ) -> Result<Vec<Hit>> {
        // Of equal scores the lower row is first, which is the lower id.
        candidates.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        let values: Vec<f16> = candidates.iter().flat_map(|candidate| candidate.row.iter().copied()).collect();
        let lengths: Vec<f32> = candidates.iter().map(|candidate| inverse_length(&candidate.row)).collect();
        let rows = RowView::new(&values, self.description(options.target).space.dims(), &lengths);
        let keep = options.top.saturating_add(options.offset);
        let best = rows.top(std::slice::from_ref(plan), keep).remove(0).into_page(options.offset);
        let hit = |Scored { score, row }: Scored| {
            let Candidate { id, item, row: values, copies } = &candidates[row];
            let parts = plan.level_scores(values, lengths[row]);
            let (path, caption, content) = match item {
                Kept::Image(image) if image.sha256.is_empty() => (image.path.clone(), None, id),
                Kept::Image(image) => (image.path.clone(), None, &image.sha256),
                Kept::Caption(caption) => {
                    let image = images.get(&caption.image_id);
                    (image.map(|image| image.path.clone()).unwrap_or_default(), Some(caption.clone()), &caption.text)
                }
            };
            Hit { row: number_of(content), id: id.clone(), path, caption, copies: *copies, score, parts }
        };
        Ok(best.into_iter().map(hit).collect())
    }
}

/// What was found so far.
struct Candidates {
    kept: Vec<Candidate>,
    /// Where captions are folded: the place of each text of each image.
    places: Option<HashMap<(String, String), usize>>,
}

impl Candidates {
    /// None yet. With `fold`, of equal captions of one image the one whose id comes first stands for all.
    fn new(fold: bool) -> Self {
        Self { kept: Vec::new(), places: fold.then(HashMap::new) }
    }

    fn extend(&mut self, candidates: Vec<Candidate>) {
        for mut candidate in candidates {
            let (Some(places), Kept::Caption(caption)) = (&mut self.places, &candidate.item) else {
                self.kept.push(candidate);
                continue;
            };
            match places.entry((caption.image_id.clone(), caption.text.clone())) {
                Entry::Vacant(entry) => {
                    entry.insert(self.kept.len());
                    self.kept.push(candidate);
                }
                Entry::Occupied(entry) => {
                    let former = &mut self.kept[*entry.get()];
                    if candidate.id < former.id {
                        std::mem::swap(former, &mut candidate);
                    }
                    former.copies += candidate.copies;
                }
            }
        }
    }
}

/// A number that items of one content share, as rows of an index in a folder do.
fn number_of(content: &str) -> usize {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    hasher.finish() as usize
}

fn too_few(found: usize, keep: usize, filter: Option<&Filter>) -> Error {
    let what = match filter {
        Some(filter) => format!("search in Milvus with the filter `{filter}`"),
        None => "search in Milvus".to_string(),
    };
    let found = format!("{found} that pass among the {MOST_CANDIDATES} nearest items");
    Error::unsupported(what, found, format!("{keep}")).with_hint(
        "ask for fewer hits, or narrow the filter by fields that Milvus compares itself, such as folder or width",
    )
}
