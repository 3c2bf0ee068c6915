use super::*;

fn upstream(error: UpstreamError) -> Failure {
    Failure::Upstream { route: "r".into(), phase: Phase::Prefill, endpoint: "p".into(), error }
}

fn answered(status: StatusCode) -> Failure {
    let answer = Box::new(Answer { status, headers: http::HeaderMap::new(), body: Bytes::new() });
    Failure::Answered { route: "r".into(), phase: Phase::Decoding, endpoint: "d".into(), answer }
}

fn examples() -> Vec<(Failure, u16, Outcome, &'static str)> {
    let retry_after = RETRY_AFTER;
    let known = || "a, b".to_owned();
    let route = || "r".to_owned();
    let time = Duration::from_secs(2);
    use Outcome::{ClientError, Rejected};
    vec![
        (Failure::BodyMemory, 503, Outcome::Failure, "body_memory"),
        (Failure::BodyTimeout(3), 408, ClientError, "body_timeout"),
        (Failure::BodyTooLarge(3), 413, ClientError, "body_too_large"),
        (Failure::UriTooLong(3), 414, ClientError, "uri_too_long"),
        (Failure::UnknownPath("/x".into()), 404, ClientError, "unknown_path"),
        (
            Failure::MethodNotAllowed { method: http::Method::PUT, path: "/x".into() },
            405,
            ClientError,
            "method_not_allowed",
        ),
        (
            Failure::UnknownModel { model: "x".into(), known: known() },
            404,
            ClientError,
            "unknown_model",
        ),
        (Failure::NoModel { known: known() }, 400, ClientError, "no_model"),
        (Failure::NotConfigured, 503, Outcome::Failure, "not_configured"),
        (
            Failure::TooManyInFlight { route: route(), limit: 3 },
            429,
            Rejected,
            "too_many_in_flight",
        ),
        (Failure::QueueFull { route: route(), limit: 3, retry_after }, 429, Rejected, "queue_full"),
        (Failure::Unattainable { route: route(), retry_after }, 429, Rejected, "unattainable"),
        (Failure::NoEndpoint { route: route() }, 503, Outcome::Failure, "no_endpoint"),
        (upstream(UpstreamError::Timeout(time)), 504, Outcome::Failure, "timeout"),
        (upstream(UpstreamError::ConnectTimeout(time)), 502, Outcome::Failure, "connect_timeout"),
        (upstream(UpstreamError::Aborted), 502, Outcome::Failure, "aborted"),
        (answered(StatusCode::NOT_FOUND), 404, ClientError, "answered_error"),
        (answered(StatusCode::TOO_MANY_REQUESTS), 429, Rejected, "answered_error"),
        (answered(StatusCode::IM_A_TEAPOT), 418, ClientError, "answered_error"),
        (answered(StatusCode::INTERNAL_SERVER_ERROR), 500, Outcome::Failure, "answered_error"),
        (Failure::NoStoredResponse, 404, ClientError, "no_stored_response"),
        (Failure::Upgrade("x".into()), 502, Outcome::Failure, "upgrade"),
    ]
}

#[test]
fn each_failure_has_its_status_outcome_and_kind() {
    for (failure, status, outcome, kind) in examples() {
        let is = (failure.status().as_u16(), failure.outcome(), failure.kind());
        assert_eq!(is, (status, outcome, kind), "{failure}");
    }
}

#[test]
fn failures_of_endpoints_have_a_phase_and_failures_of_routes_a_route() {
    for (failure, ..) in examples() {
        let phase = match &failure {
            Failure::Upstream { .. } => Some(Phase::Prefill),
            Failure::Answered { .. } => Some(Phase::Decoding),
            _ => None,
        };
        assert_eq!(failure.phase(), phase, "{failure}");
        let message = failure.to_string();
        assert_eq!(failure.route(), message.starts_with("route `r`").then_some("r"), "{failure}");
    }
}

#[test]
fn a_refusal_names_the_setting_that_caused_it() {
    let settings = [
        ("body_memory", "--body-memory-mib"),
        ("body_too_large", "limits.maxBodyBytes"),
        ("too_many_in_flight", "limits.maxInFlight"),
        ("queue_full", "limits.maxQueued"),
        ("unattainable", "slo.onUnattainable"),
    ];
    let examples = examples();
    for (kind, setting) in settings {
        let (failure, ..) = examples.iter().find(|example| example.3 == kind).expect("an example");
        assert!(failure.to_string().contains(setting), "{failure}");
    }
}

#[test]
fn only_what_is_wrong_with_the_model_names_a_member() {
    for (failure, ..) in examples() {
        let model = matches!(failure, Failure::UnknownModel { .. } | Failure::NoModel { .. });
        assert_eq!(failure.param(), model.then_some("model"), "{failure}");
    }
}

#[test]
fn seconds_are_rounded_up() {
    for (millis, seconds) in [(0, 0), (1, 1), (999, 1), (1000, 1), (1001, 2)] {
        assert_eq!(whole_seconds(Duration::from_millis(millis)), seconds);
    }
}
