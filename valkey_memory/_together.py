"""Plans side by side: what they ask the server at the same moment goes in one round trip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, TypeAlias

from ._errors import ValkeyMemoryError
from ._plans import Lanes, Plan, Reply, Request, Step

_Answer: TypeAlias = list[Reply] | ValkeyMemoryError


def together_plan(*plans: Plan[Any]) -> Plan[list[Any]]:
    """Run plans in rounds; their results, in order.

    In each round the steps that ask nothing of the server are served one by one, until every plan
    waits for a request. These go in one pipeline; a transaction of several commands, which has to
    stay whole, goes beside it at the same moment. The first error that a plan does not catch ends
    all of them, as a lost connection would.
    """
    running = [_Running(plan) for plan in plans]
    try:
        for one in running:
            one.go_on(partial(next, one.plan))
        while True:
            for one in running:
                while one.step is not None and not isinstance(one.step, Request):
                    yield from one.serve_plan(one.step)
            asking = [one for one in running if one.step is not None]
            if not asking:
                return [one.result for one in running]
            if len(asking) == 1:
                (one,) = asking
                yield from one.serve_plan(one.request)
            else:
                yield from _round_plan(asking)
    finally:
        for plan in plans:
            plan.close()


@dataclass(slots=True, eq=False)
class _Running:
    """A plan, the step that it waits for, and its result once it waits for none."""

    plan: Plan[Any]
    step: Step | None = None
    result: Any = None

    @property
    def request(self) -> Request:
        assert isinstance(self.step, Request)  # noqa: S101
        return self.step

    def go_on(self, move: Callable[[], Step]) -> None:
        try:
            self.step = move()
        except StopIteration as end:
            self.step, self.result = None, end.value

    def fail(self, error: ValkeyMemoryError) -> None:
        self.go_on(lambda: self.plan.throw(error))

    def serve_plan(self, step: Step) -> Plan[None]:
        """Have ``step`` served for this plan alone."""
        try:
            reply = yield step
        except ValkeyMemoryError as error:
            self.fail(error)
        else:
            self.go_on(lambda: self.plan.send(reply))

    def take_plan(self, answer: _Answer) -> Plan[None]:
        """Give the plan its part of the replies of a round."""
        if isinstance(answer, ValkeyMemoryError):
            self.fail(answer)
            return
        request = self.request
        error = next((one for one in answer if isinstance(one, ValkeyMemoryError)), None)
        if error is None or request.errors_as_replies:
            self.go_on(lambda: self.plan.send(answer))
        elif request.read_only or request.repeatable:
            # Sent alone it gets what a connection does for requests that fail: waits, repetitions.
            yield from self.serve_plan(request)
        else:
            self.fail(error)


def _round_plan(asking: Sequence[_Running]) -> Plan[None]:
    """One round trip for the requests of several plans."""
    whole = [one for one in asking if one.request.atomic and len(one.request.commands) > 1]
    parts = [one for one in asking if one not in whole]
    requests = [one.request for one in whole]
    if parts:
        requests.append(_pipeline([one.request for one in parts]))
    found = yield from _answers_plan(requests)
    answers: list[_Answer] = found[: len(whole)]
    if parts:
        answers += _shares(parts, found[-1])
    for one, answer in zip([*whole, *parts], answers, strict=True):
        yield from one.take_plan(answer)


def _answers_plan(requests: Sequence[Request]) -> Plan[list[_Answer]]:
    """The replies to each request, or its error. Several are sent at the same moment."""
    if len(requests) > 1:
        lanes = yield Lanes(tuple((request,) for request in requests))
        return [lane[0] for lane in lanes]
    try:
        replies: list[Reply] = yield requests[0]
    except ValkeyMemoryError as error:
        return [error]
    return [replies]


def _pipeline(requests: Sequence[Request]) -> Request:
    keys = {request.key for request in requests}
    return Request(
        " and ".join(dict.fromkeys(request.operation for request in requests)),
        tuple(chain.from_iterable(request.commands for request in requests)),
        errors_as_replies=True,
        read_only=all(request.read_only for request in requests),
        repeatable=all(request.read_only or request.repeatable for request in requests),
        key=keys.pop() if len(keys) == 1 else "",
    )


def _shares(parts: Sequence[_Running], answer: _Answer) -> list[_Answer]:
    """The part of a pipeline's replies that belongs to each plan."""
    if isinstance(answer, ValkeyMemoryError):
        return [answer] * len(parts)
    replies = iter(answer)
    return [[next(replies) for _ in one.request.commands] for one in parts]
