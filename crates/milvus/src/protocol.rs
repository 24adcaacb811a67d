//! The messages of Milvus' gRPC protocol that are needed, with the fields that are needed of each; tags and types are
//! those of milvus-proto (Apache-2.0), which keeps them over versions. What else a server sends is passed over.

/// `milvus.proto.milvus.MilvusService`.
pub(super) const SERVICE: &str = "/milvus.proto.milvus.MilvusService/";
/// `DataType`.
pub(super) const INT64: i32 = 5;
/// `DataType`.
pub(super) const VAR_CHAR: i32 = 21;
/// `DataType` and `PlaceholderType`.
pub(super) const FLOAT_VECTOR: i32 = 101;
/// `LoadState`.
pub(super) const LOADED: i32 = 3;
/// `ConsistencyLevel`: what anybody wrote is found, which a server may wait for.
pub(super) const STRONG: i32 = 0;
/// `ConsistencyLevel`: what was written until the timestamp that is given is found.
pub(super) const SESSION: i32 = 1;
/// `DslType`.
pub(super) const BOOL_EXPR: i32 = 1;
/// `Status::code` and, in old servers, the only sign of a collection that is missing.
pub(super) const NO_COLLECTION: i32 = 100;
/// `Status::code` of a collection that is not in memory, as after a restart of some servers.
pub(super) const NOT_LOADED: i32 = 101;
/// `Status::code` of a collection whose vectors have no index yet.
pub(super) const NO_INDEX: i32 = 700;
/// `Status::code` where a part of the server is missing or recovers: the same request may succeed later.
const TEMPORARY: [i32; 6] = [106, 503, 901, 902, 904, 905];
/// The same as texts, where servers use one code for several things.
const TEMPORARY_REASONS: [&str; 4] = ["not ready", "service unavailable", "rate limit", "too many requests"];

/// A request, and its method.
pub(super) trait Ask: prost::Message + Clone + 'static {
    const METHOD: &'static str;
    /// Whether it changes something.
    const WRITES: bool;
    type Answer: Answer;
}

/// What is answered.
pub(super) trait Answer: prost::Message + Default + 'static {
    fn status(&self) -> Option<&Status>;
}

macro_rules! asks {
    ($writes:literal: $($request:ident => $answer:ident),* $(,)?) => {
        $(impl Ask for $request {
            const METHOD: &'static str = method(stringify!($request));
            const WRITES: bool = $writes;
            type Answer = $answer;
        })*
    };
}

macro_rules! answers {
    ($($answer:ident),* $(,)?) => {
        $(impl Answer for $answer {
            fn status(&self) -> Option<&Status> {
                self.status.as_ref()
            }
        })*
    };
}

