"""KV moves, and what comes out is what one server alone would have said."""

import bodies
from bodies import CHAT, COMPLETIONS
from cases import World, case
from http_client import Answer, post
from processes import Router, Vllm, until

ROUNDS = 3


@case
def chat_whole(world: World) -> str:
    return same_text(world, CHAT, lambda: bodies.chat())


@case
def chat_streamed(world: World) -> str:
    return same_text(world, CHAT, lambda: bodies.streamed(bodies.chat()))


@case
def completions_whole(world: World) -> str:
    return same_text(world, COMPLETIONS, lambda: bodies.completion())


@case
def completions_streamed(world: World) -> str:
    return same_text(world, COMPLETIONS, lambda: bodies.streamed(bodies.completion()))


@case
def long_and_ragged_prompts(world: World) -> str:
    """Prompts around block edges and up to most of the context."""
    lengths = [15, 16, 17, 31, 60, 90]
    prompts = iter(lengths)
    return same_text(world, CHAT, lambda: bodies.chat(next(prompts)), rounds=len(lengths) // 2)


@case
def auto_hands_off_where_it_pays(world: World) -> str:
    """Short prompts stay whole, long ones part, and a conversation that goes on stays where it decodes."""
    short, long, going_on = bodies.chat(1), bodies.chat(60), bodies.chat(60)
    going_on["messages"] += [{"role": "assistant", "content": "so"}, {"role": "user", "content": "and then?"}]
    plans = []
    for body, wanted in ((short, "local"), (long, "handoff"), (going_on, "local")):
        answer = bodies.assert_ok(post(world.auto.url + CHAT, body, x_qoe_explain="1"))
        assert answer.headers["x-qoe-plan"].lower() == wanted, bodies.plan(answer)
        right = bodies.assert_ok(post(world.plain.url + CHAT, body))
        assert bodies.text(answer) == bodies.text(right), (bodies.text(answer), bodies.text(right))
        plans.append(f"{bodies.usage(answer)['prompt_tokens']} tokens {bodies.plan(answer)}")
    return ", ".join(plans)


def same_text(world: World, path: str, fresh, rounds: int = ROUNDS) -> str:
    """Each of `rounds` prompts through both routers, against the plain server."""
    moved = 0
    for router, decoding in ((world.pair, world.decoding[:1]), (world.square, world.decoding)):
        for _ in range(rounds):
            body = fresh()
            answer, tokens = handed_off(router, decoding, path, body)
            right = bodies.assert_ok(post(world.plain.url + path, body))
            assert bodies.text(answer) == bodies.text(right), (bodies.text(answer), bodies.text(right))
            assert bodies.usage(answer) == bodies.usage(right), (bodies.usage(answer), bodies.usage(right))
            moved += tokens
    world.tokens_moved += moved
    return f"{2 * rounds} texts equal, 1P+1D and 2P+2D; {moved} prompt tokens moved by NIXL"


def handed_off(router: Router, decoding: list[Vllm], path: str, body: dict) -> tuple[Answer, int]:
    """The answer, after proof that the whole prompt came over the wire, exactly once, and none was computed."""
    before, computed = transferred(decoding), computed_here(decoding)
    answer = bodies.assert_ok(post(router.url + path, body, x_qoe_explain="1"))
    plan = answer.headers["x-qoe-plan"]
    assert plan.lower() == "handoff", f"{plan} because {answer.headers.get('x-qoe-reason')}"
    tokens = bodies.usage(answer)["prompt_tokens"]
    until(f"{tokens} tokens moved", 5, lambda: transferred(decoding) >= before + tokens)
    assert transferred(decoding) == before + tokens, (before, tokens, transferred(decoding))
    assert computed_here(decoding) == computed, "the decoding server computed some of the prompt itself"
    return answer, tokens


def transferred(decoding: list[Vllm]) -> float:
    return sum(server.transferred_tokens() for server in decoding)


def computed_here(decoding: list[Vllm]) -> float:
    return sum(server.metric("prompt_tokens_by_source_total", source="local_compute") for server in decoding)
