"""Running a plan whose failure is a result, whatever a user's model throws in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from .._errors import ValkeyMemoryError
from .._plans import Plan, Reply, Work

T = TypeVar("T")


def tried_plan(plan: Plan[T]) -> Plan[T | Exception]:
    """The result of ``plan``, or the exception that ended it; also one that a model threw."""
    try:
        step = next(plan)
        while True:
            try:
                reply = yield _Tried(step) if isinstance(step, Work) else step
            except ValkeyMemoryError as error:
                step = plan.throw(error)
            else:
                failed = reply.error if isinstance(reply, _Failure) else None
                step = plan.send(reply) if failed is None else plan.throw(failed)
    except StopIteration as done:
        result: T = done.value
        return result
    except Exception as error:  # noqa: BLE001 - models throw anything
        return error
    finally:
        plan.close()


@dataclass(frozen=True, slots=True)
class _Failure:
    error: Exception


@dataclass(frozen=True, slots=True)
class _Tried(Work):
    """A step that serves itself. The reply is its own, or what it threw."""

    step: Work

    def serve(self) -> Reply:
        try:
            return self.step.serve()
        except Exception as error:  # noqa: BLE001
            return _Failure(error)

    async def aserve(self) -> Reply:
        try:
            return await self.step.aserve()
        except Exception as error:  # noqa: BLE001
            return _Failure(error)
