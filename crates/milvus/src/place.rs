//! [`MilvusPlace`]: the address of an index in a Milvus server.

use crate::MilvusOptions;
use gxn_base::{Error, Result};
use serde_json::Value;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

const PLAIN: &str = "milvus://";
const TLS: &str = "milvus+tls://";
/// Milvus' own.
const PORT: u16 = 19530;
/// The environment variable that holds the token.
const TOKEN: &str = "GXN_MILVUS_TOKEN";
const SHAPE: &str =
    "milvus://HOST:PORT/COLLECTION or milvus://HOST:PORT/DATABASE/COLLECTION, the same with milvus+tls://";
/// Milvus' parameters of a search, and of making an index.
const OF_SEARCH: [&str; 4] = ["ef", "nprobe", "search_list", "reorder_k"];
const OF_MAKING: [&str; 5] = ["M", "efConstruction", "nlist", "m", "nbits"];

/// A server, and the name of an index in it: `milvus://HOST:PORT/[DATABASE/]COLLECTION`, over TLS `milvus+tls://…`. A new
/// index is of another kind than `FLAT` with, say, `?index=HNSW&M=16&efConstruction=200&ef=400` behind it.
#[derive(Clone, PartialEq)]
pub struct MilvusPlace {
    /// Such as `http://127.0.0.1:19530`; `https` for TLS.
    pub endpoint: String,
    /// The database; `None` for the server's default.
    pub database: Option<String>,
    /// Letters, digits and `_`, no digit first; the collections are `NAME_images` and `NAME_captions`.
    pub name: String,
    /// `USER:PASSWORD` or a key, for servers that ask for a login.
    pub token: Option<String>,
    /// Longest time for an answer.
    pub timeout: Duration,
    /// How candidates are found; it counts when the index is made.
    pub options: MilvusOptions,
}

impl MilvusPlace {
    /// Without a login, with a minute for each answer.
    pub fn new(endpoint: impl Into<String>, name: impl Into<String>) -> Self {
        let timeout = Duration::from_secs(60);
        let (endpoint, name, options) = (endpoint.into(), name.into(), MilvusOptions::default());
        Self { endpoint, database: None, name, token: None, timeout, options }
    }

    /// Whether a text is meant as such an address.
    pub fn is_address(text: &str) -> bool {
        text.starts_with(PLAIN) || text.starts_with(TLS)
    }

    /// Refuses names that Milvus would refuse.
    pub(crate) fn check(&self) -> Result<()> {
        check_name("name of an index in Milvus", &self.name)?;
        self.database.as_ref().map_or(Ok(()), |database| check_name("name of a database in Milvus", database))
    }
}

impl FromStr for MilvusPlace {
    type Err = Error;

    /// Takes the token from the environment variable `GXN_MILVUS_TOKEN`.
    fn from_str(text: &str) -> Result<Self> {
        let malformed = || Error::invalid("address of an index in Milvus", format!("`{text}`"), SHAPE);
        let (scheme, rest) = match (text.strip_prefix(PLAIN), text.strip_prefix(TLS)) {
            (Some(rest), _) => ("http", rest),
            (_, Some(rest)) => ("https", rest),
            _ => return Err(malformed()),
        };
        let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (server, path) = rest.split_once('/').ok_or_else(malformed)?;
        if server.is_empty() || server.contains('@') {
            let hint = format!("a user and password go into the environment variable {TOKEN}, as USER:PASSWORD");
            return Err(malformed().with_hint(hint));
        }
        // An IPv6 address has colons of its own, in brackets.
        let has_port = server.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let endpoint = if has_port { format!("{scheme}://{server}") } else { format!("{scheme}://{server}:{PORT}") };
        let (database, name) = match path.trim_end_matches('/').split_once('/') {
            Some((database, name)) => (Some(database.to_string()), name),
            None => (None, path.trim_end_matches('/')),
        };
        let token = std::env::var(TOKEN).ok().filter(|token| !token.is_empty());
        let options = options_of(options).ok_or_else(|| {
            let known = [&["index", "surrogate_terms"][..], &OF_MAKING, &OF_SEARCH].concat().join(", ");
            malformed()
                .with_hint(format!("behind the question mark stand KEY=VALUE, joined by &; the keys are {known}"))
        })?;
        let place = Self { database, token, options, ..Self::new(endpoint, name) };
        place.check()?;
        Ok(place)
    }
}

