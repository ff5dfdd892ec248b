"""What a rule is about, and what it says of it: metrics found on both sides, slices, other bases, tests.

Each metrics file is read once a side. A rule that asks for a test gets it where a drop is too large: what the test
cannot tell from chance is what `on_inconclusive` says. Where there is no evidence to test, the drop counts in full, so
that leaving the predictions out makes nothing easier.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Final

from mlgit.errors import InvalidError, UsageError
from mlgit.model.gate import MISSING, Answer, Judgement, Missing, Rule, Value, judge, worse
from mlgit.model.metric import Scalar, is_finite, is_pattern, join_key, match_keys, split_key
from mlgit.model.relpath import RelPath
from mlgit.model.slicekey import COUNTS
from mlgit.ops.compare.files import declared_metrics, read_values, unique
from mlgit.ops.gates import comparable
from mlgit.ops.gates.comparable import Difference
from mlgit.work.outputs import owner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlgit.ops.compare.significance import Effect
    from mlgit.repo import Repo
    from mlgit.work.snapshot import Snapshot

Values = dict[str, Scalar]
Place = tuple[RelPath, str]
_MOST_KEYS: Final = 500
_LONGEST: Final = 200
"""Keys of a file, and characters of a key, beyond which nobody's typing errors are looked for."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a rule says of one metric.

    Attributes:
        metric: as people find it, `file:key`.
        note: what a test says, or where the base is another.
        incomparable: drops were not judged because the two sides were evaluated in different ways.
        passed_over: too few examples to judge.
    """

    rule: Rule
    metric: str
    judgement: Judgement
    note: str = ""
    incomparable: bool = False
    passed_over: bool = False


class Side:
    """The metrics of one side, each file read once.

    Args:
        snapshot: None for a side that does not exist, which has no metrics.
        absent: why it does not; empty if it does.
    """

    def __init__(self, repo: Repo, snapshot: Snapshot | None, absent: str = "") -> None:
        self._repo = repo
        self.snapshot = snapshot
        self.absent = absent
        self._read: dict[RelPath, Values | None] = {}
        self.files = declared_metrics(repo, snapshot) if snapshot else []

    def values(self, path: RelPath) -> Values:
        """The values of one file; none where there is no such file."""
        if path not in self._read:
            self._read[path] = read_values(self._repo, path, self.snapshot) if self.snapshot else None
        return self._read[path] or {}

    def absence(self, file: RelPath | None, key: str) -> str:
        """Why there is no such metric, with what may have been meant."""
        if file is None:
            every = (one for path in self.files for one in self.values(path))
            return f"no file under `metrics` has {key!r}{_meant(key, every)}"
        if self.values(file) or self._read[file] is not None:
            return f"{file} has no {key!r}{_meant(key, self.values(file))}"
        undeclared = "" if file in self.files else ", and is not declared under `metrics`"
        return f"{file} does not exist at the head{undeclared}{_meant(file, self.files)}"

    def refuse_two(self, path: RelPath) -> None:
        """Refuse a file that Git has and that is tracked as data besides: the two may differ.

        Raises:
            InvalidError: it is such a file.
        """
        if self.snapshot is None or self.snapshot.rev is None:
            return
        found = owner(path, self._repo.tracked(self.snapshot))
        if found is not None and self.snapshot.read(path) is not None:
            raise InvalidError(
                f"{path} is in Git, and {found.file} tracks it as data too (in {self.snapshot.name})",
                hint=f"take it out of Git: git rm --cached {path.quoted}; or let its stage say cache: false",
            )

    def value(self, place: Place | None) -> Value:
        """One value."""
        return MISSING if place is None else self.values(place[0]).get(place[1], MISSING)

    def numbers(self, places: Iterable[Place | None]) -> dict[Place, int | float]:
        """The values that can be reckoned with."""
        return {place: value for place in places if place and is_finite(value := self.value(place))}

    def examples(self, place: Place) -> int | float | None:
        """The number of examples behind a metric, as the file tells it."""
        path = split_key(place[1])[:-1]
        counts = (self.value((place[0], join_key((*path, name)))) for name in COUNTS)
        return next((one for one in counts if is_finite(one)), None)

    def holding(self, key: str) -> list[RelPath]:
        """The files that have a key."""
        return [file for file in self.files if key in self.values(file)]


class Judge:
    """One judgement of a head: `find` says what a rule finds.

    Args:
        base: None where there is nothing to compare with.
        acknowledged: what of the evaluation changed on purpose, see `comparable.differences`.
    """

    def __init__(self, repo: Repo, base: Snapshot | None, head: Snapshot, acknowledged: Mapping[str, str]) -> None:
        self._repo = repo
        self._acknowledged = acknowledged
        self._head = Side(repo, head)
        self._bases = {"": Side(repo, base, "" if base is not None else "there is no base")}
        self._differences: dict[tuple[str, tuple[RelPath, RelPath]], list[Difference]] = {}

    def find(self, rule: Rule) -> Iterator[Found]:
        """What `rule` says of each metric that it stands for; of its own text if there is none.

        Raises:
            InvalidError: a metrics file is malformed, or the rule's key stands in several files.
        """
        base = self._base(rule)
        pairs = self._pairs(rule, base)
        for file in {new[0] for _, new in pairs if new is not None}:
            self._head.refuse_two(file)
        if not pairs:
            yield Found(rule, rule.metric, self._explained(rule, judge(rule, MISSING, MISSING)))
        elif rule.test == "rank":
            yield self._ranked(rule, base, pairs)
        elif rule.slices == "worst":
            yield self._worst(rule, base, pairs)
        else:
            yield from (self._one(rule, base, pair) for pair in pairs)

    def differences(self) -> list[Difference]:
        """What stands in the way of comparing head and base, as far as rules asked."""
        known = (found for (name, _), found in self._differences.items() if not name)
        return list(dict.fromkeys(one for found in known for one in found))

    def _explained(self, rule: Rule, found: Judgement) -> Judgement:
        """With what may be wrong, where a metric is missing that must not be."""
        if not found.missing or not rule.required:
            return found
        return replace(found, note=f"{found.note}: {self._head.absence(rule.file, rule.key)}")

    def unknown(self) -> list[str]:
        """The revisions that rules measure drops from and that do not exist."""
        return [name for name, side in self._bases.items() if name and side.snapshot is None]

    def _base(self, rule: Rule) -> Side:
        """The side that drops are measured from."""
        name = rule.against or ""
        if name not in self._bases:
            try:
                self._bases[name] = Side(self._repo, self._repo.snapshot(name))
            except UsageError:
                self._bases[name] = Side(self._repo, None, f"there is no revision {name!r}")
        return self._bases[name]

    def _unlike(self, name: str, files: tuple[RelPath, RelPath]) -> list[Difference]:
        if (name, files) not in self._differences:
            base, head = self._bases[name].snapshot, self._head.snapshot
            assert head is not None, "there is always a head"
            known = self._acknowledged
            found = comparable.differences(self._repo, base, head, known, files) if base is not None else []
            self._differences[name, files] = found
        return self._differences[name, files]

    def _hindered(self, rule: Rule, old: Place | None, new: Place | None) -> bool:
        if not rule.needs_base or new is None:
            return False
        files = (new[0] if old is None else old[0], new[0])
        return any(not one.accepted for one in self._unlike(rule.against or "", files))

    def _pairs(self, rule: Rule, base: Side) -> list[tuple[Place | None, Place | None]]:
        """Where each metric that the rule stands for is, on the base and on the head."""
        if rule.file is None and not is_pattern(rule.key):
            return _bare(rule, base, self._head)
        files = [rule.file] if rule.file is not None else unique([*self._head.files, *base.files])
        return [
            ((file, key), (file, key))
            for file in files
            for key in match_keys(rule.key, {**self._head.values(file), **base.values(file)})
        ]

    def _compared(self, rule: Rule, base: Side, old: Place | None, new: Place | None) -> tuple[Judgement, bool]:
        """What the rule says of one metric, and whether drops were left out because the sides are not comparable."""
        hindered = self._hindered(rule, old, new)
        why = "not comparable" if hindered else base.absent
        found = judge(rule, MISSING if hindered else base.value(old), self._head.value(new), no_base=why)
        if hindered and found.answer is Answer.OPEN:
            found = replace(found, base=_shown(base.value(old)))
        return found, hindered

    def _one(self, rule: Rule, base: Side, pair: tuple[Place | None, Place | None]) -> Found:
        old, new = pair
        metric = _metric(rule, new or old)
        few = self._few(rule, base, new)
        if few is not None:
            shown = _shown(base.value(old)), _shown(self._head.value(new))
            note = f"not judged: {few} examples, fewer than min_n {rule.min_n}"
            return Found(rule, metric, Judgement(Answer.PASS, *shown, note=note), passed_over=True)
        found, hindered = self._compared(rule, base, old, new)
        note = ""
        if rule.test is not None and not hindered and new is not None and not found.missing:
            found, note = self._tested(rule, base, new, found)
        elif not is_pattern(rule.key):
            found = self._explained(rule, found)
        return Found(rule, metric, found, note, incomparable=hindered)

    def _few(self, rule: Rule, base: Side, place: Place | None) -> int | float | None:
        """The number of examples behind a metric, if that is too few to judge it: a bad slice may not just shrink."""
        if not rule.min_n or place is None or isinstance(self._head.value(place), Missing):
            return None
        number, before = self._head.examples(place), base.examples(place)
        enough = before is not None and before >= rule.min_n
        return number if number is not None and number < rule.min_n and not enough else None

    def _worst(self, rule: Rule, base: Side, pairs: list[tuple[Place | None, Place | None]]) -> Found:
        """The worst metric of the head against the worst of the base; one that vanished is the worst of all."""
        kept = [new for _, new in pairs if new is not None and self._few(rule, base, new) is None]
        gone = next((new for new in kept if isinstance(self._head.value(new), Missing)), None)
        if not kept:
            note = f"not judged: every slice has fewer examples than min_n {rule.min_n}"
            return Found(rule, rule.metric, Judgement(Answer.PASS, note=note), passed_over=True)
        if gone is not None and rule.required:
            return Found(rule, _metric(rule, gone), judge(rule, base.value(gone), MISSING))
        now, before = _worst_of(rule, self._head, kept), _worst_of(rule, base, kept)
        found, hindered = self._compared(rule, base, before, now)
        called = rule.against or "the base"
        note = f"the worst at {called} is {before[1]}" if before and now and before != now and not hindered else ""
        return Found(rule, _metric(rule, now), found, note, incomparable=hindered)

    def _tested(self, rule: Rule, base: Side, place: Place, found: Judgement) -> tuple[Judgement, str]:
        """The judgement once the test on predictions has spoken."""
        from mlgit.ops.compare.significance import from_predictions

        if base.snapshot is None or self._head.snapshot is None or found.answer is Answer.OPEN:
            return found, ""
        if rule.direction == "none" or rule.test is None or rule.test == "rank":
            return found, ""
        file, key = place
        sides = base.snapshot, self._head.snapshot
        effect = from_predictions(
            self._repo, *sides, file, key, rule.direction, test=rule.test, confidence=rule.confidence
        )
        return _weighed(rule, found, effect)

    def _ranked(self, rule: Rule, base: Side, pairs: list[tuple[Place | None, Place | None]]) -> Found:
        """The means of repeated seeds, and what a rank test says of them."""
        from mlgit.ops.compare.significance import from_seeds

        lost = next((new for _, new in pairs if new is not None and self._is_lost(rule, new)), None)
        if lost is not None:
            return Found(rule, _metric(rule, lost), judge(rule, base.value(lost), self._head.value(lost)))
        before, after = base.numbers(old for old, _ in pairs), self._head.numbers(new for _, new in pairs)
        hindered = any(self._hindered(rule, old, new) for old, new in pairs)
        found = judge(rule, MISSING if hindered else _mean(before), _mean(after))
        if found.answer is Answer.OPEN or rule.direction == "none" or not before or not after:
            return Found(rule, rule.metric, found, incomparable=hindered)
        paired = before.keys() == after.keys()
        old, new = ([side[place] for place in sorted(side)] for side in (before, after))
        effect = from_seeds(old, new, rule.direction, paired=paired, confidence=rule.confidence)
        if not isinstance(effect, str):  # its number is not the difference of the means that the row shows
            effect = replace(effect, method=f"median of pairs; {effect.method}")
        found, note = _weighed(rule, found, effect)
        return Found(rule, rule.metric, found, note)

    def _is_lost(self, rule: Rule, place: Place) -> bool:
        """Whether a seed vanished or gave no number: a mean of the others would be that of chosen ones."""
        value = self._head.value(place)
        return rule.required if isinstance(value, Missing) else not is_finite(value)


def _meant(name: str, known: Iterable[str]) -> str:
    """The known name nearest to one that is not known, as a question."""
    if len(name) > _LONGEST:
        return ""
    others = [one for one in islice(known, _MOST_KEYS) if len(one) <= _LONGEST and one != name]
    near = difflib.get_close_matches(name, others, 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _mean(values: Mapping[Place, int | float]) -> Value:
    return sum(values.values()) / len(values) if values else MISSING


def _weighed(rule: Rule, found: Judgement, effect: Effect | str) -> tuple[Judgement, str]:
    """A drop that is too large, once a test has said whether chance explains it."""
    from mlgit.ops.compare.significance import Contradiction

    if isinstance(effect, str):
        found = replace(found, doubtful=isinstance(effect, Contradiction))
        return found, f"significance not known: {effect}" + ("; so the drop counts" if found.by_drop else "")
    if not found.by_drop or effect.outcome != "inconclusive" or rule.on_inconclusive == "fail":
        return found, effect.words
    doubtful = rule.on_inconclusive == "warn"
    return replace(found, answer=Answer.PASS, shortfall=None, doubtful=doubtful, by_drop=False), effect.words


def _shown(value: Value) -> Scalar:
    return None if isinstance(value, Missing) else value


def _metric(rule: Rule, place: Place | None) -> str:
    """The metric's name for people."""
    if place is None:
        return rule.metric
    file, key = place
    return f"{file}:{key}" if key else str(file)


def _worst_of(rule: Rule, side: Side, places: Iterable[Place]) -> Place | None:
    worst: Place | None = None
    for place in places:
        value = side.value(place)
        if isinstance(value, Missing):
            continue
        known = MISSING if worst is None else side.value(worst)
        if isinstance(known, Missing) or worse(rule, value, known):
            worst = place
    return worst


def _bare(rule: Rule, base: Side, head: Side) -> list[tuple[Place | None, Place | None]]:
    """Where a key without a file stands on each side: it is the same metric when it moved from file to file."""
    now, before = head.holding(rule.key), base.holding(rule.key)
    if len(now) > 1:
        raise InvalidError(
            f"{rule.where}: metric {rule.key!r} stands in several files: {', '.join(now)}",
            hint=f"name the one you mean: metric: '{now[0]}:{rule.key}'",
        )
    same = [file for file in before if file in now] or (before if len(before) == 1 else [])
    pair = (same[0], rule.key) if same else None, (now[0], rule.key) if now else None
    return [pair] if pair != (None, None) else []
