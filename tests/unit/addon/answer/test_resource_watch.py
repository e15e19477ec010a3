import pytest

from phoebe_addon.answer.resource_watch import _RESOURCES_MAX, NO_CLUES, Clues, ResourceWatch, Suspicion


def suspected(watch: ResourceWatch, clues: Clues, resource_id: str = "a") -> list[Suspicion]:
    return [suspicion for suspicion, _ in watch.notice(resource_id, clues)]


def test_a_resource_that_answers_with_two_names_that_were_asked_for_is_suspected_once() -> None:
    watch = ResourceWatch()

    assert suspected(watch, Clues(echoed="m")) == []
    assert suspected(watch, Clues(echoed="m")) == []
    ((suspicion, said),) = watch.notice("a", Clues(echoed="n"))
    assert suspicion is Suspicion.ECHOES
    assert "'m' and 'n'" in said
    assert suspected(watch, Clues(echoed="o")) == []


def test_names_of_different_resources_are_not_mixed() -> None:
    watch = ResourceWatch()

    assert suspected(watch, Clues(echoed="m"), "a") == []
    assert suspected(watch, Clues(echoed="n"), "b") == []


@pytest.mark.parametrize(
    ("clues", "suspicion"),
    [
        (Clues(nameless=True), Suspicion.NAMELESS),
        (Clues(refused_asking=True), Suspicion.REFUSES_ASKING),
    ],
)
def test_other_clues_tell_at_once_and_once(clues: Clues, suspicion: Suspicion) -> None:
    watch = ResourceWatch()

    assert suspected(watch, clues) == [suspicion]
    assert suspected(watch, clues) == []
    assert suspected(watch, clues, "b") == [suspicion]


def test_an_answer_that_gives_nothing_away_is_not_remembered() -> None:
    watch = ResourceWatch()

    assert suspected(watch, NO_CLUES) == []
    assert watch._resources == {}


def test_what_is_remembered_and_said_is_bounded() -> None:
    watch = ResourceWatch()
    for number in range(_RESOURCES_MAX + 5):
        watch.notice(str(number), Clues(echoed="m"))

    assert len(watch._resources) == _RESOURCES_MAX
    watch.notice("a", Clues(echoed="m" * 1000))
    ((_, said),) = watch.notice("a", Clues(echoed="\x1b" + "n" * 1000))
    assert len(said) < 500
    assert said.isprintable()
