#!/usr/bin/env bash
# docs/results.md, "Large jobs": an index by 16 processes of which two are killed, beside that of one process; the first step of a
# training on a million pairs; the evaluation of 25,000 images and 125,000 captions. Needs NumPy, GNU time and the run RUN (default:
# runs/best-seed1). A few minutes on two free cores once the run's features are cached; 3 GB of disk, a million files.
set -euo pipefail
. "$(dirname "$0")/setup.sh"
RUN=${RUN:-runs/best-seed1}
OUT=${OUT:-runs/large}
PYTHON=${PYTHON:-python3}
SHARDS=16
mkdir -p "$OUT"
measured() { /usr/bin/time -f '%e s, at most %M KiB' "$@"; }

echo "== $SHARDS processes"
rm -rf "$OUT"/part* "$OUT"/merged "$OUT"/whole
shard() { "$GXN" index "$FLICKR8K" --model "$RUN" --shard "$1/$SHARDS" --index "$OUT/part$1" >/dev/null 2>&1; }
for i in $(seq $SHARDS); do shard "$i" & pids[i]=$!; done
sleep 3
victims=$(shuf -i 1-$SHARDS -n 2)
for i in $victims; do pkill -KILL -P "${pids[i]}" && echo "killed shard $i"; done
wait || true
for i in $victims; do shard "$i"; done
"$GXN" index merge "$OUT/merged" "$OUT"/part*
"$GXN" index "$FLICKR8K" --model "$RUN" --index "$OUT/whole"
for query in "two dogs run on the beach" "a man rides a bicycle" "children playing in a park" "a red car"; do
    cmp <("$GXN" search "$query" --index "$OUT/merged" --top 100 --format jsonl) \
        <("$GXN" search "$query" --index "$OUT/whole" --top 100 --format jsonl) && echo "equal: $query"
done

echo "== a million pairs, as embeddings of 64 values"
[ -e "$OUT/pairs/data.jsonl" ] || "$PYTHON" reference/many_pairs.py "$OUT/pairs" 1000000 64
rm -rf "$OUT/million"
measured timeout --signal=INT 90 "$GXN" train on-encoder --train-data "$OUT/pairs/data.jsonl" --set "look.encoder.path=$OUT/pairs/embeddings" \
    --set "look.sentence.encoder.path=$OUT/pairs/embeddings" --logs "$OUT" --name million --epochs 1 || true

echo "== 25,000 images, 125,000 captions, 1,024 values"
[ -e "$OUT/evaluation/text_emb.npy" ] || "$PYTHON" reference/many_pairs.py "$OUT/evaluation" 25000 1024 --captions 5 --no-files
measured "$GXN" evaluate --image-embeddings "$OUT/evaluation/embeddings/img_emb.npy" --caption-embeddings "$OUT/evaluation/embeddings/text_emb.npy"
