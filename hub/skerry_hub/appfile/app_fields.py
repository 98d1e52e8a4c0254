"""The rows of an app itself, in the order in which docs and schema show them. See `fields` for the tables in it."""

from __future__ import annotations

from skerry_protocol.app import Availability, Restart

from . import texts
from .fields import (
    ARTIFACT,
    CHOOSE,
    HA,
    HEALTH,
    HOUR,
    PLACE,
    REACHES_MAX,
    REPLICAS_MAX,
    RESOURCES,
    SANDBOX,
    VOLUME,
    command,
    one_in_list,
)
from .kinds import Schema, choice, duration, flag, text, whole
from .ports import NUMBER_MAX, PORTS_MAX, port
from .tables import ListOf, MapOf, Row, Section

_BETWEEN: Schema = {
    "allOf": [
        {
            "if": {"properties": {"availability": {"const": "ha"}}, "required": ["availability"]},
            "then": {"required": ["ha"], "properties": {"per_node": {"const": False}}},
            "else": {"properties": {"ha": False}},
        },
        {
            "if": {"properties": {"per_node": {"const": True}}, "required": ["per_node"]},
            "then": {"properties": {"replicas": False}},
        },
        {"if": {"required": ["schedule"]}, "then": {"properties": {"health": False}}},
    ]
}

APP: Section[dict[str, object]] = Section(
    (
        Row(
            "run",
            command('a command as a list such as ["./serve", "--port", "8080"]'),
            "The program and its arguments; no shell. A relative path with a slash is inside the artifact, a bare name "
            "is a program of the machine.",
            required=True,
            blank=(),
            why='run, the command as a list such as ["./serve", "--port", "8080"]',
        ),
        Row(
            "artifact",
            ARTIFACT,
            "A tar archive (plain, gzip or xz) that is unpacked for the instance, by its path beside this file; or "
            "one for each architecture.",
        ),
        Row(
            "availability",
            choice(Availability, CHOOSE),
            "What a node's silence means. ha: its copies are replaced elsewhere. best-effort: they stay its own.",
            required=True,
            blank=Availability.BEST_EFFORT,
            why=CHOOSE,
        ),
        Row("replicas", whole(0, REPLICAS_MAX), "How many copies. Not with per_node.", default="1"),
        Row(
            "per_node",
            flag(),
            "One copy on each node that fits `place`. Only with availability best-effort.",
            default="false",
        ),
        Row("ha", HA, HA.about),
        Row(
            "stop_timeout",
            duration(1, HOUR),
            "How long the program may take to stop before it is killed.",
            attribute="stop_timeout_ms",
            default='"10s"',
        ),
        Row("place", PLACE, PLACE.about),
        Row("resources", RESOURCES, RESOURCES.about),
        Row("health", HEALTH, HEALTH.about),
        Row(
            "volumes",
            MapOf(texts.name(), VOLUME, 'a table such as { data = "/data" }', most=50),
            "Folders that live on the node and outlive the instance, by name.",
        ),
        Row(
            "files",
            MapOf(
                texts.file_name(),
                text("the file's content as a string", longest=64 << 10),
                'a table such as { "motd.txt" = "hello" }',
                most=100,
            ),
            "Small files by name; their folder is the variable SKERRY_FILES. 64K in all.",
        ),
        Row(
            "env",
            MapOf(texts.env_name(), texts.env_value(), 'a table such as { LANG = "C.UTF-8" }', most=500),
            "Environment variables. 64K in all.",
        ),
        Row(
            "schedule",
            texts.schedule(),
            "Run at these times instead of always: a systemd calendar expression (systemd.time(7)).",
        ),
        Row(
            "after",
            ListOf(texts.name(), "a list of apps' names", most=64, unique=True, if_text=one_in_list),
            "Apps whose copies on the same node are started first.",
        ),
        Row(
            "user", texts.user(), "Run as this user of the machine; the node's policy must permit user:NAME."
        ),
        Row("workdir", texts.work_folder(), "The folder to start in; relative: inside the artifact."),
        Row(
            "restart",
            choice(Restart),
            "What systemd does when the program ends (Restart=).",
            default='"always", with a schedule it means "no"',
        ),
        Row(
            "rollback",
            flag(),
            "Whether a node puts the last healthy revision back when a new one is not healthy within its grace.",
            default="true",
        ),
        Row("sandbox", SANDBOX, SANDBOX.about, attribute="sandbox_allow"),
        Row(
            "ports",
            MapOf(texts.name(), port(), 'a table such as { http = 8080, dns = "53/udp" }', most=PORTS_MAX),
            "Where it listens, by name: a number for TCP, or a number with its transport. Who reaches it may talk to "
            "these ports and no other.",
        ),
        Row(
            "reaches",
            ListOf(texts.name(), "a list of apps' names", most=REACHES_MAX, unique=True, if_text=one_in_list),
            "Apps of the region that it may talk to inside the mesh; with its own name, its copies to each other.",
        ),
        Row(
            "publish",
            MapOf(texts.name(), whole(1, NUMBER_MAX), "a table such as { http = 80 }", most=PORTS_MAX),
            "Ports of the addresses that its node has by itself, by the name of the port in `ports` that they lead to. "
            "A node gives each to one copy.",
        ),
        Row("egress", flag(), "Whether it may talk to what is outside of the mesh.", default="true"),
    ),
    dict,
    "One app: what to run, where, how many copies, and what if a node is lost.",
    _BETWEEN,
)
