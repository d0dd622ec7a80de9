"""What the OpenAPI document promises, tried with generated requests against a running service."""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

OPERATIONS = [
    "GET /v1/stores",
    "GET /v1/stores/{name}",
    "GET /v1/tumors/{number}",
    "GET /v1/tumors/{number}/density",
    "POST /v1/search",
    "GET /v1/conventions",
    "POST /v1/previews",
    "POST /v1/queries",
    "GET /v1/queries/{name}",
    "GET /v1/queries/{name}/events",
    "GET /v1/queries/{name}/result",
    "GET /v1/queries/{name}/files/{file}",
    "POST /v1/queries/{name}/cancel",
    "DELETE /v1/queries/{name}",
    "GET /v1/example/{name}",
    "GET /healthz",
    "GET /metrics",
]

TAKE_FILES = {"POST /v1/search", "POST /v1/previews", "POST /v1/queries"}
"""A schema cannot say what images and masks must hold."""


@pytest.fixture(scope="module")
def operations(service):
    schema = schemathesis.openapi.from_url(f"{service.base_url}/v1/openapi.json")
    return {found.ok().label: found.ok() for found in schema.get_all_operations()}


def test_the_document_names_every_operation(operations):
    assert sorted(operations) == sorted(OPERATIONS)


@pytest.mark.parametrize("label", OPERATIONS)
def test_the_service_does_what_its_document_says(service, operations, label):
    if "example" in label:  # made when it is first asked for, which takes a while
        assert service.get("/v1/example/t1", timeout=300).status_code == 200

    unsaid = [positive_data_acceptance] if label in TAKE_FILES else []

    @given(case=operations[label].as_strategy())
    @settings(
        max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
    )
    def ask(case):
        case.call_and_validate(excluded_checks=unsaid)

    ask()
