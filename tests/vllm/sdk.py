"""The official `openai` Python client, unchanged but for its base URL."""

import openai

import bodies
from bodies import CHAT
from cases import World, case
from http_client import post


def client(world: World) -> openai.OpenAI:
    return openai.OpenAI(base_url=world.square.url + "/v1", api_key="none", max_retries=0, timeout=60)


@case
def openai_client_answers(world: World) -> str:
    sdk, body = client(world), bodies.chat()
    whole = sdk.chat.completions.create(**body)
    with sdk.chat.completions.create(**bodies.streamed(body)) as stream:
        chunks = list(stream)
    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    right = bodies.assert_ok(post(world.plain.url + CHAT, body))
    assert whole.choices[0].message.content == streamed == bodies.text(right), (whole, streamed, right.json)
    # Not `max_tokens`: about one answer in a hundred ends by itself.
    counted = [chunks[-1].usage.completion_tokens, whole.usage.completion_tokens]
    assert counted == [bodies.usage(right)["completion_tokens"]] * 2, (counted, right.json)
    asked = bodies.completion()
    completed = sdk.completions.create(**asked).choices[0].text
    joined = "".join(chunk.choices[0].text for chunk in sdk.completions.create(**asked, stream=True) if chunk.choices)
    assert completed == joined, (completed, joined)
    assert [model.id for model in sdk.models.list()] == ["tiny"]
    raw = sdk.chat.completions.with_raw_response.create(**body)
    assert raw.request_id == raw.headers["x-request-id"]
    return f"openai {openai.__version__}: chat, completions, both streamed ({len(chunks)} chunks), models, request id"


@case
def openai_client_raises(world: World) -> str:
    sdk = client(world)
    raised = [
        expect(openai.NotFoundError, lambda: sdk.chat.completions.create(**{**bodies.chat(), "model": "absent"})),
        expect(openai.BadRequestError, lambda: sdk.chat.completions.create(**bodies.chat(top_p=7))),
        expect(openai.NotFoundError, lambda: sdk.embeddings.create(model="tiny", input="a text")),
    ]
    return ", ".join(raised)


def expect(kind: type[openai.APIStatusError], call) -> str:
    try:
        call()
    except kind as error:
        assert error.body, f"{kind.__name__} without what the server said: {error!r}"
        return type(error).__name__
    raise AssertionError(f"no {kind.__name__}")
