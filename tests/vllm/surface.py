"""The rest of vLLM's HTTP surface through the router: what passes, what is merged, what is kept away."""

import bodies
from bodies import CHAT
from cases import World, case
from http_client import get, post, request

# All exist on these servers, which are started in vLLM's development mode for this purpose.
ADMINISTRATIVE = [
    ("POST", "/reset_prefix_cache"),
    ("POST", "/reset_mm_cache"),
    ("POST", "/sleep"),
    ("POST", "/wake_up"),
    ("POST", "/pause"),
    ("POST", "/abort_requests"),
    ("POST", "/collective_rpc"),
    ("POST", "/v1/load_lora_adapter"),
    ("POST", "/v1/unload_lora_adapter"),
    ("POST", "/start_weight_update"),
    ("POST", "/update_weights"),
    ("POST", "/release_kv_cache_memory"),
    ("POST", "/scale_elastic_ep"),
    ("GET", "/adapters"),
    ("GET", "/server_info"),
]
# The same path, spelled so that a careless filter lets it through and a server still knows it.
DISGUISED = [
    ("POST", "/%72eset_prefix_cache"),
    ("POST", "//reset_prefix_cache"),
    ("POST", "/reset_prefix_cache/"),
    ("POST", "/reset_prefix_cache?model=tiny"),
    ("POST", "/v1/../reset_prefix_cache"),
    ("POST", "/./reset_prefix_cache"),
]


@case
def explained(world: World) -> str:
    body = bodies.chat()
    asked = bodies.assert_ok(post(world.pair.url + CHAT, body, x_qoe_explain="1", x_request_id="asked-1")).headers
    assert asked["x-qoe-plan"].lower() == "handoff", asked
    assert asked["x-qoe-prefill"] == "p0" and asked["x-qoe-decoding"] == "d0", asked
    assert asked["x-qoe-reason"], asked
    assert asked["x-request-id"] == "asked-1", asked
    silent = bodies.assert_ok(post(world.pair.url + CHAT, body))
    assert silent.headers["x-request-id"], silent.headers
    assert not [name for name in silent.headers if name.startswith("x-qoe")], silent.headers
    assert silent.headers["x-request-id"] in silent.json["id"], (silent.headers, silent.json["id"])
    return f"handoff from p0 to d0 because {asked['x-qoe-reason']}; request id kept, made, and the servers' own"


@case
def administrative_paths_are_shut(world: World) -> str:
    direct = post(world.plain.url + "/reset_prefix_cache", {})
    assert direct.status == 200, f"the server itself must know the path: {direct.status}"
    refused = []
    for method, path in ADMINISTRATIVE + DISGUISED:
        answer = request(method, world.pair.url + path, {} if method == "POST" else None)
        assert answer.status in (400, 403, 404, 405), f"{method} {path}: {answer.status} {answer.text[:200]}"
        refused.append(path)
    for server in (world.prefill[0], world.decoding[0]):
        for line in server.log.read_text(errors="replace").splitlines():
            assert not any(f"{method} {path}" in line for method, path in ADMINISTRATIVE + DISGUISED), line
    return f"{len(refused)} requests refused, none in a server's log"


@case
def models_are_merged(world: World) -> str:
    listed = get(world.square.url + "/v1/models").json
    assert listed["object"] == "list" and [one["id"] for one in listed["data"]] == ["tiny"], listed
    own = get(world.plain.url + "/v1/models").json["data"][0]
    assert listed["data"][0]["max_model_len"] == own["max_model_len"], listed
    return f"4 servers, 1 model of {own['max_model_len']} tokens"


@case
def other_paths_pass(world: World) -> str:
    words = {"model": "tiny", "prompt": "what the tokenizer says"}
    tokens = post(world.pair.url + "/tokenize", words).json
    assert tokens == post(world.plain.url + "/tokenize", words).json, tokens
    back = post(world.pair.url + "/detokenize", {"model": "tiny", "tokens": tokens["tokens"]}).json
    assert back["prompt"] == words["prompt"], back
    embeddings = {"model": "tiny", "input": "a text"}
    routed, right = (post(one.url + "/v1/embeddings", embeddings) for one in (world.pair, world.plain))
    assert (routed.status, routed.text) == (right.status, right.text) and right.status >= 400, routed
    return f"{tokens['count']} tokens there and back; /v1/embeddings is {right.status} as on the server"


@case
def errors_say_what_to_check(world: World) -> str:
    unknown = {"model": "no-such-model", "messages": [{"role": "user", "content": "hello"}]}
    bodies.assert_openai_error(post(world.pair.url + CHAT, unknown), 404, "no-such-model", "tiny")
    bodies.assert_openai_error(post(world.pair.url + CHAT, '{"model": "tiny", "messages": ['), 400)
    for refused in (bodies.chat(temperature=-1), bodies.chat(max_tokens=99_999), bodies.chat(sentences=200)):
        routed, right = post(world.pair.url + CHAT, refused), post(world.plain.url + CHAT, refused)
        assert routed.status == right.status == 400, (routed.status, right.status, routed.text)
        assert routed.json["error"]["message"] == right.json["error"]["message"], routed.text
    return "unknown model 404 naming tiny, cut JSON 400, 3 refusals in the server's own words"
