//! The generating paths, `/v1/chat/completions` and `/v1/completions`.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio::time::sleep;

use crate::app::App;
use crate::driver::{SubmitError, Ticket};
use crate::engine::request::{AddError, Prompt, Request, RequestId, Source};
use crate::handoff::{Intent, Offer, Remote, remote_name};
use crate::lock::lock;
use crate::outbox::Output;
use crate::side::{Patience, Pulled, pull};
use crate::wire::answer::{Choice, Head};
use crate::wire::body::{Api, Generation, Parsed, parse};
use crate::wire::chunks::Chunks;
use crate::wire::error::ApiError;
use crate::wire::reply::Reply;
use crate::wire::stream::SseBody;

/// How long to retry a prefill server that refuses connections and was reached before. Its process has ended then, and
/// a real connector notices the broken connection at once.
const KNOWN_PEER_PATIENCE: Duration = Duration::from_millis(30);

/// Serves one generating request.
pub(super) async fn generate(
    app: &App,
    api: Api,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Reply, ApiError> {
    let delay = app.faults.current_delay();
    if !delay.is_zero() {
        sleep(delay).await;
    }
    if let Some(status) = app.faults.next_failure() {
        return Err(ApiError::injected(status));
    }
    let Parsed { kv, generation } = parse(api, body, &app.catalog())?;
    let intent = match app.config.has_connector() {
        true => Intent::of(kv.as_ref()),
        // Without a connector vLLM ignores the parameters.
        false => Intent::Local,
    };
    let generation = match (generation, &intent) {
        (generation, Intent::Lethal) => {
            // A real engine crashes on such parameters, even in a request that is refused for another reason.
            app.die();
            return Err(generation.err().unwrap_or_else(ApiError::engine_dead));
        }
        // vLLM frees the KV of a refused request too. Without it the prefill server keeps the blocks until the lease
        // ends.
        (Err(error), Intent::Pull(remote)) => {
            drop(fetch(app, remote).await);
            return Err(error);
        }
        (generation, _) => generation?,
    };
    run(app, generation, intent, headers).await
}

/// Runs a validated request, after fetching its KV if a prefill server has it.
async fn run(
    app: &App,
    generation: Generation,
    intent: Intent,
    headers: &HeaderMap,
) -> Result<Reply, ApiError> {
    let pulled = match &intent {
        Intent::Pull(remote) => Some(fetch(app, remote).await?),
        _ => None,
    };
    let requests = requests(app, &generation, &intent, pulled.as_ref());
    let ticket = app.driver.submit(requests).map_err(refusal)?;
    let id = answer_id(app, generation.api, headers);
    let stream = generation.stream;
    let head = Head::new(generation, id, app.unix_time() as u64);
    if stream {
        return Ok(Reply::stream(SseBody::new(ticket, pulled, Chunks::new(head))));
    }
    let (choices, leased) = collect(&ticket, head.choices(), pulled).await?;
    let kv =
        leased.map(|(at, blocks)| offer(app, &head, ticket.ids[at], at, &choices[at], &blocks));
    Ok(Reply::json(StatusCode::OK, head.whole(&choices, kv.as_ref())))
}

fn api_prefix(api: Api) -> &'static str {
    match api {
        Api::Chat => "chatcmpl",
        Api::Completion => "cmpl",
    }
}

/// The id of the answer, such as `chatcmpl-<X-Request-Id>`, with a new id if the header is missing.
fn answer_id(app: &App, api: Api, headers: &HeaderMap) -> String {
    let prefix = api_prefix(api);
    let given = headers.get("x-request-id").and_then(|id| id.to_str().ok());
    given.map_or_else(|| format!("{prefix}-{}", app.fresh_id()), |id| format!("{prefix}-{id}"))
}

fn refusal(error: SubmitError) -> ApiError {
    match error {
        SubmitError::Refused(AddError::QueueFull) => ApiError::busy(),
        SubmitError::Refused(AddError::TooLong) => {
            let what = "The request does not fit into the KV cache.";
            ApiError::bad_value("input_tokens", "", what)
        }
        SubmitError::Dead => ApiError::engine_dead(),
    }
}