impl fmt::Display for MilvusPlace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, server) = match self.endpoint.split_once("://") {
            Some(("https", server)) => (TLS, server),
            Some((_, server)) => (PLAIN, server),
            None => (PLAIN, self.endpoint.as_str()),
        };
        write!(out, "{scheme}{server}/")?;
        if let Some(database) = &self.database {
            write!(out, "{database}/")?;
        }
        out.write_str(&self.name)
    }
}

impl fmt::Debug for MilvusPlace {
    /// Without the token.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "MilvusPlace({self})")
    }
}

/// `index=HNSW&M=16&ef=400`; `None` if it is not of this form.
fn options_of(text: &str) -> Option<MilvusOptions> {
    let mut options = MilvusOptions::default();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').filter(|(key, value)| !key.is_empty() && !value.is_empty())?;
        let number = || value.parse::<u64>().map_or_else(|_| Value::from(value), Value::from);
        match key {
            "index" => options.index_kind = value.to_uppercase(),
            "surrogate_terms" => options.surrogate_terms = value.parse().ok()?,
            key if OF_SEARCH.contains(&key) => drop(options.search_params.insert(key.into(), number())),
            key if OF_MAKING.contains(&key) => drop(options.index_params.insert(key.into(), number())),
            _ => return None,
        }
    }
    Some(options)
}

fn check_name(what: &str, name: &str) -> Result<()> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_good = name.chars().all(is_plain) && !name.starts_with(|c: char| c.is_ascii_digit());
    if is_good && (1..=200).contains(&name.len()) {
        return Ok(());
    }
    Err(Error::invalid(what, format!("`{name}`"), "1 to 200 letters, digits and `_`, no digit first"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown() {
        let place: MilvusPlace = "milvus://server:1234/photos".parse().unwrap();
        assert_eq!((place.endpoint.as_str(), place.name.as_str()), ("http://server:1234", "photos"));
        assert_eq!(place.to_string(), "milvus://server:1234/photos");
        let place: MilvusPlace = "milvus+tls://[::1]/db/photos/".parse().unwrap();
        assert_eq!((place.endpoint.as_str(), place.database.as_deref()), ("https://[::1]:19530", Some("db")));
        assert_eq!(place.to_string(), "milvus+tls://[::1]:19530/db/photos");
        let place: MilvusPlace = "milvus://s/photos?index=hnsw&M=16&ef=300".parse().unwrap();
        let MilvusOptions { index_kind, index_params, search_params, .. } = place.options;
        assert_eq!((index_kind.as_str(), &index_params["M"], &search_params["ef"]), ("HNSW", &16.into(), &300.into()));
        for wrong in [
            "milvus://server",
            "milvus://server/photos?HNSW",
            "milvus://server/photos?indx=HNSW",
            "milvus:///photos",
            "http://server/photos",
            "milvus://a:b@server/photos",
        ] {
            let error = wrong.parse::<MilvusPlace>().unwrap_err();
            assert!(error.to_string().contains("HOST:PORT"), "{error}");
        }
        for wrong in ["milvus://server/my-photos", "milvus://server/1", "milvus://server/a/b/c", "milvus://server/"] {
            assert!(wrong.parse::<MilvusPlace>().unwrap_err().to_string().contains("no digit first"), "{wrong}");
        }
    }

    #[test]
    fn the_token_is_not_shown() {
        let place = MilvusPlace { token: Some("user:secret".into()), ..MilvusPlace::new("http://s:1", "n") };
        assert!(!format!("{place:?} {place}").contains("secret"));
    }
}
