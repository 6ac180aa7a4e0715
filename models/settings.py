"""Which policy a run starts from."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class PolicySettings(BaseModel):
    """The policy: a Hugging Face folder that exists, or a builder that makes one. Exactly one of `path` and `build`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str | None = Field(
        None, min_length=1, description="folder with config.json, tokenizer files and safetensors weights"
    )
    build: str | None = Field(
        None,
        description="`package.module:function` or `./file.py:function`, called as function(out_dir, seed, "
        "**build_args) to make that folder",
    )
    build_args: dict[str, object] = Field(default_factory=dict, description="keyword arguments of the builder")
    dtype: Literal["float32", "bfloat16"] = Field(
        "float32", description="dtype of the weights in learner and engine; float32 is the fast one on most CPUs"
    )

    @model_validator(mode="after")
    def _exactly_one_origin(self) -> PolicySettings:
        if (self.path is None) == (self.build is None):
            raise ValueError(
                "give exactly one of `path` (a model folder) and `build` (such as reprise.models.tiny:build); here "
                f"{'neither is' if self.path is None else 'both are'} set"
            )
        if self.build_args and self.build is None:
            raise ValueError("`build_args` belong to `build`; with `path` leave them out")
        return self