/// Fetches KV from a prefill server, and counts failures.
async fn fetch(app: &App, remote: &Remote) -> Result<Pulled, ApiError> {
    let peer = (remote.host.clone(), remote.port);
    let known = lock(&app.peers).contains(&peer);
    let slow = app.config.pull_timeout;
    let patience = Patience { gone: if known { KNOWN_PEER_PATIENCE } else { slow }, slow };
    let pulled = match remote.engine_id == app.engine_id {
        // A real connector cannot connect to itself, so such a request fails.
        true => None,
        false => pull(remote, patience)
            .await
            .inspect_err(|error| tracing::debug!(%error, "KV could not be fetched"))
            .ok(),
    };
    let Some(pulled) = pulled else {
        app.driver.with_engine(|engine, _| engine.count_failed_transfer());
        return Err(ApiError::internal());
    };
    lock(&app.peers).insert(peer);
    Ok(pulled)
}

/// The requests to the engine: every sample of every prompt. `submit` assigns their ids.
fn requests(
    app: &App,
    generation: &Generation,
    intent: &Intent,
    pulled: Option<&Pulled>,
) -> Vec<Request> {
    let block_size = app.driver.with_engine(|engine, _| engine.config().block_size);
    let mut requests = Vec::new();
    for (prompt, max_tokens) in generation.prompts.iter().zip(&generation.max_tokens) {
        let prompt = Prompt::of(prompt, block_size);
        let source = source(app, intent, pulled, &prompt);
        for variant in 0..generation.samples {
            requests.push(Request {
                min_tokens: generation.min_tokens,
                until_end: generation.until_end,
                variant,
                priority: generation.priority,
                source: source.clone(),
                ..Request::new(0, prompt.clone(), *max_tokens)
            });
        }
    }
    requests
}

fn source(app: &App, intent: &Intent, pulled: Option<&Pulled>, prompt: &Prompt) -> Source {
    match (intent, pulled) {
        (Intent::Produce, _) => Source::Produce,
        (Intent::Pull(remote), Some(pulled)) => app.driver.with_engine(|engine, _| {
            let block_size = engine.config().block_size;
            let here = engine.pool().cached_prefix(&prompt.blocks) as u32 * block_size;
            let moved = pulled.tokens.saturating_sub(here);
            let bandwidth = app.config.kv_gigabits_per_second;
            Source::Pulled {
                content: pulled.content,
                transfer: engine.profile().transfer_time(moved, bandwidth),
                remote_cached: remote.cached,
            }
        }),
        _ => Source::Local,
    }
}

/// The index of the choice that keeps blocks for a decoding server, and those blocks.
type Leased = Option<(usize, Vec<u32>)>;

/// Collects the outputs until all choices have ended.
async fn collect(
    ticket: &Ticket,
    count: usize,
    mut pulled: Option<Pulled>,
) -> Result<(Vec<Choice>, Leased), ApiError> {
    let mut choices: Vec<Choice> = (0..count).map(|_| Choice::default()).collect();
    let mut leased = None;
    let mut outputs = Vec::new();
    while choices.iter().any(|choice| choice.reason.is_none()) {
        poll_fn(|cx| ticket.outbox.poll_take(cx, &mut outputs)).await;
        for output in outputs.drain(..) {
            match output {
                Output::Prefilled(at, prefilled) => {
                    // The KV has been read, so the prefill server may free it while decoding continues.
                    pulled = None;
                    choices[at].prefilled = prefilled;
                }
                Output::Token(at, token, finish) => {
                    choices[at].tokens.push(token);
                    let Some(finish) = finish else { continue };
                    choices[at].reason = Some(finish.reason);
                    leased = finish.leased.map(|blocks| (at, blocks)).or(leased);
                }
                Output::Failed => return Err(ApiError::engine_dead()),
            }
        }
    }
    drop(pulled);
    Ok((choices, leased))
}

/// The `kv_transfer_params` with which a decoding server fetches the KV of choice `at`.
fn offer(
    app: &App,
    head: &Head,
    id: RequestId,
    at: usize,
    choice: &Choice,
    blocks: &[u32],
) -> Value {
    let prompt = at / head.samples;
    let base = match head.api {
        Api::Chat => head.id.clone(),
        Api::Completion => format!("{}-{prompt}", head.id),
    };
    let offer = Offer {
        engine_id: &app.engine_id,
        name: remote_name(&base, id),
        host: app.side_host(),
        port: app.side_port,
        blocks,
        tokens: head.prompts[prompt].len(),
        cached: choice.prefilled.cached,
    };
    offer.params()
}
