"""In the machine: does what the test asks on the second serial line. Nothing but Python's own library is needed.

A line of JSON each way. Asked: {"id", "run": [...], "input": base64, "each": bool} or {"id", "read": path}. Told:
{"id", "line"} for each line that a program prints where `each` is true, then {"id", "rc", "out", "err"}; for a file
{"id", "data": base64 or null}. Before all of that, once: {"ready": boot id}.
"""

import base64
import json
import os
import subprocess
import threading
import tty

PORT = "/dev/ttyS1"
BOOT_ID = "/proc/sys/kernel/random/boot_id"
_telling = threading.Lock()


def main() -> None:
    port = os.open(PORT, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(port)
    with open(BOOT_ID, encoding="ascii") as file:  # noqa: PTH123
        tell(port, {"ready": file.read().strip()})
    with os.fdopen(port, "rb", closefd=False) as lines:
        for line in lines:
            asked = json.loads(line)
            threading.Thread(target=answer, args=(port, asked), daemon=True).start()


def tell(port: int, words: dict[str, object]) -> None:
    data = json.dumps(words).encode() + b"\n"
    with _telling:
        while data:
            data = data[os.write(port, data) :]


def answer(port: int, asked: dict) -> None:
    told = {"id": asked["id"]}
    if "read" in asked:
        told["data"] = read(asked["read"])
    elif asked.get("each"):
        told |= each_line(port, asked)
    else:
        done = subprocess.run(
            asked["run"], input=base64.b64decode(asked.get("input", "")), capture_output=True, check=False
        )
        told |= {
            "rc": done.returncode,
            "out": done.stdout.decode(errors="replace"),
            "err": done.stderr.decode(errors="replace"),
        }
    tell(port, told)


def each_line(port: int, asked: dict) -> dict[str, object]:
    process = subprocess.Popen(
        asked["run"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(base64.b64decode(asked.get("input", "")))
    process.stdin.close()
    for line in process.stdout:
        tell(port, {"id": asked["id"], "line": line.decode(errors="replace").rstrip("\n")})
    return {"rc": process.wait(), "out": "", "err": ""}


def read(path: str) -> str | None:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return base64.b64encode(file.read()).decode()
    except OSError:
        return None


if __name__ == "__main__":
    main()
