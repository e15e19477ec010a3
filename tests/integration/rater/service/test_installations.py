"""A service takes only what belongs to its installation: its database."""

import asyncio
import logging
from uuid import UUID, uuid4

import grpc
import pytest

from phoebe_proto.v1 import metering_pb2 as pb
from phoebe_proto.v1.metering_pb2_grpc import MeteringServiceStub
from phoebe_proto.v1.rating_pb2_grpc import RatingServiceStub
from rater_service.cli import main
from rater_service.database.database import Pool
from rater_service.database.installation import read_installation, set_installation
from rater_service.service.metrics import Metrics
from rater_service.service.server import running_server
from tests.harness import json_documents
from tests.harness.ledger import make_event
from tests.harness.rater import Rater
from tests.integration.rater.service.test_metering_service import reason_of, requests

pytestmark = pytest.mark.one_postgres


async def answers_of(rater: Rater, *batches: pb.StreamEventsRequest) -> list[pb.StreamEventsResponse]:
    return [answer async for answer in rater.metering.StreamEvents(requests(*batches))]


async def test_every_answer_says_which_installation_the_service_is(rater: Rater) -> None:
    own = str((await read_installation(rater.pool)).id)

    answers = await answers_of(
        rater,
        pb.StreamEventsRequest(),
        pb.StreamEventsRequest(events=[make_event()], installation_id=own.upper()),
    )

    assert [answer.installation_id for answer in answers] == [own, own]
    assert await rater.pool.fetchval("SELECT count(*) FROM billing_event") == 1


async def test_what_belongs_to_another_is_turned_away_in_words_and_nothing_of_it_is_stored(
    rater: Rater, caplog: pytest.LogCaptureFixture
) -> None:
    own, other = str((await read_installation(rater.pool)).id), str(uuid4())
    batch = pb.StreamEventsRequest(
        events=[make_event()],
        status=pb.ProducerStatus(producer_id="spool-1", last_seq=1),
        installation_id=other,
    )
    for _ in range(2):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await answers_of(rater, batch)

        assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert reason_of(refused.value) == "WRONG_INSTALLATION"
        assert own in str(refused.value.details())
        assert other in str(refused.value.details())
    assert await rater.pool.fetchval("SELECT count(*) FROM billing_event") == 0
    assert await rater.pool.fetchval("SELECT count(*) FROM producer") == 0
    (error,) = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert own in error
    assert f"phoebe installation set {other}" in error


async def test_an_installation_that_is_no_id_is_invalid(rater: Rater) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await answers_of(rater, pb.StreamEventsRequest(installation_id="x" * 100_000))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of(refused.value) == "INVALID_REQUEST"


async def test_attempts_are_counted_and_a_change_is_known_to_the_next_stream(pool: Pool) -> None:
    metrics = Metrics()
    new = uuid4()
    async with (
        running_server(pool, "127.0.0.1:0", asyncio.Event(), metrics=metrics) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        rater = Rater(
            port, channel, MeteringServiceStub(channel), RatingServiceStub(channel), pool, asyncio.Event()
        )
        with pytest.raises(grpc.aio.AioRpcError):
            await answers_of(rater, pb.StreamEventsRequest(installation_id=str(new)))
        assert metrics.registry.get_sample_value("phoebe_wrong_installations_total") == 1

        await set_installation(pool, new, "somebody")
        (answer,) = await answers_of(rater, pb.StreamEventsRequest(installation_id=str(new)))
        assert answer.installation_id == str(new)


async def test_the_data_of_a_dump_brings_its_installation_into_a_migrated_database(pool: Pool) -> None:
    dumped = uuid4()
    async with pool.acquire() as session:
        # As pg_restore --data-only does it.
        await session.execute("SELECT set_config('search_path', '', false)")
        await session.copy_records_to_table(
            "installation", schema_name="public", columns=["id"], records=[(dumped,)]
        )
    assert (await read_installation(pool)).id == dumped


async def test_an_operator_sees_and_changes_the_installation(
    pool: Pool, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def phoebe(*words: str) -> str:
        assert await asyncio.to_thread(main, [*words, "--database-url", database_url]) == 0
        return capsys.readouterr().out

    first = (await read_installation(pool)).id
    assert str(first) in await phoebe("migrate")
    assert json_documents.read(await phoebe("migrate", "--json"))["installation"] == str(first)

    wanted = uuid4()
    said = await phoebe("installation", "set", str(wanted), "--by", "ann")
    assert str(first) in said
    assert str(wanted) in said
    shown = json_documents.read(await phoebe("installation", "show", "--json"))
    assert (shown["id"], shown["set_by"]) == (str(wanted), "ann")

    await phoebe("installation", "renew")
    renewed = UUID((await phoebe("installation", "show")).split()[0])
    assert renewed not in {first, wanted}

    await pool.execute("DELETE FROM installation")
    assert await asyncio.to_thread(main, ["installation", "show", "--database-url", database_url]) == 1
    assert "phoebe installation set" in capsys.readouterr().err
    assert "was none" in await phoebe("installation", "set", str(wanted))
