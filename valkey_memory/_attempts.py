"""Plans that hear of whatever their work throws, to put things right before it goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from ._errors import ValkeyMemoryError
from ._plans import Plan, Reply, Work

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Attempt(Work):
    """Do other work. The reply is its reply, or the exception that was thrown."""

    work: Work

    def serve(self) -> Reply:
        try:
            return self.work.serve()
        except Exception as error:  # noqa: BLE001 - models throw anything
            return error

    async def aserve(self) -> Reply:
        try:
            return await self.work.aserve()
        except Exception as error:  # noqa: BLE001
            return error


def attempted_plan(plan: Plan[T]) -> Plan[T]:
    """``plan``, which hears of whatever its work throws. By itself it hears of our errors only."""
    try:
        step = next(plan)
        while True:
            # An attempt's own exception is a reply that somebody further in waits for.
            work = step if isinstance(step, Work) and not isinstance(step, Attempt) else None
            try:
                reply = yield (step if work is None else Attempt(work))
            except ValkeyMemoryError as error:
                step = plan.throw(error)
                continue
            thrown = work is not None and isinstance(reply, Exception)
            step = plan.throw(reply) if thrown else plan.send(reply)
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        plan.close()
