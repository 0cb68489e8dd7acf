"""The channels of commands, of consumers that are pulled from, and who may use NATS at all."""

from __future__ import annotations

from typing import Any

from trialbook import subjects
from trialbook.asking import MEDIA_TYPE
from trialbook_deploy.asyncapi.schemas import REF, parameters, ref, schemas, summary
from trialbook_gateway.direct.content import CONTENT, SHA256, SIZE
from trialbook_gateway.direct.desk import QUEUE_GROUP
from trialbook_gateway.direct.verb import Carried
from trialbook_gateway.direct.verbs import VERBS
from trialbook_gateway.schemas.base import Body

REPLIES = "replies"
PULLED = "pulled"
PIECES = "pieces"
HEADERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "Idempotency-Key": {"type": "string", "description": "The same key carries out the same command once."},
        "If-Match": {"type": "string", "description": "The sequence of the run that is expected, in quotes."},
        "X-Request-ID": {"type": "string", "description": "Becomes the correlation of the facts."},
        "Trialbook-Data-Subject": {"type": "string", "description": "Whose personal data is in it; it is sealed."},
        "traceparent": {"type": "string", "description": "The W3C trace context."},
    },
}
ERROR: dict[str, Any] = {
    "type": "object",
    "description": "Why it was refused; nothing was changed. `code` is stable.",
    "properties": {name: {"type": "string"} for name in ("kind", "code", "detail")} | {"extra": {"type": "object"}},
    "required": ["kind", "code", "detail"],
}
SECURITY: dict[str, Any] = {
    "nkey": {
        "type": "asymmetricEncryption",
        "description": "An Ed25519 key made by `trialbook nats user add`; it is bound to one workspace.",
    },
    "services": {"type": "userPassword", "description": "The services themselves."},
}
PULL: dict[str, Any] = {
    "type": "object",
    "properties": {
        "batch": {"type": "integer", "minimum": 1},
        "expires": {"type": "integer", "description": "Nanoseconds to wait for messages."},
        "no_wait": {"type": "boolean"},
    },
}


def channels() -> tuple[dict[str, Any], dict[str, Any], dict[str, dict[str, Any]]]:
    """Channels, operations, and components by kind."""
    made: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    results, components = schemas([Carried, *(verb.result or type(None) for verb in VERBS.values())])
    carried = components.pop(Carried.__name__)["properties"]
    messages: dict[str, Any] = {}
    for (name, verb), result in zip(VERBS.items(), results[1:], strict=True):
        key = f"{name}.command"
        messages[key] = {"title": key, "summary": verb.summary, "headers": HEADERS, **_payload(verb.body, components)}
        messages[f"{name}.reply"] = {
            "title": f"{name}.reply", "contentType": "application/json",
            "payload": {"type": "object", "properties": {**carried, "result": result, "error": ERROR}},
        }  # fmt: skip
        address = subjects.command("{workspace}", ".".join((name, *(f"{{{part}}}" for part in verb.arguments))))
        made[key] = {"address": address, "parameters": parameters(address), "messages": {"command": _message(key)}}
        operations[key] = {
            "action": "receive", "channel": ref("channels", key), "summary": verb.summary,
            "messages": [ref("channels", key, "messages", "command")], "bindings": _binding(QUEUE_GROUP),
            "reply": {"channel": ref("channels", REPLIES), "messages": [ref("channels", REPLIES, "messages", name)]},
        }  # fmt: skip
    made[REPLIES] = {
        "address": None,
        "description": "The reply subject of the command. `error` is there when it was refused.",
        "messages": {name: _message(f"{name}.reply") for name in VERBS},
    }
    _content(made, operations, messages, components)
    _pull(made, operations, messages)
    return made, operations, {"messages": messages, "schemas": components, "securitySchemes": SECURITY}


def _payload(body: type[Body] | None, components: dict[str, Any]) -> dict[str, Any]:
    """Content type and payload of a message: JSON, or bytes as they are."""
    if body is None:
        return {"contentType": "application/octet-stream", "payload": {"type": "string", "format": "binary"}}
    schema = body.model_json_schema(ref_template=REF.replace("{name}", "{model}"), by_alias=True)
    components |= schema.pop("$defs", {})
    components[body.__name__] = schema
    return {"contentType": "application/json", "payload": ref("components", "schemas", body.__name__)}


def _content(
    made: dict[str, Any], operations: dict[str, Any], messages: dict[str, Any], components: dict[str, Any]
) -> None:
    """Bytes that are read a piece at a time: asked like a projector's question, answered by the gateway."""
    for name, asked in CONTENT.items():
        key, address = f"{name}.question", subjects.ask("{workspace}", name)
        messages[key] = {"title": key, "summary": summary(asked.body), **_payload(asked.body, components)}
        made[key] = {"address": address, "parameters": parameters(address), "messages": {"question": _message(key)}}
        operations[key] = {
            "action": "receive", "channel": ref("channels", key), "summary": summary(asked.body),
            "messages": [ref("channels", key, "messages", "question")], "bindings": _binding(QUEUE_GROUP),
            "reply": {"channel": ref("channels", PIECES), "messages": [ref("channels", PIECES, "messages", "piece")]},
        }  # fmt: skip
    headers = {MEDIA_TYPE: "How the bytes are to be read.", SIZE: "Of all of it, in bytes.", SHA256: "Of all of it."}
    described = {name: {"type": "string", "description": text} for name, text in headers.items()}
    messages["piece"] = {
        "title": "piece",
        "description": "The bytes asked for; a refusal is an Answer in JSON, without these headers.",
        "headers": {"type": "object", "properties": described},
        **_payload(None, components),
    }
    made[PIECES] = {
        "address": None,
        "description": "The reply subject of a question for content.",
        "messages": {"piece": _message("piece")},
    }


def _pull(made: dict[str, Any], operations: dict[str, Any], messages: dict[str, Any]) -> None:
    """A user's own consumers: JetStream's pull, under a prefix of its account."""
    address = subjects.below_prefix(subjects.pull_next("{stream}", "{consumer}"))
    messages["pull.request"] = {"title": "pull.request", "contentType": "application/json", "payload": PULL}
    messages["pull.message"] = {
        "title": "pull.message",
        "description": "A stored fact or signal, as on the tap; it is acknowledged by publishing to its reply subject.",
        "contentType": "application/cloudevents+json",
        "payload": ref("components", "schemas", "Event"),
    }
    made["pull"] = {
        "address": address,
        "parameters": parameters(address),
        "messages": {"request": _message("pull.request")},
    }
    made[PULLED] = {
        "address": None,
        "description": "The reply subject of the pull: up to `batch` messages.",
        "messages": {"message": _message("pull.message")},
    }
    operations["pull"] = {
        "action": "receive",
        "channel": ref("channels", "pull"),
        "summary": "The next messages of a consumer that `consumer.create` made for this user.",
        "messages": [ref("channels", "pull", "messages", "request")],
        "reply": {"channel": ref("channels", PULLED), "messages": [ref("channels", PULLED, "messages", "message")]},
    }


def _message(name: str) -> dict[str, str]:
    return ref("components", "messages", name)


def _binding(queue: str) -> dict[str, Any]:
    return {"nats": {"queue": queue, "bindingVersion": "0.1.0"}}
