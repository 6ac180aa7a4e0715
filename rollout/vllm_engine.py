"""The rollout engine on vLLM's `AsyncLLM`, the same code on CPU and GPU."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
from vllm import SamplingParams
from vllm.config.weight_transfer import WeightTransferConfig
from vllm.distributed.weight_transfer.base import WeightTransferInitRequest, WeightTransferUpdateRequest
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.inputs import tokens_input
from vllm.logprobs import FlatLogprobs, Logprob
from vllm.outputs import CompletionOutput, RequestOutput
from vllm.platforms import current_platform
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError

from reprise.core.transport import Message, transport_class
from reprise.core.types import FinishReason, Float32, Int32
from reprise.rollout.busy import BusyClock, StepListener
from reprise.rollout.engine import Completion, Dtype, EngineStats, Sampling
from reprise.rollout.group_deadlines import GroupDeadlines
from reprise.rollout.settings import RolloutSettings
from reprise.rollout.vllm_plugin import BACKEND

GIB = 1024**3
CORE_IS_GONE = "the engine's core process has died; its log says why"
_WHOLE = {"stop", "length"}  # how a response ends that is all the policy wrote
_ATTEMPTS = 3
_LOOK_S = 1.0  # seconds between two looks at what an unfinished group does


class VllmEngine:
    """One `AsyncLLM`, built inside a running event loop; see `rollout.engine.EngineClass`."""

    def __init__(self, settings: RolloutSettings, policy_dir: Path, *, dtype: Dtype, transport: str, seed: int) -> None:
        self._clock = BusyClock()
        self._version: int | None = None
        self._recomputed = self._sampled_again = 0
        self._counter = 0
        self._deadlines = GroupDeadlines(settings.engine.group_deadline_s)
        on_cpu = current_platform.is_cpu()
        engine = settings.engine.on(gpus=not on_cpu)
        batched = engine.max_num_batched_tokens
        arguments = AsyncEngineArgs(
            model=str(policy_dir),
            skip_tokenizer_init=True,
            dtype=dtype,
            seed=seed,
            max_model_len=engine.max_model_len,
            max_num_seqs=engine.max_num_seqs,
            max_num_batched_tokens=max(batched, engine.max_model_len) if on_cpu and batched else batched,
            # On CPU vLLM 0.32 dies of a request with a seed whose prompt is computed in parts: it takes back the noise
            # drawn for a part by an offset, which generators of the CPU do not have.
            enable_chunked_prefill=False if on_cpu else None,
            kv_cache_memory_bytes=int(engine.kv_cache_gb * GIB),
            tensor_parallel_size=engine.tensor_parallel,
            # Within a placement group vLLM would give each rank a Ray actor of its own.
            distributed_executor_backend="mp" if engine.tensor_parallel > 1 else None,
            enforce_eager=bool(engine.enforce_eager),
            enable_prefix_caching=engine.prefix_caching,
            # vLLM's default reports the model's distribution before temperature, not the one that is sampled.
            logprobs_mode="processed_logprobs",
            weight_transfer_config=WeightTransferConfig(backend=transport_class(transport).vllm_backend or BACKEND),
            # The learner sums logits in float32; in bfloat16 the engine would round them, 0.02 nats a token.
            hf_overrides={"head_dtype": "float32"} if dtype == "bfloat16" else {},
            # Sampling settings come from the recipe alone; a folder's generation_config may carry top-p or penalties.
            generation_config="vllm",
        )
        self._llm = AsyncLLM.from_engine_args(arguments, stat_loggers=[StepListener.factory(self._clock)])

    async def sample(self, prompt_ids: Int32, sampling: Sampling) -> list[Completion]:
        if self._version is None:
            raise RuntimeError("this engine holds no published weights yet: publish a version before sampling")
        parameters = SamplingParams(
            n=sampling.n,
            seed=sampling.seed,
            temperature=sampling.temperature,
            max_tokens=sampling.max_tokens,
            stop_token_ids=list(sampling.stop_ids),
            logprobs=0,
            flat_logprobs=True,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        output = await self._finish_well(sampling.name, prompt_ids.tolist(), parameters)
        return [_completion(one) for one in sorted(output.outputs, key=lambda one: one.index)]

    async def _finish_well(self, name: str, ids: list[int], parameters: SamplingParams) -> RequestOutput:
        """Responses that are all whole. vLLM may also end one for an error of its own: partial, it would be verified as
        if the policy had written no more."""
        for _ in range(_ATTEMPTS):
            output = await self._finish(ids, parameters)
            odd = sorted({str(c.finish_reason) for c in output.outputs} - _WHOLE)
            if not odd:
                return output
            self._sampled_again += 1
        raise RuntimeError(
            f"the engine ended responses of {name} with {', '.join(odd)} instead of stop or length, "
            f"{_ATTEMPTS} times in a row; its log may say why"
        )

    async def _finish(self, ids: list[int], parameters: SamplingParams) -> RequestOutput:
        self._counter += 1
        request_id = f"request-{self._counter}"
        self._deadlines.submit(request_id, _now())
        output = asyncio.ensure_future(self._output(request_id, ids, parameters))
        try:
            while not (await asyncio.wait([output], timeout=_LOOK_S))[0]:
                if self._has_begun(request_id):
                    self._deadlines.begin(request_id, _now())
                if why := self._deadlines.overdue(request_id, _now()):
                    raise TimeoutError(f"{request_id} {why} (rollout.engine.group_deadline_s)")
            return output.result()
        finally:
            output.cancel()
            self._deadlines.end(request_id, _now())

    async def _output(self, request_id: str, ids: list[int], parameters: SamplingParams) -> RequestOutput:
        last: RequestOutput | None = None
        try:
            async for output in self._llm.generate(tokens_input(ids), parameters, request_id):
                last = output
        except EngineDeadError:
            raise RuntimeError(CORE_IS_GONE) from None
        if last is None:
            raise RuntimeError(f"the engine ended {request_id} without an output")
        return last

    def _has_begun(self, request_id: str) -> bool:
        """Whether vLLM has sampled a token of a response that is still going on."""
        processor = self._llm.output_processor
        states = (processor.request_states.get(i) for i in processor.external_req_ids.get(request_id, ()))
        return any(state is not None and not state.is_prefilling for state in states)

    async def score(self, token_ids: Sequence[int]) -> Float32:
        parameters = SamplingParams(max_tokens=1, prompt_logprobs=0, detokenize=False)
        ids = [int(i) for i in token_ids]
        output = await self._finish(ids, parameters)
        rows = cast(list[dict[int, Logprob]], output.prompt_logprobs)
        return np.asarray([row[i].logprob for row, i in zip(rows[1:], ids[1:], strict=True)], dtype=np.float32)

    async def init_weights(self, message: Message) -> None:
        await self._llm.init_weight_transfer_engine(WeightTransferInitRequest(init_info=message))

    async def begin_weights(self) -> None:
        # keep: requests go on after the update. clear_cache: no token is sampled from keys of the old weights.
        await self._llm.pause_generation(mode="keep", clear_cache=True)
        self._deadlines.pause(_now())
        self._clock.idle(time.time())
        self._recomputed += sum(self._cached_tokens())
        await self._llm.start_weight_update()

    def _cached_tokens(self) -> list[int]:
        """Per request in flight, the tokens whose keys the pause just threw away."""
        states = self._llm.output_processor.request_states.values()
        sampled = [(s.prompt_len or 0, s.detokenizer.num_output_tokens() if s.detokenizer else 0) for s in states]
        return [prompt + done for prompt, done in sampled if done]

    async def write_weights(self, message: Message) -> None:
        await self._llm.update_weights(WeightTransferUpdateRequest(update_info=message))

    async def finish_weights(self, version: int) -> None:
        await self._llm.finish_weight_update(weight_version=str(version))
        self._version = version
        await self._llm.resume_generation()
        self._deadlines.resume(_now())

    def stats(self) -> EngineStats:
        busy, tokens = self._clock.drain(time.time())
        recomputed, self._recomputed = self._recomputed, 0
        again, self._sampled_again = self._sampled_again, 0
        return EngineStats(busy, tokens, recomputed_tokens=recomputed, sampled_again=again)

    def check_health(self) -> None:
        """Raise if the engine's own process is gone: this object would outlive it and wait without end."""
        if self._llm.errored:
            raise RuntimeError(CORE_IS_GONE)

    async def close(self) -> None:
        self._llm.shutdown()


def _now() -> float:
    """Seconds of the event loop's clock."""
    return asyncio.get_running_loop().time()


def _completion(output: CompletionOutput) -> Completion:
    ids = np.asarray(output.token_ids, dtype=np.int32)
    flat = cast(FlatLogprobs, output.logprobs)
    versions = np.empty(len(ids), dtype=np.int32)
    covered = 0
    for span in output.weight_versions or ():
        versions[span.start : span.end] = int(span.version)
        covered += span.end - span.start
    if covered != len(ids):
        raise RuntimeError(f"the engine labelled {covered} of {len(ids)} tokens with the version that sampled them")
    logprobs = np.asarray(flat.logprobs, dtype=np.float32)[flat.start_indices]
    reason = FinishReason.LENGTH if output.finish_reason == "length" else FinishReason.STOP
    return Completion(ids, logprobs, versions, reason)
