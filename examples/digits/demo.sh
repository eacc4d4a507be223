#!/usr/bin/env bash
# The main job on two real requests: a clean digit and a spoilt one.
# Usage: demo.sh FOLDER, with suture on the path.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${1:-out}
digits=examples/digits
export SUTURE_CACHE=${SUTURE_CACHE:-.cache/suture}

show() {
  printf '\n$ %s\n' "$*"
  "$@"
}

show suture analyze "$digits/task.toml" "$digits/clean.png" "$digits/spoilt.png"
show suture plan "$digits/task.toml" --input "$digits/spoilt.png" --top 5
for request in clean spoilt; do
  show suture compile "$digits/task.toml" --input "$digits/$request.png" -o "$out/$request"
  show suture invoke "$out/$request/digits-lambda-x86_64.zip" --input "$digits/$request.png" \
    --log "$out/telemetry.jsonl"
done
show suture learn "$digits/task.toml" --log "$out/telemetry.jsonl" -o "$out/policy.json"

printf '\nThe plans, the Pareto front, the passes and the kernels: %s/{clean,spoilt}/report.html\n' "$out"
