#!/usr/bin/env bash
# docs/results.md, "Milvus": four processes put 20,000 images and 80,000 captions into Milvus 2.3.5 while searches go on; the server is
# killed on the way and started again. Then every row is checked, and hits are compared with a folder's. Needs no data; a model is made
# by `gxn demo` unless RUN names one. Ten minutes on two cores, the demo included. SERVER is the folder of a virtual environment
# with milvus==2.3.5.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -z "${GXN:-}" ]; then
    cargo build --release --workspace --bin gxn
    GXN=$PWD/target/release/gxn
fi
OUT=$(realpath -m "${OUT:-runs/milvus}")
SERVER=${SERVER:-$OUT/server}
PORT=${PORT:-19530}
ADDRESS=milvus://127.0.0.1:$PORT/photos
mkdir -p "$OUT"
[ -x "$SERVER/bin/milvus-server" ] || { python3 -m venv "$SERVER" && "$SERVER/bin/pip" install --quiet milvus==2.3.5; }
if [ -z "${RUN:-}" ]; then
    [ -e "$OUT/demo" ] || "$GXN" demo "$OUT/demo"
    RUN=$OUT/demo/runs/demo
fi
[ -e "$OUT/pairs/captions.csv" ] || python3 reference/many_images.py "$OUT/pairs" "${IMAGES:-20000}"

start() { # In a group of its own, so that it can be killed with its child.
    setsid "$@" >"$OUT/server.log" 2>&1 &
    server=$!
}
stop() { kill -9 -- "-$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; }
trap 'touch "$OUT/done"; stop' EXIT
rm -rf "$OUT/data" "$OUT/done"
start "$SERVER/bin/milvus-server" --data "$OUT/data" --proxy-port "$PORT"
until { "$GXN" info "$ADDRESS" 2>&1 || true; } | grep -q 'found none'; do sleep 1; done

echo "== four processes"
begin=$SECONDS
for i in 1 2 3 4; do
    "$GXN" index "$OUT/pairs" --model "$RUN" --index "$ADDRESS" --shard "$i/4" >"$OUT/shard$i.log" 2>&1 &
    pids[i]=$!
done
(
    found=0 failed=0
    while [ ! -e "$OUT/done" ]; do
        if "$GXN" search "a red square" --index "$ADDRESS" >/dev/null 2>&1; then found=$((found + 1)); else failed=$((failed + 1)); fi
        sleep 1
    done
    echo "searches meanwhile: $found answered, $failed refused (before the first items, or while the server was away)"
) &
searches=$!
sleep "${KILL_AFTER:-60}"
stop
echo "killed the server after $((SECONDS - begin)) s; its log ends there"
export LD_LIBRARY_PATH="$OUT/data/bin" DEPLOY_MODE=STANDALONE METRICS_PORT=9092 MILVUS_RUN_DIR="$OUT/data/run"
start sh -c "cd '$OUT/data' && exec bin/milvus run standalone"
unset LD_LIBRARY_PATH
for i in 1 2 3 4; do wait "${pids[i]}"; done
touch "$OUT/done"
wait "$searches"
rm "$OUT/done"
echo "all rows there after $((SECONDS - begin)) s"

echo "== the same in a folder"
"$GXN" index verify "$ADDRESS"
"$GXN" index "$OUT/pairs" --index "$ADDRESS" # encodes nothing
"$GXN" index "$OUT/pairs" --model "$RUN" --index "$OUT/folder"
# Equal texts have equal scores, of which any may be the last of fifty.
scores() { "$GXN" search "$1" --index "$2" --target "$3" --top 50 --format jsonl | grep -o '"score":[^,]*'; }
for query in "a red square top left" "blue" "yellow at the top right" "the white one at the bottom"; do
    for target in image text; do
        cmp <(scores "$query" "$ADDRESS" $target) <(scores "$query" "$OUT/folder" $target) && echo "equal: $query, ${target}s"
    done
done
