"""Bodies that end an engine or leave it hanging when they reach it, sent through the router."""

import json

import bodies
from bodies import CHAT, COMPLETIONS
from cases import World, case
from http_client import post
from processes import Vllm, until

# On vLLM 0.32 the first ends the process: the request is refused, and telling the connector so fails.
DEADLY = {"max_tokens": 99_999, "kv_transfer_params": {"do_remote_prefill": True}}
# Names a server that does not exist, and no request on it: waits for ever, and ends the engine if the client leaves.
HANGING = {
    "do_remote_prefill": True,
    "do_remote_decode": False,
    "remote_block_ids": [[1, 2, 3]],
    "remote_engine_id": "00000000-0000-0000-0000-000000000000",
    "remote_host": "127.0.0.1",
    "remote_port": 9,
}


@case
def deadly_body_is_defused(world: World) -> str:
    tried = 0
    for path, base in ((CHAT, bodies.chat()), (COMPLETIONS, bodies.completion())):
        for body in (json.dumps(base | DEADLY), json.dumps(bodies.streamed(base) | DEADLY), *disguised(base | DEADLY)):
            for router in (world.pair, world.square):
                answer = post(router.url + path, body)
                assert answer.status == 400, (answer.status, answer.text[:300], body[-200:])
                tried += 1
    return f"{tried} sent, refused for max_tokens alone; {all_serve(world)}"


@case
def deadly_body_on_other_paths(world: World) -> str:
    words = [{"role": "user", "content": bodies.prompt()}]
    tried = {
        "/v1/responses": {"model": "tiny", "input": "hello", "max_output_tokens": 99_999},
        "/v1/messages": {"model": "tiny", "messages": words, "max_tokens": 99_999},
        "/v1/chat/completions/batch": {"model": "tiny", "messages": [words], "max_tokens": 99_999},
        "/invocations": {"model": "tiny", "messages": words, "max_tokens": 99_999},
    }
    statuses = {}
    for path, body in tried.items():
        params = DEADLY["kv_transfer_params"]
        statuses[path] = post(world.square.url + path, body | {"kv_transfer_params": params}).status
        assert statuses[path] >= 400, statuses
    return f"{statuses}; {all_serve(world)}"


@case
def params_from_clients_are_dropped(world: World) -> str:
    """Served as if the client had not sent them."""
    extras = [
        {"kv_transfer_params": HANGING},
        {"kv_transfer_params": {"do_remote_decode": True}},
        {"kv_transfer_params": "nonsense"},
        {"kv_transfer_params": HANGING, "ec_transfer_params": {"a": 1}, "bootstrap_host": "x", "bootstrap_room": 1},
    ]
    for extra in extras:
        for body in (bodies.chat(), bodies.chat(sentences=1)):
            answer = bodies.assert_ok(post(world.square.url + CHAT, body | extra))
            assert bodies.text(answer) == bodies.text(post(world.plain.url + CHAT, body)), extra
            assert not answer.json.get("kv_transfer_params"), "where KV lies is nothing for a client"
    return f"{2 * len(extras)} texts right, no params in an answer; {all_serve(world)}"


def disguised(body: dict) -> list[str]:
    """The same member once more under other spellings of its name, first, last, and twice."""
    params = json.dumps(body["kv_transfer_params"])
    rest = json.dumps({key: value for key, value in body.items() if key != "kv_transfer_params"})[1:-1]
    escaped = '"kv\\u005ftransfer\\u005Fparams"'
    return [
        f"{{{escaped}: {params}, {rest}}}",
        f"{{{rest}, {escaped}: {params}}}",
        f'{{"kv_transfer_params": null, {rest}, "kv_transfer_params": {params}}}',
        f'{{\n\t"kv_transfer_params"\r\n :{params} ,{rest}}}',
    ]


def all_serve(world: World) -> str:
    """A body answered by each server itself: an engine that has ended answers 500 at once."""
    for server in world.servers:
        bodies.assert_ok(post(server.url + CHAT, bodies.chat(sentences=1, max_tokens=2)))
        assert server.alive(), f"{server.name} has ended"
    return f"all {len(world.servers)} engines serve"


def ended_by(server: Vllm, seconds: float = 30) -> None:
    post(server.url + CHAT, bodies.chat() | DEADLY)
    until(f"{server.name} ends", seconds, lambda: not server.alive())
