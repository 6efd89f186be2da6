"""The AsyncAPI 3.0 document of what agencies may write to Kafka directly, made from the code that it is about.

Guarantees: topics, keys' partitioner, limits, headers, rights and quotas are those that the code uses; schemas are
referred to, never copied. Does not: name servers, which a deployment knows; the one given is the local demo's shape.

Source: AsyncAPI 3.0.0, Kafka bindings 0.5.0.
"""

from __future__ import annotations

from typing import Any

from exchange.backbone.outsiders import BYTES_PER_S, REQUEST_PERCENTAGE
from exchange.backbone.submitting import Outgoing, headers
from exchange.backbone.topics import Topic, layout
from exchange.signatures.envelope import SIGNATURES_MAX, SUBMISSION
from exchange.statements import KINDS, SUBMISSION_TOPICS, Fields, schema, schemas

_BINDING = "0.5.0"
_AVRO = "application/vnd.apache.avro+json;version=1.9.0"
_EXAMPLE = {"sender": "H26", "id": "2026-1"}

_SAID = {
    "documents": "Official documents of urgency 0, and what is said later in their threads.",
    "documents.urgent": "Official documents of urgency 1 and more, and what is said later in their threads.",
    "statuses": "What a recipient says about its copy of a document or report, or a sender that asks for it back.",
    "reports": "Figures of a reporting regime.",
}
_SAMPLES: dict[str, list[Fields]] = {
    "document": [{"lane": "normal"}, {"lane": "urgent"}],
    "status": [{}],
    "report": [{}],
}
"""What a kind's topic depends on."""

_KEYS = {
    "document": "`<sender>/<id>` of a new document; else `thread`, the key of the document that it is about.",
    "status": "`thread`: the key of the document or report that it is about.",
    "report": "`<sender>/<id>`.",
}


def document() -> dict[str, Any]:
    """The whole document, as JSON can hold it."""
    topics = {topic.name: topic for topic in layout(embedded=False).topics}
    names = sorted(SUBMISSION_TOPICS)
    return {
        "asyncapi": "3.0.0",
        "id": "urn:vn:exchange:direct-kafka",
        "info": {
            "title": "Exchange: writing to Kafka directly",
            "version": "1.0.0",
            "description": (
                "For large agencies. A principal may write to these topics and do nothing else: it reads no topic, "
                "joins no group and opens no transaction. What becomes of a record is told in the agency's inbox, "
                "by the gateway, or in a topic of its own that an agency may ask for."
            ),
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/avro",
        "servers": {"outside": _server()},
        "channels": {name: _channel(topics[name]) for name in names},
        "operations": {f"write_{_id(name)}": _operation(name) for name in names},
        "components": {
            "securitySchemes": {"password": {"type": "scramSha512", "description": "`exchange agency admit CODE`."}},
            "messages": {kind: _message(kind) for kind in sorted(KINDS)},
        },
    }


def _server() -> dict[str, Any]:
    return {
        "host": "{broker}",
        "protocol": "kafka-secure",
        "description": f"TLS and SCRAM-SHA-512. {BYTES_PER_S:,} bytes/s a principal and broker, if nothing else was "
        f"agreed, and {REQUEST_PERCENTAGE:.0f} % of a request thread: who writes more is slowed down.",
        "variables": {"broker": {"default": "127.0.0.1:9094", "description": "As `exchange agency admit` writes it."}},
        "security": [{"$ref": "#/components/securitySchemes/password"}],
    }


def _channel(topic: Topic) -> dict[str, Any]:
    return {
        "address": topic.name,
        "title": topic.name,
        "description": _SAID[topic.name],
        "messages": {kind: {"$ref": f"#/components/messages/{kind}"} for kind in _carried(topic.name)},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "replicas": topic.replication,
                "topicConfiguration": {
                    "cleanup.policy": [topic.config["cleanup.policy"]],
                    "retention.ms": int(topic.config["retention.ms"]),
                    "max.message.bytes": int(topic.config["max.message.bytes"]),
                },
                "bindingVersion": _BINDING,
            }
        },
    }


def _carried(topic: str) -> list[str]:
    """The kinds of statement that belong in a topic."""
    return [kind for kind, samples in _SAMPLES.items() if topic in {KINDS[kind].topic(sample) for sample in samples}]


def _operation(name: str) -> dict[str, Any]:
    return {
        "action": "receive",
        "title": f"Write to {name}",
        "description": (
            "The exchange receives. `acks=all`, an idempotent producer without a transactional id, and the partitioner "
            "of Kafka's own client (murmur2): a record in another partition than its key's is refused."
        ),
        "channel": {"$ref": f"#/channels/{name}"},
        "messages": [{"$ref": f"#/channels/{name}/messages/{kind}"} for kind in _carried(name)],
    }


def _message(kind: str) -> dict[str, Any]:
    versions = sorted(one.version for one in schemas().values() if one.name == kind)
    statements = ", ".join(f"schemas/{kind}/v{version}.avsc" for version in versions)
    return {
        "name": kind,
        "title": f"A signed {kind}",
        "summary": (
            f"A record (schemas/record) around the signed bytes of a statement ({statements}), both in Avro's "
            f"single-object encoding. At most {SUBMISSION.record_bytes:,} bytes, the statement "
            f"{SUBMISSION.statement_bytes:,}, {SIGNATURES_MAX} signatures."
        ),
        "contentType": "application/avro",
        "headers": _headers(kind),
        "payload": {
            "schemaFormat": _AVRO,
            "schema": {"$ref": f"../schemas/record/v{schema('record').version}.avsc"},
        },
        "bindings": {"kafka": {"key": {"type": "string", "description": _KEYS[kind]}, "bindingVersion": _BINDING}},
    }


def _headers(kind: str) -> dict[str, Any]:
    """CloudEvents' attributes; none is needed, for the signed bytes alone are believed."""
    made = headers(Outgoing(kind, _EXAMPLE, b""))
    return {
        "type": "object",
        "description": "CloudEvents 1.0 in binary mode and W3C trace context. None is needed.",
        "properties": {
            name: {"type": "string", **({} if name == "traceparent" else {"examples": [value]})} for name, value in made
        },
    }


def _id(topic: str) -> str:
    return topic.replace(".", "_")
