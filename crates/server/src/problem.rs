//! [`Problem`]: an error as the client sees it (RFC 9457).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use gxn_base::{Error, Kind, Remedy};
use serde::Serialize;
use utoipa::ToSchema;

/// Seconds after which a client may try again when the server has too much to do.
const RETRY_AFTER: u32 = 1;

/// What went wrong with a request, as `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Problem {
    /// A name for this kind of problem.
    #[serde(rename = "type")]
    #[schema(example = "urn:gxn:problem:not-found")]
    pub kind: String,
    /// The same for people.
    pub title: String,
    /// The HTTP status.
    #[schema(value_type = u16, example = 404)]
    #[serde(serialize_with = "as_number")]
    pub status: StatusCode,
    /// What was found and what was expected.
    pub detail: String,
    /// What to do, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// Result of a handler.
pub type Answer<T> = std::result::Result<T, Problem>;

fn as_number<S: serde::Serializer>(status: &StatusCode, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u16(status.as_u16())
}

impl Problem {
    fn new(status: StatusCode, name: &str, title: &str, detail: impl Into<String>) -> Self {
        let kind = format!("urn:gxn:problem:{name}");
        Self { kind, title: title.into(), status, detail: detail.into(), remedy: None }
    }

    /// The same with what to do.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// A request that is not of the form that it must have.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", "The request is not valid", detail)
    }

    /// Something that does not exist.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is no such thing", detail)
    }

    /// A method that a route does not have.
    pub fn method(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method", "The route does not have this method", detail)
    }

    /// More than the limits allow.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The request is too large", detail)
    }

    /// A content type that is not read.
    pub fn media_type(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", "The content type is not read here", detail)
    }

    /// A missing or wrong key.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "A key is needed", detail)
            .with_remedy("send the header `Authorization: Bearer KEY`")
    }

    /// Something that nobody may do here.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "This is not allowed", detail)
    }

    /// Something that this model, index or server cannot do.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", "The model or the index does not allow it", detail)
    }

    /// Too much to do.
    pub fn busy(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "The server has too much to do", detail)
            .with_remedy("try again in a second")
    }

    /// A fault of the server's.
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The server failed", detail)
            .with_remedy("the server's log says more")
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        use Remedy as R;
        // What another model or index could do, but not this one.
        let lacks_ability = matches!(
            error.remedy(),
            Some(R::TrainCaptions | R::TrainGenerator | R::IndexDataset | R::Calibrate | R::NameRun)
        );
        let detail = error.to_string();
        let problem = match error.kind() {
            _ if lacks_ability => Self::conflict(detail),
            Kind::NotFound => Self::not_found(detail),
            Kind::Invalid => Self::invalid(detail),
            Kind::Conflict => Self::conflict(detail),
            Kind::Unsupported => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "unsupported", "This cannot be processed", detail)
            }
            Kind::Busy | Kind::Interrupted => Self::busy(detail),
            _ => {
                // The cause may name files of the server: it goes to the log alone.
                tracing::error!(error = error.in_full(), "request failed");
                Self::internal(detail)
            }
        };
        match error.hint() {
            Some(hint) => problem.with_remedy(hint),
            None => problem,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status;
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_status_and_bad_input_is_no_fault_of_the_server() {
        let status = |kind| Problem::from(Error::new(kind, "a", "b", "c")).status.as_u16();
        let kinds = [
            (Kind::NotFound, 404),
            (Kind::Invalid, 400),
            (Kind::Damaged, 500),
            (Kind::Conflict, 409),
            (Kind::Unsupported, 422),
            (Kind::Busy, 503),
            (Kind::Interrupted, 503),
            (Kind::Io, 500),
        ];
        for (kind, expected) in kinds {
            assert_eq!(status(kind), expected, "{kind:?}");
        }
        let error = Error::unsupported("the model", "one", "another").with_remedy(Remedy::TrainCaptions);
        let problem = Problem::from(error);
        assert_eq!((problem.status.as_u16(), problem.remedy.is_some()), (409, true));
    }

    #[test]
    fn a_problem_is_json_with_its_headers() {
        let response = Problem::busy("256 wait").into_response();
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        let json = serde_json::to_value(Problem::not_found("x")).unwrap();
        assert_eq!((&json["type"], &json["status"]), (&"urn:gxn:problem:not-found".into(), &404.into()));
    }
}
