"""The sandbox: where programs that a policy wrote run. `docs/sandbox.md` says what each backend promises."""

from reprise.sandbox.base import Call, Ending, Job, JobLimits, JobResult
from reprise.sandbox.settings import SandboxSettings

__all__ = ["Call", "Ending", "Job", "JobLimits", "JobResult", "SandboxSettings"]
