"""The demo itself: which part is started when, what is sent, asked and shown."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import grpc
from rich.console import Console

from demo import bill, report, traffic, upstream
from demo.errors import DemoError
from demo.parts import Parts, Proxy
from demo.running import read_running
from demo.scenario import TOY, Scenario, real_scenario
from phoebe_runtime.counts import counted
from rig.orphans import stop_orphaned_database
from rig.processes import Processes
from rig.programs import environment_of_parts

LOG_LINES = 15


class Demo:
    """One run of the demo in its own folder."""

    def __init__(self, folder: Path, console: Console, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._console = console
        self._environment = environment
        self._processes = Processes(folder, _for_parts(environment))
        self._parts = Parts(self._processes, folder, self._say)

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, soft_wrap=True)

    async def run(self) -> bill.Bill:
        """Starts the parts, sends the traffic, rates and shows it. DemoError for whatever does not add up."""
        there = read_running(self._environment)
        scenario = await self._choose_scenario() if there is None else TOY
        started = datetime.now(UTC)
        if there is None:
            address = await self._parts.start_rater(
                scenario.prices, self._environment.get("DEMO_DATABASE_URL") or None
            )
        else:
            self._say(f"edge    {there.proxy.url}, rater {there.rater}: they run already")
            address = there.rater
        rater = bill.Rater(address, started)
        try:
            if (await rater.rate(dry_run=True)).events_in_window:
                raise DemoError("the database has events of this hour already; the demo needs one without")
            proxy = there.proxy if there else await self._start_proxy(scenario, address)
            answers = await self._send(proxy, scenario)
            return await self._settle(rater, proxy, scenario, answers)
        except grpc.aio.AioRpcError as error:
            raise DemoError(f"the rater answered {error.code().name}: {error.details()}") from error
        finally:
            await rater.close()

    async def stop(self) -> list[str]:
        """Stops every part, the proxy first. Gives what went wrong, in words."""
        problems = await self._processes.stop()
        orphan = await stop_orphaned_database(self._folder)
        return problems if orphan is None else [*problems, orphan]

    def show_logs(self) -> None:
        """Shows the last lines that each part wrote."""
        for running in self._processes.running:
            self._say(f"\nlast lines of the {running.name}:")
            for line in running.last_lines(LOG_LINES):
                self._say(f"  {line}")

    async def _start_proxy(self, scenario: Scenario, rater: str) -> Proxy:
        engine = scenario.engine_url or await self._parts.start_engine()
        return await self._parts.start_proxy(engine, rater)

    async def _choose_scenario(self) -> Scenario:
        real = upstream.read_upstream(self._environment)
        if real is None:
            return TOY
        model = await upstream.find_model(real)
        self._say(f"engine  {real.origin} serves {model.requested}; its price here is made up")
        self._say(
            "        left out, for they need the toy engine: a prompt that is surely cached, completions,"
        )
        self._say("        a fine-tune, a model without a price, a request that fails")
        return real_scenario(real, model, self._folder)

    async def _send(self, proxy: Proxy, scenario: Scenario) -> list[traffic.Seen]:
        self._say(f"client  sending {counted(len(scenario.script), 'request')} with the openai client")
        async with traffic.open_client(f"{proxy.url}/v1", scenario.api_key, by_key=proxy.is_edge) as client:
            answers = await traffic.send_all(client, scenario.script)
        self._console.print("", report.traffic_table(answers))
        for seen in answers:
            if seen.request.expected_status == 400:
                self._say(f"\nRefused ({seen.request.title}): HTTP {seen.status} {seen.error_body}")
        problems = [f"{seen.request.title}: {seen.problem}" for seen in answers if seen.problem]
        if problems:
            raise DemoError("; ".join(problems))
        return answers

    async def _settle(
        self, rater: bill.Rater, proxy: Proxy, scenario: Scenario, answers: Sequence[traffic.Seen]
    ) -> bill.Bill:
        admitted = await bill.count_admitted(proxy.metrics)
        await rater.until_stored(admitted)
        stored = counted(admitted, "event")
        self._say(f"\nrater   {stored} stored; calling RateWindow, ListRatedUsage and ResolvePrice")
        run = await rater.rate(dry_run=False)
        result = bill.Bill(admitted, run, await rater.rows())
        counts = bill.QuoteCounts()
        quotes = [await rater.quote(model_id, base, counts) for model_id, base in scenario.quotes]
        self._console.print("", report.rollups_table(result.rows))
        self._console.print("", report.quotes_table(quotes, counts))
        if run.anomalies:
            self._console.print("", report.anomalies_table(run.anomalies))
        self._say(f"\n{report.conservation_line(result)}\n")
        problems = bill.check(result, sum(seen.status != 400 for seen in answers))
        if problems:
            raise DemoError("; ".join(problems))
        return result


def _for_parts(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of the parts, without the demo's own settings, of which one is a key."""
    return {
        name: value
        for name, value in environment_of_parts(environment).items()
        if not name.startswith("UPSTREAM") and name != "DEMO_DATABASE_URL"
    }
