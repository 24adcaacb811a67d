//! The collections of an index in the server: making, finding, loading and dropping them.

use crate::MilvusOptions;
use crate::client::{Client, Refusal};
use crate::place::MilvusPlace;
use crate::protocol::*;
use crate::schema::{Description, VECTOR, pair};
use gxn_base::{Error, Modality, Result};
use prost::Message;
use serde_json::{Map, Value};
use std::time::{Duration, Instant};

/// How long another program may take to make both collections of an index.
const OTHERS_MAKE: Duration = Duration::from_secs(20);

/// The name of a collection of the index `name`.
pub(super) fn collection(name: &str, modality: Modality) -> String {
    format!("{name}_{}", modality.plural())
}

/// The description that a collection holds; `None` if there is no such collection.
pub(super) fn describe(client: &Client, name: &str) -> Result<Option<Description>> {
    match client.try_ask(DescribeCollectionRequest { collection_name: name.into() }) {
        Ok(answer) => Description::of(name, &answer).map(Some),
        Err(Refusal::NoCollection) => Ok(None),
        Err(refusal) => Err(refusal.into_error(|| client.what("DescribeCollection"))),
    }
}

/// Brings a collection into the server's memory, without which it is not searched.
pub(super) fn load(client: &Client, name: &str) -> Result<()> {
    try_load(client, name).map_err(|refusal| refusal.into_error(|| client.what("LoadCollection")))
}

/// [`load`] with the server's refusal.
pub(super) fn try_load(client: &Client, name: &str) -> Result<(), Refusal> {
    client.try_ask(LoadCollectionRequest { collection_name: name.into(), replica_number: 1 })?;
    let end = Instant::now() + client.timeout();
    while client.try_ask(GetLoadStateRequest { collection_name: name.into() })?.state != LOADED {
        if Instant::now() > end {
            let found = format!("still loading after {} s", client.timeout().as_secs());
            let what = format!("collection {name} of {}", client.endpoint());
            let error = Error::busy(what, found, "one in memory").with_hint("give the server more time or more memory");
            return Err(Refusal::Other(error));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Removes a collection. False if there was none.
pub(super) fn drop_collection(client: &Client, name: &str) -> Result<bool> {
    match client.try_ask(DescribeCollectionRequest { collection_name: name.into() }) {
        Err(Refusal::NoCollection) => return Ok(false),
        Err(refusal) => return Err(refusal.into_error(|| client.what("DescribeCollection"))),
        Ok(_) => {}
    }
    client.ask(DropCollectionRequest { collection_name: name.into() }).map(|_| true)
}

/// Makes a collection as it is described, or what is missing of it, and loads it.
pub(super) fn complete(
    client: &Client,
    place: &MilvusPlace,
    modality: Modality,
    description: &Description,
) -> Result<()> {
    let name = collection(&place.name, modality);
    let found = || describe(client, &name);
    let refused = |refusal: Refusal| refusal.into_error(|| client.what("LoadCollection"));
    let is_ours = if found()?.is_some() {
        match try_load(client, &name) {
            // It was begun, and what it is stands: only the index of its vectors is missing.
            Err(Refusal::NoIndex(_)) => false,
            loaded => return loaded.map_err(refused),
        }
    } else {
        let made = client.ask(CreateCollectionRequest {
            collection_name: name.clone(),
            schema: description.schema(&name, modality).encode_to_vec(),
            shards_num: 1,
            consistency_level: STRONG,
            properties: vec![description.property()],
        });
        match made {
            Ok(_) => true,
            // Another program is making it: milvus-lite refuses the second one before the first is done.
            Err(error) => {
                if others_make(found)?.is_none() {
                    return Err(error);
                }
                false
            }
        }
    };
    let kind = found()?.map_or_else(String::new, |found| found.index_kind);
    let MilvusOptions { index_kind, index_params, .. } = &place.options;
    let params = if kind == *index_kind { index_params.clone() } else { Map::new() };
    let indexed = client.ask(CreateIndexRequest {
        collection_name: name.clone(),
        field_name: VECTOR.into(),
        extra_params: vec![
            pair("index_type", kind),
            pair("metric_type", "IP"),
            pair("params", Value::Object(params).to_string()),
        ],
    });
    let Err(error) = indexed else { return load(client, &name) };
    // Another program may have been faster.
    let loaded = || match try_load(client, &name) {
        Ok(()) => Ok(Some(())),
        Err(Refusal::NoIndex(_)) => Ok(None),
        Err(refusal) => Err(refused(refusal)),
    };
    if loaded()?.is_some() {
        return Ok(());
    }
    if is_ours {
        // What cannot be completed would be in the way of the next attempt; why this one failed is more to the point.
        let _ = drop_collection(client, &name);
        return Err(error);
    }
    others_make(loaded)?.ok_or(error)
}

/// Waits until something is `found` that another program makes; `None` if that takes too long.
pub(super) fn others_make<T>(found: impl Fn() -> Result<Option<T>>) -> Result<Option<T>> {
    let end = Instant::now() + OTHERS_MAKE;
    loop {
        match found()? {
            None if Instant::now() < end => std::thread::sleep(Duration::from_millis(200)),
            outcome => return Ok(outcome),
        }
    }
}
