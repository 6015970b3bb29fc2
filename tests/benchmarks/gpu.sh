#!/usr/bin/env bash
# Everything to be measured on a GPU, in at most 8 minutes: `bash tests/benchmarks/gpu.sh [OUT]`.
#
# The CUDA tests, and speeds with random weights in OUT (by default $OUT, or ./gpu-results). Nothing is
# downloaded. `DEVICE=cpu SMALL=1` runs all of it on a CPU with towers of toy size, as its own test.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
out=${1:-${OUT:-gpu-results}}
device=${DEVICE:-cuda}
mkdir -p "$out"
export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false PYTHONPATH=$PWD:$PWD/training
failed=0

part() { # SECONDS NAME COMMAND...: run it for so long at most; what it printed goes to OUT/NAME.txt
  local limit=$1 name=$2
  shift 2
  printf '== %s (%d s so far)\n' "$name" "$SECONDS"
  timeout "$limit" "$@" >"$out/$name.txt" 2>"$out/$name.err" || { failed=1; tail -n 5 "$out/$name.err"; }
  cat "$out/$name.txt"
}

[ "$device" = cpu ] || nvidia-smi >"$out/device.txt" 2>&1
measure=(python -W ignore -m tests.benchmarks.gpu --device "$device" ${SMALL:+--small})
part 100 tests python -m pytest -q -n 0 -p no:cacheprovider tests/test_cuda.py
part 100 score-b32 "${measure[@]}" score --size b32
part 130 score-l14 "${measure[@]}" score --size l14
part 150 train "${measure[@]}" train
exit "$failed"
