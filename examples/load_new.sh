#!/usr/bin/env bash
# Loads what is new, without Meltano, and keeps the state for the next run: start it again and again,
# in a folder with config.json, catalog.json and target.json. Its argument is the target's command. The
# exit code is 0 only if everything was read and written.
set -uo pipefail

state=()
if [[ -s state.json ]]; then
  state=(--state state.json)
fi
tap-zoom-cc --config config.json --catalog catalog.json ${state[@]+"${state[@]}"} |
  "${1:-target-jsonl}" --config target.json > states.jsonl
exit_code=$?

# The target writes the state of what it has stored, which may be a part if the run failed. If it
# has written nothing, or was killed within a line, the state of the run before stays.
if [[ -s states.jsonl && -z $(tail -c 1 states.jsonl) ]]; then
  tail -n 1 states.jsonl > state.new && mv state.new state.json
fi
exit "$exit_code"
