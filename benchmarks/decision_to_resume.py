"""`python -m benchmarks.decision_to_resume`: how long a run waits after the person has decided.

Many runs wait, each with one mail held. One after the other is approved over HTTP; the mail goes to a
real SMTP server, and the run is given its output. Beside it, in the same run: how fast the machine's
disk takes an fsync, and a program that drives its own run and polls every five seconds.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

from benchmarks import polling
from benchmarks.fsync import fsyncs
from benchmarks.install import Decision, Install
from benchmarks.report import Report, Target, note_load
from benchmarks.witness import Witness

RESUMED = "decision to resume"
FROM_ANSWER = "answer to resume"
POLLING = "5-second polling loop"
TARGETS = (Target(RESUMED, "median", 15), Target(RESUMED, "p99", 60))
# a person is no machine: each decision finds an install at rest
PAUSE = 0.1  # seconds
FSYNCS = 500


def measure(rounds: int, warm_up: int, callers: int, directory: Path) -> Report:
    report = Report(
        "decision to resume, on loopback",
        {"database": "SQLite, WAL, synchronous=FULL", "waiting runs": rounds, "warm-up": warm_up},
        TARGETS,
    )
    report.add("fsync before", fsyncs(directory, FSYNCS))
    with (
        Witness.running("mail_server", str(directory / "journal")) as mail,
        Witness.running("model_server") as model,
        Install.running(directory, mail_port=mail.port, model_port=model.port) as install,
    ):
        decided, spent = _decide(install, model, rounds, warm_up)
        report.settings["processor time per decision"] = f"{spent * 1000:.1f} ms"
        _add_phases(report, decided, mail.seen, model.seen, install.moments())
        if callers:
            report.add(POLLING, polling.measure(install, callers))
    report.add("fsync after", fsyncs(directory, FSYNCS))
    if callers:
        times = report.figures[POLLING].median / report.figures[RESUMED].median
        report.remarks.append(f"The polling loop's median is {times:.0f} times that of being woken.")
    note_load(report)
    return report


Decided = Mapping[str, tuple[str, Decision]]  # by word: the id of the run, and its decision


def _decide(install: Install, model: Witness, rounds: int, warm_up: int) -> tuple[Decided, float]:
    """One at a time. The first ones, which import and open what the rest finds ready, are left out.

    Also the processor time of one round, which says more than a clock on a machine that others use.
    """
    words = [f"round-{number}" for number in range(warm_up + rounds)]
    install.write_in(words)
    held, decided, before = install.wait_for_held(len(words)), {}, 0.0
    for word in words:
        time.sleep(PAUSE)
        if word == words[warm_up]:
            before = install.processor_time()
        decided[word] = held[word]["run_id"], install.approve(held[word])
        model.wait_for(word)
    # the log has the end of the last one in a moment
    time.sleep(1)
    spent = (install.processor_time() - before) / rounds
    return {word: decided[word] for word in words[warm_up:]}, spent


def _add_phases(
    report: Report,
    decided: Decided,
    mailed: Mapping[str, float],
    asked: Mapping[str, float],
    log: Mapping[str, Mapping[str, float]],
) -> None:
    def add(name: str, ends: Sequence[float], *, after_answer: bool = False) -> None:
        starts = [made.answered_at if after_answer else made.sent_at for _, made in decided.values()]
        report.add(name, [end - start for start, end in zip(starts, ends, strict=True)])

    events = [log[run_id] for run_id, _ in decided.values()]
    resumed = [event["output"] for event in events]
    add("  the decision is on record", [event["message.approved"] for event in events])
    add("  its request is answered", [made.answered_at for _, made in decided.values()])
    add("  the mail server has the mail", [mailed[f"{word}@far.example"] for word in decided])
    add("  the delivery is on record", [event["message.sent"] for event in events])
    add(RESUMED, resumed)
    add(FROM_ANSWER, resumed, after_answer=True)
    add("  its driver has that on record", [event["run.resumed"] for event in events])
    add("  the model has the output", [asked[word] for word in decided])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--warm-up", type=int, default=20)
    parser.add_argument("--callers", type=int, default=20, help="who poll; 0 leaves them out")
    parser.add_argument("--directory", type=Path, help="where to put the install (default: a temporary one)")
    parser.add_argument("--json", type=Path, help="keep the report here, to compare it with a later one")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir=asked.directory) as made:
        report = measure(asked.rounds, asked.warm_up, asked.callers, Path(made))
    print(report.table())
    if asked.json:
        report.save(asked.json)


if __name__ == "__main__":
    main()
