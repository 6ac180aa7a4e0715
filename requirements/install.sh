#!/usr/bin/env bash
# Makes .venv from requirements/cpu.lock, or brings it up to date; `make setup` calls it.
#   PYTHON       a Python 3.8 or later that can install uv, which then finds or fetches the Python 3.11 that .venv needs
#   TORCH_INDEX  where torch is looked for first, before the default index; may be empty
set -euo pipefail
cd "$(dirname "$0")/.."

LOCK=requirements/cpu.lock
UV=uv==0.13.9 PIP=pip==26.3
ROOM_GB=6 # of .venv, the downloads and what compiles

say() { echo "set-up: $*"; }
fail() { say "$@" >&2 && exit 1; }

bootstrap_uv() { # prints where it is
    local installed=.uv/bin/uv
    [ "$("$installed" --version 2>/dev/null | cut -d" " -f2)" = "${UV#*==}" ] ||
        "$PYTHON" -m pip install --quiet --upgrade --target .uv "$UV" >&2 ||
        { rm -rf .uv && "$PYTHON" -m venv .uv >&2 && .uv/bin/python -m pip install --quiet "$UV" >&2; } ||
        installed=$(command -v uv) ||
        fail "$PYTHON can install no package: install python3-venv or python3-pip (apt), or uv itself, and run it again"
    echo "$installed"
}

torch() { # torch from an index, by its release; pip, since uv does not read pip's settings
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps "$@" "$(grep "^torch==" $LOCK)"
}

for_cuda() { # prints the CUDA release that the installed torch is built for, nothing if for none
    .venv/bin/python - <<-'EOF'
	import runpy, sysconfig
	print(runpy.run_path(sysconfig.get_path("purelib") + "/torch/version.py")["cuda"] or "")
	EOF
}

SECONDS=0
command -v c++ >/dev/null || fail "there is no C++ compiler, which DeepSpeed and torch need: apt install g++"
free_gb=$(($(df -Pk . | awk 'END {print $4}') / 1024 / 1024))
say "takes minutes, once, and up to $ROOM_GB GB of disk ($free_gb GB are free here)"
uv=$(bootstrap_uv)

# uv does not read pip's settings: where they name an index, it is the one to use.
index=${PIP_INDEX_URL:-$("$PYTHON" -m pip config get global.index-url 2>/dev/null || true)}
[ -z "$index" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$index}"

if [ "$(.venv/bin/python -c 'import sys; print(*sys.version_info[:2])' 2>/dev/null)" != "3 11" ]; then
    "$uv" venv --quiet --clear --python 3.11 .venv ||
        fail "no Python 3.11 is here, and none could be fetched: install one (python3.11 on the PATH) and run it again"
fi
"$uv" pip install --quiet --python .venv "$PIP"

if [ -n "${TORCH_INDEX:-}" ] && ! torch --index-url "$TORCH_INDEX" --retries 0 --timeout 15; then
    say "no torch from $TORCH_INDEX: trying the default index"
fi
torch
if cuda=$(for_cuda) && [ -n "$cuda" ]; then
    "$uv" pip uninstall --quiet --python .venv torch
    fail "the default index serves a torch for CUDA $cuda, and this set-up is for the CPU build. Name an index of CPU" \
        "builds that can be reached from here: make setup TORCH_INDEX=<index>. (NVIDIA machines: requirements/gpu.lock)"
fi
"$uv" pip install --quiet --python .venv --no-deps -r <(grep -v "^torch==" $LOCK)
"$uv" pip install --quiet --python .venv --no-deps --no-build-isolation --editable .

# Also writes their bytecode, once, which the processes of a first run would otherwise all do at the same time.
.venv/bin/python -c "import torch, transformers, deepspeed, ray, vllm; assert torch.version.cuda is None" >.venv/imports.log 2>&1 || {
    cat .venv/imports.log >&2
    fail "what is installed does not import (its message stands above): rm -rf .venv and run it again"
}
say ".venv is ready: $(.venv/bin/python --version), torch $(.venv/bin/python -c 'import torch; print(torch.__version__)')," \
    "$(du -sh .venv | cut -f1), $((SECONDS / 60))m$((SECONDS % 60))s"
