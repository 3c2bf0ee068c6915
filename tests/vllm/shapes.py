"""Requests with something unusual in them come out as from one server alone, handed off or not."""

import bodies
from bodies import CHAT, COMPLETIONS
from cases import World, case
from http_client import Answer, post

TOOL = {
    "type": "function",
    "function": {
        "name": "measure",
        "parameters": {"type": "object", "properties": {"width": {"type": "integer"}}, "required": ["width"]},
    },
}


@case
def several_choices(world: World) -> str:
    """vLLM gives each choice its own seed, so even sampled ones repeat."""
    sampled = {"n": 3, "temperature": 0.9, "seed": 7}
    plans = alike(world, CHAT, bodies.chat(**sampled)), alike(world, COMPLETIONS, bodies.completion(**sampled))
    streams = alike(world, CHAT, bodies.streamed(bodies.chat(**sampled)))
    return f"3 choices each, {said(*plans, streams)}"


@case
def logprobs(world: World) -> str:
    plans = (
        alike(world, CHAT, bodies.chat(logprobs=True, top_logprobs=3)),
        alike(world, COMPLETIONS, bodies.completion(logprobs=3)),
    )
    return f"within 0.01, {said(*plans)}"


@case
def echo(world: World) -> str:
    body = bodies.completion(echo=True)
    plan = alike(world, COMPLETIONS, body)
    told = bodies.text(post(world.square.url + COMPLETIONS, body))
    assert told.startswith(body["prompt"]), told[:80]
    with_logprobs = alike(world, COMPLETIONS, bodies.completion(echo=True, logprobs=1))
    return f"prompt repeated, {said(plan)}; with the prompt's logprobs, {said(with_logprobs)}"


@case
def prompt_arrays(world: World) -> str:
    texts = bodies.completion(prompt=[bodies.prompt(), bodies.prompt(), bodies.prompt()])
    tokens = bodies.completion(prompt=[7, 11, 13, 17] * 90)
    lists = bodies.completion(prompt=[[5, 19, 23] * 100, [29, 31] * 150])
    plans = [alike(world, COMPLETIONS, body) for body in (texts, tokens, lists)]
    stream = alike(world, COMPLETIONS, bodies.streamed(bodies.completion(prompt=[bodies.prompt(), bodies.prompt()])))
    return f"texts, tokens, lists of tokens: {said(*plans)}; streamed: {said(stream)}"


@case
def tools(world: World) -> str:
    """These servers run without a tool parser: what they say about it must reach the client."""
    silent = alike(world, CHAT, bodies.chat(tools=[TOOL], tool_choice="none"))
    named = {"type": "function", "function": {"name": "measure"}}
    refused = [
        alike(world, CHAT, bodies.chat(tools=[TOOL]), status=400),
        alike(world, CHAT, bodies.chat(tools=[TOOL], tool_choice=named), status=400),
    ]
    return f"none: {silent}; auto and named refused as by the server: {said(*refused)}"


@case
def one_token(world: World) -> str:
    plans = [
        alike(world, CHAT, bodies.chat(max_tokens=1)),
        alike(world, CHAT, bodies.streamed(bodies.chat(max_tokens=1))),
        alike(world, COMPLETIONS, bodies.completion(max_tokens=1)),
    ]
    return said(*plans)


@case
def other_limits(world: World) -> str:
    """Members that the prefill leg must change come back as the client sent them."""
    modern = bodies.chat(max_completion_tokens=9)
    del modern["max_tokens"]
    at_least = bodies.chat(min_tokens=12, max_tokens=12)
    object_format = bodies.chat(response_format={"type": "json_object"}, max_tokens=30)
    return said(*(alike(world, CHAT, body) for body in (modern, at_least, object_format)))


def alike(world: World, path: str, body: dict, status: int = 200) -> str:
    """Asserts that router and plain server say the same of `body`; the plan that the router took."""
    routed = post(world.square.url + path, body, x_qoe_explain="1")
    right = post(world.plain.url + path, body)
    assert routed.status == right.status == status, (routed.status, right.status, routed.text[:400])
    if status == 200:
        bodies.assert_alike(content(routed), content(right))
        assert bodies.usage(routed) == bodies.usage(right)
    else:
        assert routed.json["error"]["message"] == right.json["error"]["message"], routed.text
    return bodies.plan(routed)


def content(answer: Answer):
    """The choices; of a stream their joined texts, since how tokens share chunks is chance."""
    if not answer.events:
        return answer.json["choices"]
    indices = {choice["index"] for event in answer.events for choice in event["choices"]}
    return {index: bodies.text(answer, index) for index in indices}


def said(*plans: str) -> str:
    return ", ".join(dict.fromkeys(plans))
