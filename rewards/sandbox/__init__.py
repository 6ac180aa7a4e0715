"""The sandbox: where programs that a policy wrote run. `docs/sandbox.md` says what each backend promises."""

from rewards.sandbox.base import Call, Ending, Job, JobLimits, JobResult
from rewards.sandbox.settings import SandboxSettings

__all__ = ["Call", "Ending", "Job", "JobLimits", "JobResult", "SandboxSettings"]
