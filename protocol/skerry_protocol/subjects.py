"""The few NATS subjects and streams (docs/protocol.md). The only place where they are spelled."""

from __future__ import annotations

from .ids import NodeId, Region

ASSIGN_STREAM = "SKERRY_ASSIGN"
REPORT_STREAM = "SKERRY_REPORT"
REPORT_CONSUMER = "skerry-hub"
HUB_INBOX = "_INBOX_hub"
NOBODY = "nobody"  # no node's id: what the hub puts there is to see whether a stream takes it


def assign(region: Region, node: NodeId | str) -> str:
    """Hub to one node: its newest assignment, an Envelope. One message is kept per subject."""
    return f"sk.{region}.assign.{node}"


def beat(region: Region, node: NodeId | str) -> str:
    """Node to hub, a request: Beat, answered by BeatReply."""
    return f"sk.{region}.beat.{node}"


def report(region: Region, node: NodeId | str) -> str:
    """Node to hub through JetStream: ReportBatch."""
    return f"sk.{region}.report.{node}"


def ask(region: Region, node: NodeId | str) -> str:
    """Hub to node, a request with streamed answers: Ask, answered by AskPart."""
    return f"sk.{region}.ask.{node}"


def nudge(region: Region, node: NodeId | str) -> str:
    """Hub to node: beat now (storm brake, resume). Carries nothing."""
    return f"sk.{region}.nudge.{node}"


def inbox(node: NodeId | str) -> str:
    """The prefix of a node's own reply subjects; no other node may listen there."""
    return f"_INBOX_{node}"


def answer(node: NodeId | str) -> str:
    """The prefix of the subjects where the hub waits for one node's answers; no other may speak there."""
    return f"_INBOX_answer.{node}"


def direct_get(region: Region, node: NodeId | str) -> str:
    """JetStream's direct get of the last message on the node's own assign subject."""
    return f"$JS.API.DIRECT.GET.{ASSIGN_STREAM}.{assign(region, node)}"


def node_of(subject: str) -> NodeId:
    """The node at the end of a beat or report subject."""
    return NodeId(subject.rsplit(".", 1)[-1])
