import asyncio
import hmac
import json

import pytest

from gliodex.service.middleware import HEADERS, LOOPBACK, Guard
from gliodex.service.settings import Limits

TOKEN = "a-token-of-some-length"


async def plain(scope, receive, send):
    """Read all of a request, and answer with how much came."""
    count = 0
    while True:
        message = await receive()
        count += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-frame-options", b"SAMEORIGIN")]})
    await send({"type": "http.response.body", "body": str(count).encode()})


def ask(guard, path="/v1/stores", headers=None, pieces=(b"",), wait_s=0.0, method="POST"):
    """Send a request piece by piece; returns status, headers and body."""
    sent, rest = [], list(pieces)

    async def receive():
        await asyncio.sleep(wait_s)
        piece = rest.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(rest)}

    async def send(message):
        sent.append(message)

    given = [(k.encode(), v.encode()) for k, v in ({"host": "localhost:8080"} | (headers or {})).items()]
    asyncio.run(guard({"type": "http", "method": method, "path": path, "headers": given}, receive, send))
    start, body = sent
    return start["status"], {k.decode(): v.decode() for k, v in start["headers"]}, body["body"]


def refused(answer, status):
    got, headers, body = answer
    assert got == status
    assert headers["content-type"] == "application/problem+json"
    problem = json.loads(body)
    assert problem["status"] == status
    assert problem["remedy"]
    return headers


@pytest.mark.parametrize(
    ("shown", "status"),
    [
        (None, 401),
        ("Bearer wrong", 401),
        (f"Basic {TOKEN}", 401),
        (f"Bearer {TOKEN}x", 401),
        (f"Bearer {TOKEN[:-1]}", 401),
        ("Bearer", 401),
        ("Bearer \xff", 401),
        (f"Bearer {TOKEN}", 200),
        (f"bearer  {TOKEN}", 200),
    ],
)
def test_a_token_is_asked_for(shown, status):
    guard = Guard(plain, Limits(), TOKEN)
    headers = {"authorization": shown} if shown else {}
    answer = ask(guard, headers=headers)
    if status == 401:
        assert refused(answer, 401)["www-authenticate"] == "Bearer"
    else:
        assert answer[0] == 200
    assert ask(guard, "/metrics", headers)[0] == status
    assert ask(guard, "/healthz")[0] == 200
    assert ask(guard, "/")[0] == 200, "the page asks for the token itself"


def test_tokens_are_compared_in_constant_time(monkeypatch):
    compared, compare = [], hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append((a, b)) or compare(a, b))
    ask(Guard(plain, Limits(), TOKEN), headers={"authorization": "Bearer other"})
    assert compared == [(b"other", TOKEN.encode())]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8080", 200),
        ("127.0.0.1", 200),
        ("[::1]:8080", 200),
        ("LOCALHOST", 200),
        ("evil.example", 421),
        ("evil.example:8080", 421),
        ("localhost.evil.example", 421),
        ("", 421),
    ],
)
def test_a_service_on_the_loopback_answers_under_its_own_names_alone(host, status):
    answer = ask(Guard(plain, Limits(), None, LOOPBACK), headers={"host": host})
    assert answer[0] == status
    assert ask(Guard(plain, Limits()), headers={"host": host})[0] == 200


def test_too_much_is_refused_before_and_while_it_comes():
    guard = Guard(plain, Limits(upload_bytes=1 << 20))
    refused(ask(guard, headers={"content-length": str((1 << 20) + 1)}), 413)
    refused(ask(guard, headers={"content-length": "many"}), 413)
    refused(ask(guard, pieces=[bytes(1 << 19)] * 3), 413)
    assert ask(guard, pieces=[bytes(1 << 19)] * 2)[2] == str(1 << 20).encode()


def test_clients_that_fall_silent_or_trickle_are_refused():
    refused(ask(Guard(plain, Limits(silence_s=0.05)), pieces=[b"x"] * 3, wait_s=0.2), 408)
    refused(ask(Guard(plain, Limits(upload_s=0.1)), pieces=[b"x"] * 20, wait_s=0.02), 408)
    assert ask(Guard(plain, Limits(silence_s=2)), pieces=[b"x"] * 3, wait_s=0.01)[0] == 200


def test_browsers_are_told_what_they_may_do():
    _, headers, _ = ask(Guard(plain, Limits()))
    for name, value in HEADERS.items():
        if name != "x-frame-options":
            assert headers[name] == value
    assert headers["x-frame-options"] == "SAMEORIGIN", "a route may say it otherwise"
    assert headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in headers
    assert "cache-control" not in ask(Guard(plain, Limits()), "/page.js")[1]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://localhost:8080", "sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"origin": "https://evil.example", "sec-fetch-site": "cross-site"}, 403),
        ({"origin": "http://localhost:9999", "sec-fetch-site": "same-site"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_pages_of_others_may_look_but_not_ask(headers, status):
    guard = Guard(plain, Limits())
    answer = ask(guard, headers=headers)
    if status == 200:
        assert answer[0] == 200
    else:
        refused(answer, status)
    assert ask(guard, headers=headers, method="GET")[0] == 200