/// `Search` of `SearchRequest`.
const fn method(request: &'static str) -> &'static str {
    request.split_at(request.len() - "Request".len()).0
}

asks!(true:
    AlterCollectionRequest => Status,
    CreateCollectionRequest => Status,
    CreateIndexRequest => Status,
    DeleteRequest => MutationResult,
    DropCollectionRequest => Status,
    FlushRequest => FlushResponse,
    UpsertRequest => MutationResult,
);
asks!(false:
    DescribeCollectionRequest => DescribeCollectionResponse,
    GetLoadStateRequest => GetLoadStateResponse,
    LoadCollectionRequest => Status,
    QueryRequest => QueryResults,
    SearchRequest => SearchResults,
);
answers!(DescribeCollectionResponse, FlushResponse, GetLoadStateResponse, MutationResult, QueryResults, SearchResults,);

impl Answer for Status {
    fn status(&self) -> Option<&Status> {
        Some(self)
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Status {
    #[prost(int32, tag = "1")]
    pub(super) error_code: i32,
    #[prost(string, tag = "2")]
    pub(super) reason: String,
    #[prost(int32, tag = "3")]
    pub(super) code: i32,
}

impl Status {
    /// Whether the same request may succeed a moment later.
    pub(super) fn is_temporary(&self) -> bool {
        let reason = self.reason.to_lowercase();
        TEMPORARY.contains(&self.code) || TEMPORARY_REASONS.iter().any(|text| reason.contains(text))
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct KeyValuePair {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct CollectionSchema {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, repeated, tag = "4")]
    pub(super) fields: Vec<FieldSchema>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct FieldSchema {
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(bool, tag = "3")]
    pub(super) is_primary_key: bool,
    #[prost(int32, tag = "5")]
    pub(super) data_type: i32,
    #[prost(message, repeated, tag = "6")]
    pub(super) type_params: Vec<KeyValuePair>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct FieldData {
    #[prost(int32, tag = "1")]
    pub(super) data_type: i32,
    #[prost(string, tag = "2")]
    pub(super) field_name: String,
    #[prost(message, optional, tag = "3")]
    pub(super) scalars: Option<ScalarField>,
    #[prost(message, optional, tag = "4")]
    pub(super) vectors: Option<VectorField>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ScalarField {
    #[prost(message, optional, tag = "3")]
    pub(super) long_data: Option<LongArray>,
    #[prost(message, optional, tag = "6")]
    pub(super) string_data: Option<StringArray>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct VectorField {
    #[prost(int64, tag = "1")]
    pub(super) dim: i64,
    #[prost(message, optional, tag = "2")]
    pub(super) float_vector: Option<FloatArray>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct FloatArray {
    #[prost(float, repeated, tag = "1")]
    pub(super) data: Vec<f32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct LongArray {
    #[prost(int64, repeated, tag = "1")]
    pub(super) data: Vec<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct StringArray {
    #[prost(string, repeated, tag = "1")]
    pub(super) data: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Ids {
    #[prost(message, optional, tag = "2")]
    pub(super) str_id: Option<StringArray>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PlaceholderGroup {
    #[prost(message, repeated, tag = "1")]
    pub(super) placeholders: Vec<PlaceholderValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PlaceholderValue {
    #[prost(string, tag = "1")]
    pub(super) tag: String,
    #[prost(int32, tag = "2")]
    pub(super) placeholder_type: i32,
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub(super) values: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct CreateCollectionRequest {
    #[prost(string, tag = "3")]
    pub(super) collection_name: String,
    /// A [`CollectionSchema`].
    #[prost(bytes = "vec", tag = "4")]
    pub(super) schema: Vec<u8>,
    #[prost(int32, tag = "5")]
    pub(super) shards_num: i32,
    #[prost(int32, tag = "6")]
    pub(super) consistency_level: i32,
    #[prost(message, repeated, tag = "7")]
    pub(super) properties: Vec<KeyValuePair>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct DescribeCollectionRequest {
    #[prost(string, tag = "3")]
    pub(super) collection_name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct DescribeCollectionResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<Status>,
    #[prost(message, repeated, tag = "13")]
    pub(super) properties: Vec<KeyValuePair>,
}

/// Sets properties of a collection.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AlterCollectionRequest {
    #[prost(string, tag = "3")]
    pub(super) collection_name: String,
    #[prost(message, repeated, tag = "5")]
    pub(super) properties: Vec<KeyValuePair>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct DropCollectionRequest {
    #[prost(string, tag = "3")]
    pub(super) collection_name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct CreateIndexRequest {
    #[prost(string, tag = "3")]
    pub(super) collection_name: String,
    #[prost(string, tag = "4")]
    pub(super) field_name: String,
    #[prost(message, repeated, tag = "5")]
    pub(super) extra_params: Vec<KeyValuePair>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct LoadCollectionRequest {
    #[prost(string, tag = "3")]
    pub(super) collection_name: String,
    #[prost(int32, tag = "4")]
    pub(super) replica_number: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct GetLoadStateRequest {
    #[prost(string, tag = "2")]
    pub(super) collection_name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct GetLoadStateResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<Status>,
    #[prost(int32, tag = "2")]
    pub(super) state: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct UpsertRequest {
    #[prost(string, tag = "3")]
    pub(super) collection_name: String,
    #[prost(message, repeated, tag = "5")]
    pub(super) fields_data: Vec<FieldData>,
    #[prost(uint32, tag = "7")]
    pub(super) num_rows: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct DeleteRequest {
    #[prost(string, tag = "3")]
    pub(super) collection_name: String,
    #[prost(string, tag = "5")]
    pub(super) expr: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct MutationResult {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<Status>,
    #[prost(uint64, tag = "9")]
    pub(super) timestamp: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct FlushRequest {
    #[prost(string, repeated, tag = "3")]
    pub(super) collection_names: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct FlushResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<Status>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct QueryRequest {
    #[prost(string, tag = "3")]
    pub(super) collection_name: String,
    #[prost(string, tag = "4")]
    pub(super) expr: String,
    #[prost(string, repeated, tag = "5")]
    pub(super) output_fields: Vec<String>,
    #[prost(uint64, tag = "8")]
    pub(super) guarantee_timestamp: u64,
    #[prost(message, repeated, tag = "9")]
    pub(super) query_params: Vec<KeyValuePair>,
    #[prost(int32, tag = "11")]
    pub(super) consistency_level: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct QueryResults {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<Status>,
    #[prost(message, repeated, tag = "2")]
    pub(super) fields_data: Vec<FieldData>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SearchRequest {
    #[prost(string, tag = "3")]
    pub(super) collection_name: String,
    /// The filter.
    #[prost(string, tag = "5")]
    pub(super) dsl: String,
    /// A [`PlaceholderGroup`].
    #[prost(bytes = "vec", tag = "6")]
    pub(super) placeholder_group: Vec<u8>,
    #[prost(int32, tag = "7")]
    pub(super) dsl_type: i32,
    #[prost(message, repeated, tag = "9")]
    pub(super) search_params: Vec<KeyValuePair>,
    /// What was written until then is found.
    #[prost(uint64, tag = "11")]
    pub(super) guarantee_timestamp: u64,
    #[prost(int64, tag = "12")]
    pub(super) nq: i64,
    #[prost(int32, tag = "14")]
    pub(super) consistency_level: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SearchResults {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<Status>,
    #[prost(message, optional, tag = "2")]
    pub(super) results: Option<SearchResultData>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SearchResultData {
    #[prost(message, optional, tag = "5")]
    pub(super) ids: Option<Ids>,
}
