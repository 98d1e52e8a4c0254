"""`skerry`: the operator's command line. It asks a hub and shows what it says; it decides nothing.

The table of verbs is here; each is imported when it is called.
"""

from __future__ import annotations

import click

from .group import LazyGroup, Row

HERE = "skerry_hub.cli"
ROWS = {
    "apply": Row(f"{HERE}.apply", "apply", "Make the hub's apps what FILE says."),
    "check": Row(f"{HERE}.check", "check", "Say all that is wrong in an app file; ask no hub."),
    "schema": Row(f"{HERE}.check", "schema", "Print the JSON Schema of app files, for editors."),
    "apps": Row(f"{HERE}.apps", "apps", "List the apps: what is wanted and what is there."),
    "why": Row(f"{HERE}.why", "why", "Say why an app is as it is, step by step."),
    "logs": Row(f"{HERE}.logs", "logs", "Show what an app's copies write, from their nodes' journals."),
    "history": Row(f"{HERE}.history", "history", "List an app's revisions: who changed it, when and why."),
    "diff": Row(f"{HERE}.history", "diff", "Show what differs between two revisions of an app."),
    "rollback": Row(f"{HERE}.history", "rollback", "Make an earlier revision of an app the newest."),
    "remove": Row(f"{HERE}.remove", "remove", "Stop an app everywhere and remove it; its history stays."),
    "nodes": Row(f"{HERE}.nodes", "nodes", "List the nodes, or show one."),
    "node": Row(f"{HERE}.node", "node", "Give an operator's word on a node."),
    "network": Row(f"{HERE}.network", "network", "Show how nodes reach each other."),
    "doctor": Row(
        f"{HERE}.doctor", "doctor", "Look at the way to the hub, at the hub, and at NODE, and say what to do."
    ),
    "token": Row(f"{HERE}.token", "token", "Make, list and revoke what lets a new machine in."),
    "events": Row(f"{HERE}.events", "events", "Show what happened and who did it."),
    "people": Row(f"{HERE}.people", "people", "Make, list and revoke people who may use the hub."),
    "hub": Row(
        f"{HERE}.hub",
        "hub",
        "Ask after the hub, set what holds for its region, and resume one that was restored.",
    ),
    "backup": Row(f"{HERE}.backup", "backup", "Write a consistent backup of the running hub to FILE."),
    "lab": Row(
        "skerry_hub.lab.cli",
        "lab",
        "Rehearse on this machine: real nodes, a hub, and a small internet that can be cut.",
    ),
    "completion": Row(f"{HERE}.completion", "completion", "Print what a shell needs to complete commands."),
}


@click.group(
    cls=LazyGroup,
    rows=ROWS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(
    None, "--version", package_name="skerry", prog_name="skerry", message="%(prog)s %(version)s"
)
@click.option("--debug", is_flag=True, help="Show where in the program an error came from.")
def cli(debug: bool) -> None:
    """Run apps on scattered machines that go on by themselves.

    The hub is named by ~/.config/skerry/operator.toml, or by the file in SKERRY_CONFIG; where there is neither, a lab
    that is up is used.

    Exit codes: 0 done, 1 failed, 2 wrong words, 3 the hub refused, 4 no hub in reach, 5 not all running in time.
    """
