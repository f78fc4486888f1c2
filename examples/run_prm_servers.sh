#!/usr/bin/env bash
# Serves a process reward model with vLLM, a server on each of some GPUs, until it is stopped: for ++reward.prm.engine=server.
#
#   bash examples/run_prm_servers.sh                                    # Qwen2.5-Math-PRM-7B on GPUs 4 to 7, ports 8001 to 8004
#   GPUS=0,1 HOST=0.0.0.0 VLLM_API_KEY=... bash examples/run_prm_servers.sh    # on a machine of its own, with a key
#   PRM=peiyi9979/math-shepherd-mistral-7b-prm RUNNER=generate bash examples/run_prm_servers.sh --max-logprobs 20
#   PRM=Qwen/Qwen3-8B RUNNER=generate bash examples/run_prm_servers.sh --reasoning-parser qwen3    # a judge that writes
#
# Arguments go to `vllm serve`. Once all servers are up it prints the override that names them; when one ends, all are ended.
# docs/prm.md says which PRMs can be served, and what they need. Ctrl-C or SIGTERM stops it.
set -xeuo pipefail

PRM=${PRM:-Qwen/Qwen2.5-Math-PRM-7B}
RUNNER=${RUNNER:-pooling}       # pooling for PRMs with a head, generate for causal language models
GPUS=${GPUS:-4,5,6,7}
HOST=${HOST:-127.0.0.1}         # 0.0.0.0 lets other machines in: only behind a firewall and with VLLM_API_KEY
PORT=${PORT:-8001}              # of the first server; the others follow
LOGS=${LOGS:-outputs/prm_servers}
TIMEOUT=${TIMEOUT:-1800}        # seconds in which all must be up
VLLM=${VLLM:-vllm}              # "python -m verl_prpo.cpu.serve" with VERL_PLATFORM=cpu

IFS=, read -ra DEVICES <<< "$GPUS"
PIDS=()
URLS=()
stop() {
    { set +x; } 2>/dev/null
    kill "${PIDS[@]}" 2>/dev/null || true
    for _ in {1..20}; do
        kill -0 "${PIDS[@]}" 2>/dev/null || return 0
        sleep 1
    done
    kill -9 "${PIDS[@]}" 2>/dev/null || true
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

mkdir -p "$LOGS"
for i in "${!DEVICES[@]}"; do
    # VLLM may hold several words.
    CUDA_VISIBLE_DEVICES=${DEVICES[i]} $VLLM serve "$PRM" --runner "$RUNNER" --host "$HOST" --port "$((PORT + i))" "$@" \
        > "$LOGS/$i.log" 2>&1 &
    PIDS+=($!)
    URLS+=("http://$([ "$HOST" = 0.0.0.0 ] && hostname -f || echo "$HOST"):$((PORT + i))")
done

{ set +x; } 2>/dev/null
for i in "${!PIDS[@]}"; do
    health="http://$([ "$HOST" = 0.0.0.0 ] && echo 127.0.0.1 || echo "$HOST"):$((PORT + i))/health"
    until python -c 'import sys, urllib.request as r; r.urlopen(sys.argv[1], timeout=5)' "$health" 2>/dev/null; do
        if ! kill -0 "${PIDS[i]}" 2>/dev/null; then
            tail -n 30 "$LOGS/$i.log" >&2
            echo "the server on GPU ${DEVICES[i]} ended; its log is $LOGS/$i.log" >&2
            exit 1
        fi
        if [ "$SECONDS" -ge "$TIMEOUT" ]; then
            echo "the server on GPU ${DEVICES[i]} was not up within TIMEOUT=$TIMEOUT s; its log is $LOGS/$i.log" >&2
            exit 1
        fi
        sleep 2
    done
done
echo "++reward.prm.server.urls='[$(IFS=,; echo "${URLS[*]}")]'"

ended=0
wait -n || ended=$?
echo "a server ended with status $ended, and with it the others; the logs are in $LOGS" >&2
exit 1
