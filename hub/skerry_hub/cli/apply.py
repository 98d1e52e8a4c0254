"""`skerry apply FILE`: an app file to the hub.

A file that names no archive may be on its way to the hub already, in one request that does all of it or nothing
(`early`): then the hub's answer is what is shown. Whatever was not sent so, and what the hub refused of it, goes step
by step (`stepwise`), which finds out what is wrong.
"""

from __future__ import annotations

import click

from ..api.views import ApplyView
from .early import Sent
from .options import (
    confirm_option,
    connect,
    file_argument,
    json_option,
    leave_data_option,
    options,
    reason_option,
)
from .outcome import settled, show, wait_options


@click.command()
@file_argument
@click.option("--plan", "plan_only", is_flag=True, help="Show what would change, and change nothing.")
@options(reason_option, confirm_option, leave_data_option, wait_options, json_option)
@click.pass_obj
def apply(
    sent: Sent | None,
    file: str,
    plan_only: bool,
    reason: str,
    confirm: bool,
    leave_data: bool,
    wait: bool,
    timeout: int,
    json_: bool,
) -> int:
    """Make the hub's apps what FILE says.

    Apps that FILE does not name stay as they are. FILE may be - for standard input; paths of archives in it begin at
    its folder.
    """
    if sent is not None:
        hub = connect()
        done = hub.answer_to(ApplyView, sent)
        if done is not None:
            if not json_:
                show(done, json_)
            return settled(hub, done, wait, timeout, json_)
    from . import stepwise  # noqa: PLC0415 - to parse app files and archives takes long to load

    words = stepwise.Words(file, plan_only, reason, confirm, leave_data, json_, sent is not None)
    step = stepwise.apply(words)
    return step if isinstance(step, int) else settled(step.hub, step.done, wait, timeout, json_)
