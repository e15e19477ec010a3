"""Tracing: how much CPU spans take, beside the same proxy without."""

from collections.abc import Sequence

from bench.contest import Contest, Measured
from bench.plain import SECONDS, WORK, cpu_us
from bench.ratio import Pair, ratio_of
from bench.result import Result
from bench.stage import Stage

SENT = "0.1"
# By the name of the result: which traces are sent, in OpenTelemetry's variables and in words.
SAMPLED = {
    "tracing_cpu": ({"OTEL_TRACES_SAMPLER": "always_on"}, "every trace is sent"),
    "tracing_sampled_cpu": (
        {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": SENT},
        "a tenth of the traces is sent",
    ),
}
NAMES = tuple(SAMPLED)
REFERENCE = "the same with phoebe_tracing=off"


async def run(stage: Stage, rounds: int) -> list[Result]:
    """Measure each in rounds of its own."""
    results = []
    for name, (sampling, words) in SAMPLED.items():
        async with stage.traced(sampling) as sides:
            contest = Contest(stage, sides, reference_is_metered=True)
            measured = await contest.run("tracing", WORK, rounds)
            await contest.check()
        results.append(result_of(name, words, measured))
    return results


def result_of(name: str, words: str, measured: Sequence[Pair[Measured]]) -> Result:
    """The result of the rounds."""
    each_us = [Pair(cpu_us(pair.phoebe), cpu_us(pair.reference)) for pair in measured]
    conditions = (
        f"{len(measured)} rounds of {SECONDS} s on each side with chat requests over {WORK.connections} "
        f"keep-alive connections; {words} to a collector that only answers"
    )
    return Result(name, ratio_of(each_us), REFERENCE, "us CPU/request", f"lower is better; {conditions}")
