"""What an application says of faults of its own."""

import asyncio

import pytest

pytest.importorskip("fastapi", reason="pip install 'gliodex[serve]'")

import httpx

from gliodex.service.app import make_app
from gliodex.service.context import Context
from gliodex.service.settings import ServiceSettings


def test_a_fault_is_a_problem_document_and_counted(small_store, tmp_path, monkeypatch):
    context = Context.begin(ServiceSettings({"small": str(small_store)}, tmp_path))
    monkeypatch.setattr(context.jobs, "scratch", lambda: 1 / 0)

    async def ask():
        transport = httpx.ASGITransport(make_app(context))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            answer = await client.post("/v1/previews", files={"seg": b"x"})
            return answer, (await client.get("/metrics")).text

    try:
        answer, metrics = asyncio.run(ask())
    finally:
        context.close()
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "ZeroDivisionError" in answer.json()["detail"]
    assert 'route="/v1/previews",status="500"} 1.0' in metrics
