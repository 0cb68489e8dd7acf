"""Parameters against the JSON Schema that a workload announced."""

from __future__ import annotations

from typing import Any

import msgspec
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable

from trialbook.errors import Unavailable
from trialbook.presence import WorkloadInfo
from trialbook_gateway.problems import HttpRefusal, pointer

MAX_FAULTS = 20
_ANYTHING: list[dict[str, Any]] = [{}, {"type": "object"}]


class Validators:
    """Compiled schemas, one per workload; a changed announcement replaces its entry."""

    def __init__(self) -> None:
        self._compiled: dict[str, tuple[WorkloadInfo, Draft202012Validator | None]] = {}

    def check(self, workload: WorkloadInfo, params: dict[str, Any], prefix: tuple[Any, ...] = ("params",)) -> None:
        """Raises 422 ``invalid_params`` with a JSON pointer for every fault (at most 20)."""
        validator = self._validator(workload)
        if validator is None:
            return
        faults: list[dict[str, Any]] = []
        try:
            for error in validator.iter_errors(params):
                where = pointer((*prefix, *error.absolute_path))
                faults.append({"pointer": where, "detail": str(error.message)[:300]})
                if len(faults) == MAX_FAULTS:
                    break
        except Unresolvable as error:
            detail = f"The schema of {workload.name!r} refers to {error.ref!r}, which is not in it."
            raise Unavailable("workload_schema_invalid", detail) from error
        if faults:
            first = faults[0]
            detail = f"Parameters of {workload.name!r}: {first['pointer']}: {first['detail']}"
            raise HttpRefusal(422, "invalid_params", detail, errors=faults)

    def _validator(self, workload: WorkloadInfo) -> Draft202012Validator | None:
        known = self._compiled.get(workload.name)
        if known is not None and (known[0] is workload or known[0].params_schema == workload.params_schema):
            return known[1]
        schema = workload.params_schema
        validator = None
        if schema not in _ANYTHING:
            try:
                Draft202012Validator.check_schema(schema)
            except SchemaError as error:
                raise Unavailable(
                    "workload_schema_invalid", f"The schema of {workload.name!r} is broken: {error.message[:200]}"
                ) from error
            validator = Draft202012Validator(schema, registry=Registry())
        self._compiled[workload.name] = (msgspec.structs.replace(workload), validator)
        return validator
