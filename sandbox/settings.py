"""How verifiers that run programs get their sandbox."""

from __future__ import annotations

from typing import Literal, Self

import httpx
from pydantic import BaseModel, ConfigDict, Field, model_validator

Backend = Literal["auto", "zygote", "oneshot", "landlock", "remote"]


class SandboxSettings(BaseModel):
    """The `sandbox` argument of the verifiers `code` and `reasoning_gym`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    backend: Backend = Field(
        "auto",
        description="auto takes the strongest that works here, zygote, oneshot or landlock, and refuses to start if "
        "none does; remote asks a SandboxFusion service",
    )
    unsafe_subprocess: bool = Field(
        False, description="run programs with resource limits but NO isolation, on any backend; for debugging only"
    )
    slots: int = Field(2, ge=1, description="jobs at a time, each in a sandbox of its own")
    recycle_after: int = Field(1000, ge=1, description="jobs after which a slot's interpreter is restarted")
    remote_url: str | None = Field(None, description="address of the SandboxFusion service, for backend remote")
    uid_base: int = Field(
        61_000, ge=1000, description="as root, slot i runs as user uid_base + i (and the next free one if it is taken)"
    )

    @model_validator(mode="after")
    def _remote_has_an_address(self) -> Self:
        if (self.backend == "remote") != (self.remote_url is not None):
            raise ValueError("remote_url, such as http://sandbox:8080, and backend: remote go together")
        if self.remote_url is not None:
            _check_url(self.remote_url)
        return self


def _check_url(text: str) -> None:
    """It is kept in recipes, shown in messages and put into verdicts, so nothing secret may be in it."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise ValueError(f"remote_url: {error}") from None
    if url.scheme not in ("http", "https") or not url.host or url.query or url.userinfo or url.fragment:
        shown = "" if "@" in text or "?" in text or "#" in text else f": {text!r}"
        raise ValueError(
            "remote_url must be an address such as http://sandbox:8080, no user, password or query in it" + shown
        )
